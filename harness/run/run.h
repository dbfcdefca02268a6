// SPDX-License-Identifier: MIT
// The runner: carries out a plan, trial by trial, and hands each outcome to its caller.
//
// Built on: plan.h, outcome.h. Concurrency: one run at a time in a process.
// Why this way: the runner neither prints nor writes files (the caller's hooks do), so
// that
//   the same engine serves the command line, the tests and the tuner.
#ifndef SB_RUN_RUN_H
#define SB_RUN_RUN_H

#include <signal.h>

#include "harness/run/outcome.h"

struct sb_progress {
    const char *phase;    // "calibrate", "measure"
    uint64_t done, total; // trials
    uint64_t elapsed_ns, left_ns;
    const struct sb_cell *cell;
    const struct sb_arm *arm;
};

struct sb_run_hooks {
    void *context;
    // After calibration, before the first measured trial: the plan is now complete. A
    // negative return ends the run with it.
    int (*calibrated)(void *context, const struct sb_plan *plan);
    // Each trial, n/a pairings once each. A negative return ends the run with it.
    int (*outcome)(void *context, const struct sb_outcome *outcome);
    void (*progress)(void *context, const struct sb_progress *progress);
};

// Runs the plan. `stop` (may be NULL): set by a signal handler; the running trial is
// ended, its workers killed, its segment removed, and -EINTR returned after what was
// measured had been handed out. Workers are started by exec of `shmbench-worker` beside
// the running executable (or $SB_WORKER for tests). Nothing is left behind in any case.
// Errors: -EINTR; -ENOENT no worker executable; whatever a hook returned; -ENOSPC,
// -EMFILE.
int sb_run(struct sb_plan *plan, const struct sb_run_hooks *hooks,
           const volatile sig_atomic_t *stop, struct sb_error *error);

// Removes segments and files in /dev/shm that a killed coordinator left: those named
// shmbench-<pid>-<start time>-... whose process is gone. Returns how many, and with
// `list` calls it for each name.
int sb_run_clean(void (*list)(const char *path, void *context), void *context);

#endif

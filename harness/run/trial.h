// SPDX-License-Identifier: MIT
// One trial, seen from the coordinator: a fresh segment, fresh workers, fixed work.
//
// Built on: control.h, barrier.h, outcome.h. Units: in the names.
// Concurrency: one trial at a time in a process; one thread.
// Why this way: a trial that goes wrong is a result (failed, hung, n/a), not an error
// of
//   the call; the call fails only when the coordinator itself cannot go on.
#ifndef SB_RUN_TRIAL_H
#define SB_RUN_TRIAL_H

#include <signal.h>

#include "harness/measure/sampler.h"
#include "harness/run/control.h"
#include "harness/run/outcome.h"

enum { SB_MOMENTS_MAX = 1024 };

// What the trials of one run have in common; kept by sb_run.
struct sb_runner {
    const struct sb_plan *plan;
    const volatile sig_atomic_t *stop; // may be NULL
    char worker_path[512];
    char **environment; // of the workers
    cpu_set_t cpus;     // that we may use
    uint64_t trials;    // so far: ids and names are made of it
    uint64_t started_ns;
    // Room for one outcome at a time.
    struct sb_hist *hist[SB_OPS];
    struct sb_worker_outcome *workers;
    struct sb_timeline timeline;
};

struct sb_trial_spec {
    const struct sb_cell *cell;
    uint32_t arm; // index
    uint64_t seed, steps;
    uint64_t limit_ns; // of the steps; 0: the watchdog's own limit
    bool timed;
};

// Finds the worker executable, reads the clock's rate and the CPUs we may use.
// Errors: -ENOENT no worker executable, -ENOMEM.
int sb_runner_start(struct sb_runner *runner, const struct sb_plan *plan,
                    const volatile sig_atomic_t *stop, struct sb_error *error);
void sb_runner_end(struct sb_runner *runner);
// Has a signal asked for the end?
bool sb_runner_stopped(const struct sb_runner *runner);

// Runs one trial and fills *outcome, which points into *runner and is valid until the
// next trial. *over (may be NULL) tells whether limit_ns ended it (status SB_NA).
// Errors: -EINTR stopped; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC, -EAGAIN the coordinator
// itself cannot go on. Cost: 3 to 10 ms beside the work.
int sb_trial_run(struct sb_runner *runner, const struct sb_trial_spec *spec,
                 struct sb_outcome *outcome, bool *over, struct sb_error *error);

#endif

// SPDX-License-Identifier: MIT
// manifest.json: what was asked for, of what, on what machine, with which build
// (results/schema.json: definitions/manifest).
//
// Built on: emit.h, build.h, run/plan.h, measure/environment.h. Concurrency: one
// thread.
#ifndef SB_STORE_MANIFEST_H
#define SB_STORE_MANIFEST_H

#include "harness/measure/environment.h"
#include "harness/run/plan.h"
#include "harness/store/emit.h"

enum sb_state { SB_RUNNING, SB_COMPLETE, SB_INTERRUPTED, SB_BROKEN };
extern const char *const sb_state_names[]; // running complete interrupted failed

struct sb_job_text {
    const char *name, *text;
};

// Everything the manifest says; all of it is borrowed.
struct sb_manifest {
    const char *run_id;
    enum sb_state state;
    const char *failure; // SB_BROKEN: why; else NULL
    const struct sb_plan *plan;
    bool calibrated;
    const struct sb_job_text *jobs;
    uint32_t jobs_count;
    const struct sb_environment *environment;
    int argc; // without the program's own name
    char *const *argv;
    double start_s, end_s; // since 1970; end_s is not looked at while running
    uint64_t trials, trials_kept;
    const char *const *warnings;
    uint32_t warnings_count;
};

void sb_manifest_emit(struct sb_emit *emit, const struct sb_manifest *manifest);

// The member `environment` alone, for doctor.
void sb_manifest_environment(struct sb_emit *emit, const char *key,
                             const struct sb_environment *environment);

// The member `plan` alone, for --show-plan.
void sb_manifest_plan(struct sb_emit *emit, const char *key,
                      const struct sb_manifest *manifest);

// "2026-11-22T13:15:01Z". `bytes` 32 suffices.
void sb_time_text(double seconds, char *text, size_t bytes);

#endif

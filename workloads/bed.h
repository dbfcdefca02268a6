// SPDX-License-Identifier: MIT
// A test bed: one trial of a workload on a real subject, with threads for workers, and
// a way to spoil it.
//
// Built on: workload.h, pthreads. Units: steps. Concurrency: one trial at a time.
// Why this way: the runner stands above the workloads; this is its order of phases in
// small, so that a workload can be tested beside its code.
#ifndef SB_WORKLOADS_BED_H
#define SB_WORKLOADS_BED_H

#include "workloads/workload.h"

enum { BED_WORKERS_MOST = 8, BED_SLOW_NS = 10000000 };

struct bed_setup {
    const struct sb_workload *workload;
    const struct sb_subject *subject;
    uint32_t workers;
    uint64_t steps;
    bool verify, timed;
    const char *sets[8];    // "key=value" of the workload's options; NULL-terminated
    uint64_t segment_bytes; // 0: by live_bytes
    // Called by one thread after all stepped and before any verifies. May be NULL.
    void (*spoil)(struct sb_worker *workers, uint32_t count);
};

struct bed_result {
    int rc;                      // the first failure of any phase
    const char *phase;           // in which
    struct sb_error error;       // why
    struct sb_counters counters; // sums over the workers, after the steps
    uint64_t recorded[SB_OPS];   // histogram records, likewise
    uint64_t slow[SB_OPS];       // of these, longer than BED_SLOW_NS
    double figures[SB_FIGURES_MOST];
    uint32_t figures_set;
};

void bed_run(const struct bed_setup *setup, struct bed_result *result);

// True in a worker's thread while it is within step.
extern _Thread_local bool bed_stepping;

#endif

// SPDX-License-Identifier: MIT
// An outcome: everything that one trial measured. The store writes it, nobody changes
// it.
//
// Built on: plan.h, measure/. Units: in the names; histograms in ns after conversion.
// Concurrency: made by the coordinator, valid during the call that hands it out.
#ifndef SB_RUN_OUTCOME_H
#define SB_RUN_OUTCOME_H

#include "harness/measure/environment.h"
#include "harness/measure/recorder.h"
#include "harness/run/plan.h"

enum sb_status { SB_OK, SB_NA, SB_FAILED, SB_HUNG, SB_SKIPPED };
extern const char *const sb_status_names[]; // ok na failed hung skipped

// One moment of the memory time line, since the workers' common start.
struct sb_moment {
    uint64_t time_ns;
    uint64_t footprint_bytes; // st_blocks of the segment's file
    uint64_t requested_bytes; // live, over all workers
    uint64_t steps;           // done, over all workers
};

struct sb_worker_outcome {
    uint64_t wall_ns, steps, ops;
    struct sb_self_covariates covariates;
    int32_t cpu; // pinned to; -1 not
};

struct sb_outcome {
    uint64_t trial_id;
    int32_t round;     // 0 is the dropped warm-up round; -1 a pilot
    uint32_t position; // within the round
    bool timed;        // stamps were on: latency counts, throughput does not
    bool kept;
    char reason[160]; // why it was not kept
    const struct sb_plan *plan;
    const struct sb_cell *cell;
    const struct sb_arm *arm;
    enum sb_status status;
    bool incorrect; // a correctness check failed (exit code 2)
    char detail[512];
    uint64_t seed;
    uint64_t steps; // a worker's
    double work_scale;
    uint64_t wall_ns;  // first start to last end
    uint64_t total_ns; // of the whole trial, from its segment to its last worker's end
    uint64_t segment_bytes; // as granted; 0: no segment (PRIVATE)
    uint64_t ops[SB_OPS], steps_done, failures;
    const struct sb_hist *hist[SB_OPS]; // merged over workers, in TICKS; NULL: none
    double ns_per_tick;
    double stamp_ns;       // cost of one chained stamp here, included in each latency
    struct sb_usage usage; // after the last step, before anything was freed
    uint64_t footprint_bytes, requested_bytes, verified_bytes; // at that moment
    uint64_t peak_footprint_bytes;
    double figures[SB_FIGURES_MOST]; // the workload's own; NAN: not set
    struct sb_covariates covariates;
    uint32_t workers_count, moments_count;
    const struct sb_worker_outcome *workers;
    const struct sb_moment *moments;
};

#endif

// SPDX-License-Identifier: MIT
// A run summed up: for each arm of each cell what its kept trials say.
//
// Built on: run/outcome.h, merged.h. Units: in the names. Concurrency: one thread.
// Why this way: the terminal table and the .hgrm files show the same figures, so they
// are added up once; trials that carry stamps count for latency alone, the others for
// all else. Nothing here tests for significance: that is the reading verbs' part.
#ifndef SB_STORE_TALLY_H
#define SB_STORE_TALLY_H

#include "harness/run/outcome.h"
#include "harness/store/merged.h"

// Below this a footprint per live byte says nothing but how large a page is.
enum { SB_TALLY_LIVE_LEAST = 64 << 10 };

// A kept trial without stamps. What a subject cannot tell is NAN.
struct sb_tally_trial {
    int32_t round;
    double step_ns;         // a worker's time for one step
    double footprint_ratio; // footprint / live bytes as asked for
    double lock_wait_share; // of the workers' time, over all locks of the subject
    double moved_bytes;
    double figures[SB_FIGURES_MOST]; // the workload's own
};

// One arm within one cell.
struct sb_tally_entry {
    uint32_t trials_count;
    struct sb_tally_trial *trials;
    struct sb_merged latency[SB_OPS]; // kept trials with stamps
    double ns_per_tick, stamp_ns;     // of these
    uint64_t measured;                // ok trials, kept or not
    uint64_t na, failed, hung, incorrect;
    uint64_t refused;  // allocations, over the kept trials
    char detail[512];  // of the first that was not ok
    double work_scale; // of the last trial
};

struct sb_tally {
    const struct sb_plan *plan;
    uint64_t trials, kept, measured, failed, incorrect; // over all entries; failed
                                                        // counts hung ones too
    struct sb_tally_entry *entries;                     // cells x arms
};

// The plan must outlive the tally. Errors: -ENOMEM.
int sb_tally_make(const struct sb_plan *plan, struct sb_tally **tally);
// Errors: -ENOMEM; the tally is then as before.
int sb_tally_add(struct sb_tally *tally, const struct sb_outcome *outcome);
void sb_tally_free(struct sb_tally *tally);

const struct sb_tally_entry *sb_tally_at(const struct sb_tally *tally, uint32_t cell,
                                         uint32_t arm);

// The quantile (0..1, interpolated) over the trials of the member at `offset` of struct
// sb_tally_trial; trials where it is NAN do not count. NAN where none is left.
double sb_tally_quantile(const struct sb_tally_entry *entry, size_t offset,
                         double quantile);

// Median over the rounds that both have of entry's step_ns / base's. NAN where none.
double sb_tally_ratio(const struct sb_tally_entry *entry,
                      const struct sb_tally_entry *base);

#endif

// SPDX-License-Identifier: MIT
// From the workers' slots to an outcome, and the memory time line of a timed trial.
//
// Built on: trial.h, segment.h. Units: ns, bytes. Concurrency: the coordinator's;
// called
//   between phases, when no worker writes (the time line: while they do, relaxed).
#ifndef SB_RUN_GATHER_H
#define SB_RUN_GATHER_H

#include "harness/measure/sampler.h"
#include "harness/run/segment.h"
#include "harness/run/trial.h"

struct sb_memory {
    struct sb_timeline *timeline; // of struct sb_moment, times in ticks until finished
    uint64_t interval_ns;
    uint64_t peak_footprint_bytes;
};

// About 100 samples in a trial of trial_ns, 2 ms apart at least.
void sb_memory_start(struct sb_memory *memory, struct sb_runner *runner);
void sb_memory_sample(struct sb_memory *memory, struct sb_control *control,
                      const struct sb_segment *segment);
// A last sample, then into the outcome, as ns since the workers' common start.
void sb_memory_finish(struct sb_memory *memory, struct sb_control *control,
                      const struct sb_segment *segment, struct sb_outcome *outcome);

void sb_outcome_init(struct sb_outcome *outcome, struct sb_runner *runner,
                     const struct sb_trial_spec *spec);
// Times, counts and histograms, after the last step and before anything is freed.
void sb_gather_steps(struct sb_outcome *outcome, struct sb_control *control,
                     const struct sb_segment *segment, struct sb_runner *runner);
void sb_gather_usage(struct sb_outcome *outcome, struct sb_control *control);
void sb_gather_verify(struct sb_outcome *outcome, struct sb_control *control);

#endif

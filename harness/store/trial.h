// SPDX-License-Identifier: MIT
// One outcome as one line of trials.ndjson (results/schema.json: definitions/trial).
//
// Built on: emit.h, run/outcome.h. Units: ns and bytes; ticks are converted here.
// Concurrency: any thread.
#ifndef SB_STORE_TRIAL_H
#define SB_STORE_TRIAL_H

#include "harness/run/outcome.h"
#include "harness/store/emit.h"

// Appends the object; the caller adds the newline. Cost: a pass over the histograms.
void sb_trial_emit(struct sb_emit *emit, const char *run_id,
                   const struct sb_outcome *outcome);

#endif

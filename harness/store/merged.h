// SPDX-License-Identifier: MIT
// Histograms of many trials added up, keeping only the slots in use.
//
// Built on: measure/histogram.h. Units: clock ticks, as in the histograms added.
// Concurrency: one thread.
// Why this way: a struct sb_hist takes a quarter of a megabyte; a run sums up hundreds
// of them (cell x arm x operation), of which each uses a few hundred slots.
#ifndef SB_STORE_MERGED_H
#define SB_STORE_MERGED_H

#include <stdint.h>

#include "harness/measure/histogram.h"

struct sb_merged_slot {
    uint64_t count;
    uint32_t slot; // of struct sb_hist
};

struct sb_merged {
    uint64_t count, overflow, max, sum; // as in struct sb_hist
    uint32_t used;
    struct sb_merged_slot *slots; // ascending
};

// Errors: -ENOMEM, with *merged as it was. Cost: one pass over both.
int sb_merged_add(struct sb_merged *merged, const struct sb_hist *hist);
void sb_merged_free(struct sb_merged *merged);

// As sb_hist_quantile: the highest value equivalent to that of the quantile, never
// above max; -ENODATA with fewer than 10 records beyond it.
int sb_merged_quantile(const struct sb_merged *merged, double quantile,
                       uint64_t *value);

// Writes it out as one histogram of full size.
void sb_merged_expand(const struct sb_merged *merged, struct sb_hist *hist);

#endif

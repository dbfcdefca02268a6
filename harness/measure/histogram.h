// SPDX-License-Identifier: MIT
// A log-linear histogram with three significant digits, fit to lie in shared memory.
//
// Built on: nothing. Units: whatever the caller records (the recorder: clock ticks).
// Concurrency: one writer; readers after the writer is done (a barrier lies between).
// Why this way: fixed size and no pointer, so that a worker writes it in a shared
//   mapping and merging is addition; relative error below 1/1024 everywhere.
// Source: HdrHistogram's bucket scheme (Gil Tene), 2048 sub-buckets of the first level.
#ifndef SB_MEASURE_HISTOGRAM_H
#define SB_MEASURE_HISTOGRAM_H

#include <stdint.h>

enum {
    SB_HIST_SUB_BITS = 11, // 2^11 exact values, then 2^10 a doubling
    SB_HIST_TOP_BITS = 42, // values up to 2^42 - 1; above: overflow
    SB_HIST_HALF = 1 << (SB_HIST_SUB_BITS - 1),
    SB_HIST_SLOTS = (SB_HIST_TOP_BITS - SB_HIST_SUB_BITS + 2) * SB_HIST_HALF,
};

struct sb_hist {
    uint64_t count;    // all records, overflow included
    uint64_t overflow; // records above the range: counted, and kept by max
    uint64_t max;      // exact
    uint64_t sum;      // exact, for the mean
    uint64_t slots[SB_HIST_SLOTS];
};

static inline uint32_t sb_hist_slot(uint64_t value)
{
    // The leading one picks the doubling; the next ten bits the place within it.
    uint32_t level =
        (uint32_t)(63 - __builtin_clzll(value | ((1u << SB_HIST_SUB_BITS) - 1))) -
        (SB_HIST_SUB_BITS - 1);
    return (level << (SB_HIST_SUB_BITS - 1)) + (uint32_t)(value >> level);
}

static inline void sb_hist_record(struct sb_hist *hist, uint64_t value)
{
    hist->count++;
    hist->sum += value;
    if (__builtin_expect(value > hist->max, 0)) {
        hist->max = value;
    }
    if (__builtin_expect(value >> SB_HIST_TOP_BITS != 0, 0)) {
        hist->overflow++;
        return;
    }
    hist->slots[sb_hist_slot(value)]++;
}

// Smallest and largest value that share a slot. Cost: arithmetic only.
uint64_t sb_hist_slot_least(uint32_t slot);
uint64_t sb_hist_slot_most(uint32_t slot);

// Adds `from` to `into`. Cost: one pass over the slots.
void sb_hist_merge(struct sb_hist *into, const struct sb_hist *from);

// The value at `quantile` (0..1]: the highest value of the slot that holds it, though
// never above the maximum. Errors, leaving *value alone: -ENODATA fewer than 10 records
// lie beyond it, -EINVAL no such quantile. Cost: one pass over the slots.
int sb_hist_quantile(const struct sb_hist *hist, double quantile, uint64_t *value);

// The next slot in use at or after *slot: 0 and its *slot, or -ENOENT after the last.
int sb_hist_next(const struct sb_hist *hist, uint32_t *slot);

#endif

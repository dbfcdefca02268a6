// SPDX-License-Identifier: MIT
// The log-linear histogram: see histogram.h.
#include "harness/measure/histogram.h"

#include <errno.h>
#include <math.h>

static uint32_t slot_level(uint32_t slot)
{
    return slot < 2 * SB_HIST_HALF ? 0 : slot / SB_HIST_HALF - 1;
}

uint64_t sb_hist_slot_least(uint32_t slot)
{
    uint32_t level = slot_level(slot);
    return (uint64_t)(slot - level * SB_HIST_HALF) << level;
}

uint64_t sb_hist_slot_most(uint32_t slot)
{
    return sb_hist_slot_least(slot) + (UINT64_C(1) << slot_level(slot)) - 1;
}

void sb_hist_merge(struct sb_hist *into, const struct sb_hist *from)
{
    into->count += from->count;
    into->overflow += from->overflow;
    into->sum += from->sum;
    into->max = into->max > from->max ? into->max : from->max;
    for (uint32_t i = 0; i < SB_HIST_SLOTS; i++) {
        into->slots[i] += from->slots[i];
    }
}

enum { SAMPLES_BEYOND = 10 }; // below that a percentile is the luck of a few

int sb_hist_quantile(const struct sb_hist *hist, double quantile, uint64_t *value)
{
    if (!(quantile > 0 && quantile <= 1)) {
        return -EINVAL;
    }
    // 0.07 * 100 is a little over 7 in binary, and must not reach the eighth record.
    double exact = quantile * (double)hist->count;
    uint64_t rank = (uint64_t)ceil(exact - exact * 1e-12);
    rank = rank > hist->count ? hist->count : rank;
    if (hist->count - rank < SAMPLES_BEYOND) {
        return -ENODATA;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SB_HIST_SLOTS; i++) {
        seen += hist->slots[i];
        if (seen >= rank) {
            uint64_t most = sb_hist_slot_most(i);
            *value = most < hist->max ? most : hist->max;
            return 0;
        }
    }
    *value = hist->max; // among the overflow, of which nothing more exact is known
    return 0;
}

int sb_hist_next(const struct sb_hist *hist, uint32_t *slot)
{
    for (uint32_t i = *slot; i < SB_HIST_SLOTS; i++) {
        if (hist->slots[i] != 0) {
            *slot = i;
            return 0;
        }
    }
    return -ENOENT;
}

// SPDX-License-Identifier: MIT
// Histograms of many trials added up: see merged.h.
#include "harness/store/merged.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BEYOND_LEAST = 10 };

static uint32_t count_slots(const struct sb_hist *hist)
{
    uint32_t used = 0;
    for (uint32_t slot = 0; sb_hist_next(hist, &slot) == 0; slot++) {
        used++;
    }
    return used;
}

int sb_merged_add(struct sb_merged *merged, const struct sb_hist *hist)
{
    uint32_t most = merged->used + count_slots(hist);
    struct sb_merged_slot *slots = calloc(most > 0 ? most : 1, sizeof *slots);
    if (slots == NULL) {
        return -ENOMEM;
    }
    uint32_t used = 0, old = 0;
    for (uint32_t slot = 0; sb_hist_next(hist, &slot) == 0; slot++) {
        while (old < merged->used && merged->slots[old].slot < slot) {
            slots[used++] = merged->slots[old++];
        }
        slots[used] = (struct sb_merged_slot){.count = hist->slots[slot], .slot = slot};
        if (old < merged->used && merged->slots[old].slot == slot) {
            slots[used].count += merged->slots[old++].count;
        }
        used++;
    }
    while (old < merged->used) {
        slots[used++] = merged->slots[old++];
    }
    free(merged->slots);
    merged->slots = slots;
    merged->used = used;
    merged->count += hist->count;
    merged->overflow += hist->overflow;
    merged->sum += hist->sum;
    merged->max = hist->max > merged->max ? hist->max : merged->max;
    return 0;
}

void sb_merged_free(struct sb_merged *merged)
{
    free(merged->slots);
    *merged = (struct sb_merged){0};
}

int sb_merged_quantile(const struct sb_merged *merged, double quantile, uint64_t *value)
{
    // As in sb_hist_quantile: rounding errors must not reach the next record.
    double exact = quantile * (double)merged->count;
    uint64_t rank = (uint64_t)ceil(exact - exact * 1e-12), seen = 0;
    if (merged->count < rank + BEYOND_LEAST) {
        return -ENODATA;
    }
    *value = merged->max; // of records beyond the range only the highest is known
    for (uint32_t i = 0; i < merged->used; i++) {
        seen += merged->slots[i].count;
        if (seen >= rank) {
            uint64_t most = sb_hist_slot_most(merged->slots[i].slot);
            *value = most < merged->max ? most : merged->max;
            break;
        }
    }
    return 0;
}

void sb_merged_expand(const struct sb_merged *merged, struct sb_hist *hist)
{
    memset(hist, 0, sizeof *hist);
    hist->count = merged->count;
    hist->overflow = merged->overflow;
    hist->max = merged->max;
    hist->sum = merged->sum;
    for (uint32_t i = 0; i < merged->used; i++) {
        hist->slots[merged->slots[i].slot] = merged->slots[i].count;
    }
}

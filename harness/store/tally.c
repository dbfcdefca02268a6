// SPDX-License-Identifier: MIT
// A run summed up: see tally.h.
#include "harness/store/tally.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sb_tally_make(const struct sb_plan *plan, struct sb_tally **tally)
{
    struct sb_tally *made = calloc(1, sizeof *made);
    size_t count = (size_t)plan->cells_count * plan->arms_count;
    if (made != NULL) {
        made->plan = plan;
        made->entries = calloc(count > 0 ? count : 1, sizeof *made->entries);
    }
    if (made == NULL || made->entries == NULL) {
        free(made);
        return -ENOMEM;
    }
    *tally = made;
    return 0;
}

void sb_tally_free(struct sb_tally *tally)
{
    if (tally == NULL) {
        return;
    }
    size_t count = (size_t)tally->plan->cells_count * tally->plan->arms_count;
    for (size_t i = 0; i < count; i++) {
        free(tally->entries[i].trials);
        for (int op = 0; op < SB_OPS; op++) {
            sb_merged_free(&tally->entries[i].latency[op]);
        }
    }
    free(tally->entries);
    free(tally);
}

static struct sb_tally_entry *entry_of(const struct sb_tally *tally, uint32_t cell,
                                       uint32_t arm)
{
    return &tally->entries[(size_t)cell * tally->plan->arms_count + arm];
}

const struct sb_tally_entry *sb_tally_at(const struct sb_tally *tally, uint32_t cell,
                                         uint32_t arm)
{
    return entry_of(tally, cell, arm);
}

static double lock_wait_share(const struct sb_outcome *outcome)
{
    double wait_ns = 0;
    bool known = false;
    for (uint32_t i = 0; i < outcome->usage.locks_count && i < SB_LOCKS_MAX; i++) {
        if (outcome->usage.locks[i].wait_ns != SB_UNKNOWN) {
            wait_ns += (double)outcome->usage.locks[i].wait_ns;
            known = true;
        }
    }
    double work_ns = (double)outcome->wall_ns * outcome->cell->workers;
    return known && work_ns > 0 ? wait_ns / work_ns : NAN;
}

static int add_throughput(struct sb_tally_entry *entry,
                          const struct sb_outcome *outcome)
{
    if (outcome->steps_done == 0) {
        return 0;
    }
    struct sb_tally_trial *trials =
        realloc(entry->trials, (entry->trials_count + 1) * sizeof *trials);
    if (trials == NULL) {
        return -ENOMEM;
    }
    const struct sb_usage *usage = &outcome->usage;
    bool filled = outcome->requested_bytes != SB_UNKNOWN &&
                  outcome->requested_bytes >= SB_TALLY_LIVE_LEAST &&
                  outcome->footprint_bytes != SB_UNKNOWN;
    entry->trials = trials;
    trials[entry->trials_count++] = (struct sb_tally_trial){
        .round = outcome->round,
        .step_ns = (double)outcome->wall_ns * outcome->cell->workers /
                   (double)outcome->steps_done,
        .footprint_ratio =
            filled ? (double)outcome->footprint_bytes / (double)outcome->requested_bytes
                   : NAN,
        .lock_wait_share = lock_wait_share(outcome),
        .moved_bytes =
            usage->moved_bytes != SB_UNKNOWN ? (double)usage->moved_bytes : NAN,
    };
    memcpy(trials[entry->trials_count - 1].figures, outcome->figures,
           sizeof outcome->figures);
    return 0;
}

static int add_latency(struct sb_tally_entry *entry, const struct sb_outcome *outcome)
{
    for (int op = 0; op < SB_OPS; op++) {
        const struct sb_hist *hist = outcome->hist[op];
        if (hist != NULL && hist->count > 0) {
            int rc = sb_merged_add(&entry->latency[op], hist);
            if (rc != 0) {
                return rc;
            }
        }
    }
    entry->ns_per_tick = outcome->ns_per_tick;
    entry->stamp_ns = outcome->stamp_ns;
    return 0;
}

int sb_tally_add(struct sb_tally *tally, const struct sb_outcome *outcome)
{
    const struct sb_plan *plan = tally->plan;
    struct sb_tally_entry *entry =
        entry_of(tally, (uint32_t)(outcome->cell - plan->cells),
                 (uint32_t)(outcome->arm - plan->arms));
    bool ok = outcome->status == SB_OK;
    if (ok && outcome->kept) {
        int rc = outcome->timed ? add_latency(entry, outcome)
                                : add_throughput(entry, outcome);
        if (rc != 0) {
            return rc;
        }
        entry->refused += outcome->failures;
    }
    if (!ok && entry->detail[0] == '\0') {
        snprintf(entry->detail, sizeof entry->detail, "%s", outcome->detail);
    }
    bool failed = outcome->status == SB_FAILED || outcome->status == SB_HUNG;
    entry->work_scale = outcome->work_scale;
    entry->measured += ok;
    entry->na += outcome->status == SB_NA || outcome->status == SB_SKIPPED;
    entry->failed += outcome->status == SB_FAILED;
    entry->hung += outcome->status == SB_HUNG;
    entry->incorrect += outcome->incorrect;
    tally->trials++;
    tally->kept += outcome->kept;
    tally->measured += ok;
    tally->failed += failed;
    tally->incorrect += outcome->incorrect;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Sorts `values`. Interpolated between the two nearest, as spreadsheets and numpy do.
static double quantile_of(double *values, size_t count, double quantile)
{
    if (count == 0) {
        return NAN;
    }
    qsort(values, count, sizeof *values, compare);
    double place = quantile * (double)(count - 1);
    size_t below = (size_t)place;
    double beyond = below + 1 < count ? values[below + 1] - values[below] : 0;
    return values[below] + (place - (double)below) * beyond;
}

double sb_tally_quantile(const struct sb_tally_entry *entry, size_t offset,
                         double quantile)
{
    double *values = calloc(entry->trials_count + 1, sizeof *values);
    size_t count = 0;
    for (uint32_t i = 0; values != NULL && i < entry->trials_count; i++) {
        double value;
        memcpy(&value, (const char *)&entry->trials[i] + offset, sizeof value);
        if (!isnan(value)) {
            values[count++] = value;
        }
    }
    double found = quantile_of(values, count, quantile);
    free(values);
    return found;
}

double sb_tally_ratio(const struct sb_tally_entry *entry,
                      const struct sb_tally_entry *base)
{
    double *ratios = calloc(entry->trials_count + 1, sizeof *ratios);
    size_t count = 0;
    for (uint32_t i = 0; ratios != NULL && i < entry->trials_count; i++) {
        for (uint32_t j = 0; j < base->trials_count; j++) {
            if (entry->trials[i].round == base->trials[j].round) {
                ratios[count++] = entry->trials[i].step_ns / base->trials[j].step_ns;
                break;
            }
        }
    }
    double found = quantile_of(ratios, count, 0.5);
    free(ratios);
    return found;
}

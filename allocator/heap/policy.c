// SPDX-License-Identifier: MIT
/*
 * policy.c - the thresholds, kept in the segment.
 *
 * Built on: layout.h. Concurrency: each threshold is one word, read and written
 * relaxed; a reader may see some of an update, each value of which is in range. Why
 * this way: no lock; what is read from the segment is brought into range again.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <string.h>

enum {
    START,
    STOP,
    OCCUPANCY,
    OVERHEAD,
    CREDIT,
    WASTE,
    STEP,
    STEP_NS,
    RELEASE,
    BATCH,
    TRIGGER,
    DETERMINISTIC
};

static const struct hh_policy start = {
    .frag_start = 1.40,
    .frag_stop = 1.05,
    .occupancy_max = 0.80,
    .overhead_max = 0.05,
    .credit = 1.0,
    .min_waste_bytes = 1 << 20,
    .step_bytes = 64 << 10,
    .step_ns = 20000,
    .release_bytes = 1 << 20,
    .batch = HH_BATCH,
    .trigger = HH_TRIGGER_IN_CALL,
};

static void put(uint64_t *word, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    HH_PUT(word, bits);
}

static double get(const uint64_t *word, double least, double most, double otherwise)
{
    uint64_t bits = HH_PEEK(word);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value >= least && value <= most ? value : otherwise;
}

static void store(struct hh_header *head, const struct hh_policy *policy)
{
    uint64_t *word = head->policy;
    put(&word[START], policy->frag_start);
    put(&word[STOP], policy->frag_stop);
    put(&word[OCCUPANCY], policy->occupancy_max);
    put(&word[OVERHEAD], policy->overhead_max);
    put(&word[CREDIT], policy->credit);
    HH_PUT(&word[WASTE], policy->min_waste_bytes);
    HH_PUT(&word[STEP], policy->step_bytes);
    HH_PUT(&word[STEP_NS], policy->step_ns);
    HH_PUT(&word[RELEASE], policy->release_bytes);
    HH_PUT(&word[BATCH], (uint64_t)policy->batch);
    HH_PUT(&word[TRIGGER], (uint64_t)policy->trigger);
    HH_PUT(&word[DETERMINISTIC], (uint64_t)policy->deterministic);
}

void hh_policy_start(struct hh_header *head)
{
    store(head, &start);
}

void hh_policy_read(struct hh_map *map, struct hh_policy *out)
{
    const uint64_t *word = map->head->policy;
    out->frag_start = get(&word[START], 1, 1e9, start.frag_start);
    out->frag_stop = get(&word[STOP], 1, 1e9, start.frag_stop);
    out->occupancy_max = get(&word[OCCUPANCY], 0, 1, start.occupancy_max);
    out->overhead_max = get(&word[OVERHEAD], 0.001, 1, start.overhead_max);
    out->credit = get(&word[CREDIT], 0, 1e9, start.credit);
    out->min_waste_bytes = HH_PEEK(&word[WASTE]);
    out->step_bytes = HH_PEEK(&word[STEP]);
    out->step_ns = HH_PEEK(&word[STEP_NS]) & INT64_MAX;
    out->release_bytes = HH_PEEK(&word[RELEASE]);
    uint64_t batch = HH_PEEK(&word[BATCH]);
    out->batch = batch >= 1 && batch <= HH_BATCH ? (uint32_t)batch : HH_BATCH;
    uint64_t trigger = HH_PEEK(&word[TRIGGER]);
    out->trigger = trigger <= HH_TRIGGER_BACKGROUND ? (uint32_t)trigger : 0;
    out->deterministic = HH_PEEK(&word[DETERMINISTIC]) != 0;
}

int hh_policy_get(struct hh_heap *heap, struct hh_policy *out)
{
    hh_why_clear();
    if (!heap || !out || !hh_revive(heap))
        return -EINVAL;
    hh_policy_read(heap->map, out);
    return 0;
}

static int outside(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return 0;
    return hh_fail(-ERANGE, "%s is %g, not within %g to %g", name, value, least, most);
}

int hh_policy_set(struct hh_heap *heap, const struct hh_policy *policy)
{
    hh_why_clear();
    if (!heap || !policy || !hh_revive(heap))
        return -EINVAL;
    if (outside("frag_start", policy->frag_start, 1, 1e9) ||
        outside("frag_stop", policy->frag_stop, 1, 1e9) ||
        outside("occupancy_max", policy->occupancy_max, 0, 1) ||
        outside("overhead_max", policy->overhead_max, 0.001, 1) ||
        outside("credit", policy->credit, 0, 1e9) ||
        outside("step_ns", (double)policy->step_ns, 1000, 1e12) ||
        outside("batch", policy->batch, 1, HH_BATCH) ||
        outside("trigger", policy->trigger, 0, HH_TRIGGER_BACKGROUND) ||
        outside("deterministic", policy->deterministic, 0, 1))
        return -ERANGE;
    if (policy->frag_stop > policy->frag_start)
        return hh_fail(-ERANGE, "frag_stop %g is above frag_start %g",
                       policy->frag_stop, policy->frag_start);
    store(heap->map->head, policy);
    return 0;
}

// SPDX-License-Identifier: MIT
/*
 * cmd_tidy.c - hh compact and policy.
 *
 * Built on: hh.h. Concurrency: one thread; the heap lives on meanwhile.
 * Why this way: `compact --watch` is the whole of the background trigger, so any
 * process may do the same in its own loop.
 */
#include "allocator/heap/cmd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The background trigger: steps between frag_start and frag_stop, at most overhead_max
 * of the time. */
static int watch(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_policy policy;
    struct hh_stats s;
    struct hh_moved m;
    uint64_t looks = 0, blocks = 0, bytes = 0;
    bool active = false;
    hh_cmd_catch();
    do {
        int error = hh_policy_get(heap, &policy);
        if (!error)
            error = hh_stats(heap, &s);
        if (error)
            return hh_cmd_complain(a, error);
        active = s.fragmentation > (active ? policy.frag_stop : policy.frag_start) &&
                 s.used_bytes - s.live_bytes >= policy.min_waste_bytes;
        for (int step = 0; active && step < 64 && !hh_cmd_interrupted; step++) {
            error = hh_compact(heap, policy.step_bytes, (int64_t)policy.step_ns, &m);
            if (error && error != -EBUSY)
                return hh_cmd_complain(a, error);
            if (error || !m.blocks)
                break;
            blocks += m.blocks;
            bytes += m.bytes;
        }
    } while (hh_cmd_another(a, &looks, 20));
    hh_cmd_line("blocks moved", blocks, "");
    hh_cmd_line("bytes moved", bytes, "bytes");
    return 0;
}

int hh_cmd_compact(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_moved m;
    if (a->watch)
        return watch(a, heap);
    int error =
        hh_compact(heap, a->budget, (int64_t)(a->time_ms % 1000000000) * 1000000, &m);
    if (error)
        return hh_cmd_complain(a, error);
    hh_cmd_line("blocks moved", m.blocks, "");
    hh_cmd_line("bytes moved", m.bytes, "bytes");
    hh_cmd_line("moves cancelled", m.cancelled, "");
    hh_cmd_line("skipped as pinned", m.pinned, "");
    hh_cmd_line("pages emptied", m.returned_bytes, "bytes");
    hh_cmd_line("given back", m.punched_bytes, "bytes");
    return 0;
}

/* --- policy --- */

static const struct {
    const char *name;
    char kind; /* d double, u 64 bits, w 32 bits */
    size_t at;
    const char *what;
} thresholds[] = {
#define ROW(name, kind, what)                                                          \
    {                                                                                  \
#name, kind, offsetof(struct hh_policy, name), what                            \
    }
    ROW(frag_start, 'd', "used / live above which moving starts"),
    ROW(frag_stop, 'd', "and below which it stops"),
    ROW(occupancy_max, 'd', "fuller spans are left alone"),
    ROW(overhead_max, 'd', "share of a caller's time for steps"),
    ROW(credit, 'd', "bytes moved per byte allocated"),
    ROW(min_waste_bytes, 'u', "below this waste never start"),
    ROW(step_bytes, 'u', "most one step moves"),
    ROW(step_ns, 'u', "and the longest it takes"),
    ROW(release_bytes, 'u', "empty memory kept before punching"),
    ROW(batch, 'w', "blocks per membarrier"),
    ROW(trigger, 'w', "0 manual, 1 in calls, 2 background"),
    ROW(deterministic, 'w', "1: no clocks"),
#undef ROW
};

static int set_one(const struct hh_cmd_arguments *a, const char *set,
                   struct hh_policy *policy)
{
    const char *value = strchr(set, '=');
    for (size_t i = 0; value && i < sizeof thresholds / sizeof thresholds[0]; i++) {
        void *at = (char *)policy + thresholds[i].at;
        uint64_t whole;
        char *end;
        if (strlen(thresholds[i].name) != (size_t)(value - set) ||
            strncmp(set, thresholds[i].name, (size_t)(value - set)))
            continue;
        if (thresholds[i].kind == 'd') {
            *(double *)at = strtod(value + 1, &end);
            if (end > value + 1 && !*end)
                return 0;
        } else if (!hh_cmd_size(value + 1, &whole)) {
            if (thresholds[i].kind == 'u')
                *(uint64_t *)at = whole;
            else
                *(uint32_t *)at = whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
            return 0;
        }
        (void)fprintf(stderr, "hh: policy %s: '%s' is no value\n", a->file, value + 1);
        return 1;
    }
    (void)fprintf(stderr, "hh: policy %s: no threshold as in '%s'\n", a->file, set);
    return 1;
}

int hh_cmd_policy(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_policy policy;
    int error = hh_policy_get(heap, &policy);
    for (int i = 0; !error && i < a->sets; i++) {
        if (set_one(a, a->set[i], &policy))
            return 1;
    }
    if (!error && a->sets)
        error = hh_policy_set(heap, &policy);
    if (error)
        return hh_cmd_complain(a, error);
    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        const void *at = (const char *)&policy + thresholds[i].at;
        double value = thresholds[i].kind == 'd'   ? *(const double *)at
                       : thresholds[i].kind == 'u' ? (double)*(const uint64_t *)at
                                                   : (double)*(const uint32_t *)at;
        (void)printf("%-16s %12.10g  %s\n", thresholds[i].name, value,
                     thresholds[i].what);
    }
    return 0;
}

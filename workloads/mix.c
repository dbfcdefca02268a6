// SPDX-License-Identifier: MIT
// mix: a live set of blocks of many sizes, one replaced at random each step.
//
// Built on: content.h, tables.h. Units: bytes; a step is one free, alloc, access.
// Concurrency: each worker has its own live set on the one heap.
// Source: the steady random replacement of Larson & Krishnan (1998) and mimalloc-bench.
// Departures: sizes are log-uniform, so that each doubling is as likely as any other.
#include <math.h>

#include "workloads/content.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

struct options {
    uint64_t live, least_bytes, most_bytes;
};

static const struct sb_option option_rows[] = {
    {"live", "blocks alive at any moment, per worker", SB_COUNT,
     offsetof(struct options, live), "10000", 1, 10e6, NULL, SB_FIXED},
    {"least", "smallest block", SB_BYTES, offsetof(struct options, least_bytes), "16",
     8, 64u << 20, NULL, SB_FIXED},
    {"most", "largest block (below the smallest: all blocks are alike)", SB_BYTES,
     offsetof(struct options, most_bytes), "8192", 8, 64u << 20, NULL, SB_FIXED},
    {0},
};

struct slot {
    sb_ref block;      // zero: the heap was full when the slot was to be filled
    uint32_t bytes;    // of the block
    uint32_t sequence; // of its contents
};

struct state {
    struct slot *slots;
    struct sb_table places, sizes;
    uint64_t live, done, refused;
};

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    state->live = options->live;
    state->slots = sb_pages_map(options->live * sizeof *state->slots);
    int rc = state->slots == NULL ? -ENOMEM : 0;
    rc = rc == 0 ? sb_table_draw_places(&state->places, &random, state->live) : rc;
    rc = rc == 0 ? sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                       options->most_bytes)
                 : rc;
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no memory for the tables");
    }
    for (uint64_t i = 0; i < options->live; i++) {
        struct slot *slot = &state->slots[i];
        uint32_t bytes = sb_table_at(&state->sizes, i);
        sb_ref block;
        rc = sb_prepare_alloc(worker, bytes, &block);
        if (rc == 0) {
            *slot = (struct slot){block, bytes, (uint32_t)i};
            rc = sb_block_fill(worker, block, bytes,
                               sb_content_base(worker->index, slot->sequence, bytes));
        }
        if (rc != 0) {
            return sb_fail_in(&worker->error, rc, "filling slot %llu of %llu",
                              (unsigned long long)i, (unsigned long long)options->live);
        }
    }
    return 0;
}

static int check(struct sb_worker *worker, const struct slot *slot)
{
    const struct state *state = worker->state;
    return sb_block_check(worker, slot->block, slot->bytes,
                          sb_content_base(worker->index, slot->sequence, slot->bytes),
                          "slot", (uint64_t)(slot - state->slots));
}

static inline __attribute__((always_inline)) int empty(struct sb_worker *worker,
                                                       struct slot *slot, bool verify)
{
    int rc = verify ? check(worker, slot) : 0;
    if (__builtin_expect(rc != 0, 0)) {
        return rc;
    }
    rc = sb_free(worker, slot->block, slot->bytes);
    if (__builtin_expect(rc == 0, 1)) {
        slot->block.bits = 0;
    }
    return rc;
}

// `verify` is a constant in each of the two callers, so that neither tests it.
static inline __attribute__((always_inline)) int
replace(struct sb_worker *worker, uint64_t first, uint64_t count, bool verify)
{
    struct state *state = worker->state;
    for (uint64_t i = first; i < first + count; i++) {
        struct slot *slot = &state->slots[sb_table_at(&state->places, i)];
        uint32_t bytes = sb_table_rotated_at(&state->sizes, state->live + i);
        int rc = slot->block.bits == 0 ? 0 : empty(worker, slot, verify);
        if (__builtin_expect(rc != 0, 0)) {
            return rc;
        }
        sb_ref block;
        rc = sb_alloc(worker, bytes, &block);
        if (__builtin_expect(rc != 0, 0)) {
            if (!sb_is_full(rc)) {
                return sb_alloc_failed(worker, rc, bytes);
            }
            state->refused++;
            continue;
        }
        *slot = (struct slot){block, bytes, (uint32_t)(state->live + i)};
        if (verify) {
            rc = sb_block_fill(worker, block, bytes,
                               sb_content_base(worker->index, slot->sequence, bytes));
            sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
        } else {
            rc = sb_block_touch(worker, block, i);
        }
        if (__builtin_expect(rc != 0, 0)) {
            return rc;
        }
    }
    state->done += count;
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    return sb_verifies(worker) ? replace(worker, first, count, true)
                               : replace(worker, first, count, false);
}

static int verify(struct sb_worker *worker)
{
    const struct state *state = worker->state;
    const struct sb_counters *counters = &worker->recorder.record->counters;
    uint64_t lost = 0, bytes = 0;
    for (uint64_t i = 0; i < state->live; i++) {
        const struct slot *slot = &state->slots[i];
        if (slot->block.bits == 0) {
            lost++;
            continue;
        }
        bytes += slot->bytes;
        int rc = sb_verifies(worker) ? check(worker, slot) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    if (lost > state->refused || bytes != counters->requested_bytes) {
        return sb_fail(
            &worker->error, -EBADMSG,
            "%llu slots of %llu are empty after %llu refusals; %llu bytes are "
            "live, %llu were counted",
            (unsigned long long)lost, (unsigned long long)state->live,
            (unsigned long long)state->refused, (unsigned long long)bytes,
            (unsigned long long)counters->requested_bytes);
    }
    if (state->done != worker->steps) {
        return sb_fail(&worker->error, -EBADMSG, "%llu steps of %llu were done",
                       (unsigned long long)state->done,
                       (unsigned long long)worker->steps);
    }
    return 0;
}

static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    for (uint64_t i = 0; state->slots != NULL && i < state->live; i++) {
        if (state->slots[i].block.bits != 0) {
            (void)sb_prepare_free(worker, state->slots[i].block, state->slots[i].bytes);
        }
    }
    sb_pages_unmap(state->slots, state->live * sizeof *state->slots);
    sb_table_free(&state->places);
    sb_table_free(&state->sizes);
    *state = (struct state){0};
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)steps;
    const struct options *options = options_in;
    uint64_t least = options->least_bytes;
    uint64_t most = options->most_bytes > least ? options->most_bytes : least;
    double live = (double)options->live;
    // A live set strays from its mean by few blocks' worth; four standard deviations of
    // the sum are covered by these (the deviation of one block is below `most` / 3).
    double one =
        sb_sizes_mean(least, most) * live + 4.0 / 3.0 * (double)most * sqrt(live);
    double all = (double)most * live;
    return (uint64_t)(one < all ? one : all) * workers;
}

const struct sb_workload sb_workload_mix = {
    .name = "mix",
    .summary = "random replacement in a live set of blocks of many sizes",
    .source = "random replacement after Larson & Krishnan (1998) and mimalloc-bench, "
              "sizes log-uniform",
    .stresses = "size classes, free lists far longer than a cache, reuse of blocks of "
                "other sizes, cache and TLB misses of a working set of megabytes",
    .not_shown =
        "blocks passed between workers, lifetimes that depend on size, growth: "
        "the live set neither grows nor shifts in size",
    .options = option_rows,
    .options_bytes = sizeof(struct options),
    .workers_least = 1,
    .state_bytes = sizeof(struct state),
    .live_bytes = live_bytes,
    .begin = begin,
    .step = step,
    .verify = verify,
    .end = end,
};

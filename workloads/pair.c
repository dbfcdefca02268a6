// SPDX-License-Identifier: MIT
// pair: one block allocated, touched and freed, again and again.
//
// Built on: content.h. Units: bytes; a step is one alloc, access, free.
// Concurrency: workers share the heap and nothing else.
// Source: Hoard's linux-scalability (Lever, Boreham 2000), one block at a time instead
// of a whole burst, with the touch that its original lacks.
#include "workloads/content.h"
#include "workloads/workload.h"

struct options {
    uint64_t bytes;
};

static const struct sb_option option_rows[] = {
    {"bytes", "size of the block", SB_BYTES, offsetof(struct options, bytes), "64", 8,
     64u << 20, NULL, SB_FIXED},
    {0},
};

struct state {
    uint64_t done, refused;
};

// `verify` is a constant in each of the two callers, so that neither tests it.
static inline __attribute__((always_inline)) int
repeat(struct sb_worker *worker, uint64_t first, uint64_t count, bool verify)
{
    struct state *state = worker->state;
    uint64_t bytes = ((const struct options *)worker->options)->bytes;
    for (uint64_t i = first; i < first + count; i++) {
        sb_ref block;
        int rc = sb_alloc(worker, bytes, &block);
        if (__builtin_expect(rc != 0, 0)) {
            if (!sb_is_full(rc)) {
                return sb_alloc_failed(worker, rc, bytes);
            }
            state->refused++;
            continue;
        }
        if (verify) {
            uint64_t base = sb_content_base(worker->index, i, bytes);
            rc = sb_block_fill(worker, block, bytes, base);
            if (rc == 0) {
                sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
                rc = sb_block_check(worker, block, bytes, base, "block", i);
            }
        } else {
            rc = sb_block_touch(worker, block, i);
        }
        if (__builtin_expect(rc != 0, 0)) {
            (void)worker->subject->free(worker->ctx, block); // keep the first error
            return rc;
        }
        rc = sb_free(worker, block, bytes);
        if (__builtin_expect(rc != 0, 0)) {
            return rc;
        }
    }
    state->done += count;
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    return sb_verifies(worker) ? repeat(worker, first, count, true)
                               : repeat(worker, first, count, false);
}

static int begin(struct sb_worker *worker)
{
    (void)worker;
    return 0;
}

static int verify(struct sb_worker *worker)
{
    const struct state *state = worker->state;
    const struct sb_counters *counters = &worker->recorder.record->counters;
    uint64_t freed = counters->ops[SB_OP_FREE];
    if (state->done != worker->steps || freed + state->refused != state->done) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu steps did %llu pairs and %llu refusals",
                       (unsigned long long)worker->steps, (unsigned long long)freed,
                       (unsigned long long)state->refused);
    }
    if (counters->requested_bytes != 0) {
        return sb_fail(&worker->error, -EBADMSG, "%llu bytes are live after all frees",
                       (unsigned long long)counters->requested_bytes);
    }
    return 0;
}

static void end(struct sb_worker *worker)
{
    (void)worker;
}

static uint64_t live_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)steps;
    return ((const struct options *)options)->bytes * workers;
}

const struct sb_workload sb_workload_pair = {
    .name = "pair",
    .summary = "allocate one block, touch it, free it",
    .source = "Hoard's linux-scalability (Lever & Boreham 2000), with a touch",
    .stresses = "the fast path: the cheapest alloc, access and free there are, and "
                "whatever all workers of the heap share on that path",
    .not_shown = "searching, fragmentation, cold memory: the same block comes back at "
                 "once, so a one-entry cache would look perfect",
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

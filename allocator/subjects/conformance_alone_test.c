// SPDX-License-Identifier: MIT
// Conformance cases of one process: sizes, contents, exhaustion, growth, compaction,
// threads.
//
// Built on: conformance.h. Concurrency: each case is a process; case_threads has two.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subjects/conformance.h"

enum { MIB = 1 << 20, SEGMENT_BYTES = 8 * MIB };

void case_sizes(const struct sb_subject *subject, const char *setting)
{
    static const uint64_t list[] = {1,    2,    7,     8,     15,     16,      17,
                                    64,   100,  255,   256,   1000,   4096,    4097,
                                    8192, 9999, 32768, 65536, 300000, 2u << 20};
    enum { COUNT = sizeof list / sizeof list[0] };
    struct bed bed;
    sb_ref blocks[COUNT];
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    for (size_t i = 0; i < COUNT; i++) {
        REQUIRE_RC(subject->alloc(bed.ctx, list[i], &blocks[i]), 0);
        REQUIRE(blocks[i].bits != 0);
        uintptr_t address = (uintptr_t)reach(&bed, bed.ctx, blocks[i]);
        leave(&bed, bed.ctx, blocks[i]);
        // jemalloc and mimalloc align a block of up to 8 bytes to 8, as C allows.
        REQUIRE(address % (list[i] > 8 ? 16 : 8) == 0);
        fill(&bed, bed.ctx, blocks[i], list[i], i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        REQUIRE(holds(&bed, bed.ctx, blocks[i], list[i], i));
        REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
    }
    bed_end(&bed);
}

void case_contents(const struct sb_subject *subject, const char *setting)
{
    enum { COUNT = 3000, ROUNDS = 4 };
    static sb_ref blocks[COUNT];
    struct bed bed;
    struct sb_usage usage;
    uint64_t requested = 0;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    for (uint64_t i = 0; i < COUNT; i++) {
        REQUIRE_RC(subject->alloc(bed.ctx, mixed_size(i), &blocks[i]), 0);
        fill(&bed, bed.ctx, blocks[i], mixed_size(i), i);
        requested += mixed_size(i);
    }
    REQUIRE_RC(subject->usage(bed.heap, &usage), 0);
    REQUIRE(usage.usable_bytes == SB_UNKNOWN || usage.usable_bytes >= requested);
    REQUIRE(usage.live_blocks == SB_UNKNOWN || usage.live_blocks == COUNT);
    REQUIRE((usage.footprint_bytes != SB_UNKNOWN) <= (subject->media == 0));
    REQUIRE(usage.footprint_bytes == SB_UNKNOWN || usage.footprint_bytes >= requested);
    REQUIRE(usage.locks_count <= SB_LOCKS_MAX);
    for (uint32_t i = 0; i < usage.locks_count; i++) {
        REQUIRE(usage.locks[i].name[0] != '\0');
        REQUIRE(usage.locks[i].acquisitions == SB_UNKNOWN ||
                usage.locks[i].contended == SB_UNKNOWN ||
                usage.locks[i].contended <= usage.locks[i].acquisitions);
    }
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (uint64_t i = round % 3; i < COUNT; i += 3) {
            uint64_t before = mixed_size(i + COUNT * (round > 3 ? round - 3 : 0));
            uint64_t after = mixed_size(i + COUNT * round);
            REQUIRE(holds(&bed, bed.ctx, blocks[i], before,
                          i + COUNT * (round > 3 ? round - 3 : 0)));
            REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
            REQUIRE_RC(subject->alloc(bed.ctx, after, &blocks[i]), 0);
            fill(&bed, bed.ctx, blocks[i], after, i + COUNT * round);
        }
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        // The last of rounds 1 to 4 whose remainder is that of i.
        uint64_t round = i % 3 == 1 ? 4 : i % 3 == 2 ? 2 : 3;
        uint64_t seed = i + COUNT * round;
        REQUIRE(holds(&bed, bed.ctx, blocks[i], mixed_size(seed), seed));
        REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
    }
    REQUIRE_RC(subject->usage(bed.heap, &usage), 0);
    REQUIRE(usage.live_blocks == SB_UNKNOWN || usage.live_blocks == 0);
    bed_end(&bed);
}

void case_huge(const struct sb_subject *subject, const char *setting)
{
    struct bed bed;
    sb_ref block = {42};
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    REQUIRE_RC(subject->alloc(bed.ctx, UINT64_C(1) << 62, &block), -ENOMEM);
    REQUIRE_RC(subject->alloc(bed.ctx, UINT64_MAX - 8, &block), -ENOMEM);
    if (subject->media != 0) {
        REQUIRE_RC(subject->alloc(bed.ctx, SEGMENT_BYTES + 1, &block), -ENOMEM);
    }
    REQUIRE(block.bits == 42);
    REQUIRE_RC(subject->alloc(bed.ctx, 100, &block), 0);
    REQUIRE_RC(subject->free(bed.ctx, block), 0);
    bed_end(&bed);
}

void case_exhaustion(const struct sb_subject *subject, const char *setting)
{
    enum { BLOCK_BYTES = 1000, MOST = SEGMENT_BYTES / BLOCK_BYTES + 1 };
    static sb_ref blocks[MOST];
    struct bed bed;
    uint64_t counts[2];
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    for (int round = 0; round < 2; round++) {
        uint64_t count = 0;
        int rc;
        while ((rc = subject->alloc(bed.ctx, BLOCK_BYTES, &blocks[count])) == 0) {
            fill(&bed, bed.ctx, blocks[count], BLOCK_BYTES, count);
            REQUIRE(++count < MOST);
        }
        REQUIRE_RC(rc, -ENOMEM);
        counts[round] = count;
        for (uint64_t i = 0; i < count; i++) {
            REQUIRE(holds(&bed, bed.ctx, blocks[i], BLOCK_BYTES, i));
        }
        for (uint64_t i = 0; i < count; i += 2) {
            REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
        }
        for (uint64_t i = 0; i < count / 4; i++) { // it goes on after the frees
            REQUIRE_RC(subject->alloc(bed.ctx, BLOCK_BYTES, &blocks[i * 2]), 0);
            fill(&bed, bed.ctx, blocks[i * 2], BLOCK_BYTES, i * 2);
        }
        for (uint64_t i = 0; i < count; i++) {
            if (i % 2 == 1 || i / 2 < count / 4) {
                REQUIRE(holds(&bed, bed.ctx, blocks[i], BLOCK_BYTES, i));
                REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
            }
        }
    }
    REQUIRE(counts[0] >= SEGMENT_BYTES / BLOCK_BYTES / 2);
    REQUIRE(counts[1] >= counts[0] / 10 * 9); // nothing was lost on the way
    bed_end(&bed);
}

void case_grow(const struct sb_subject *subject, const char *setting)
{
    struct bed bed;
    sb_ref block, others[64];
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    uint64_t bytes = 24;
    REQUIRE_RC(subject->alloc(bed.ctx, bytes, &block), 0);
    fill(&bed, bed.ctx, block, bytes, bytes);
    for (int i = 0; i < 24; i++) {
        uint64_t next = bytes + bytes / 2;
        REQUIRE_RC(subject->alloc(bed.ctx, 32, &others[i]), 0);
        REQUIRE_RC(subject->realloc(bed.ctx, &block, next), 0);
        REQUIRE(holds(&bed, bed.ctx, block, bytes, bytes));
        fill(&bed, bed.ctx, block, next, next);
        bytes = next;
    }
    sb_ref before = block;
    REQUIRE_RC(subject->realloc(bed.ctx, &block, UINT64_C(1) << 62), -ENOMEM);
    REQUIRE(block.bits == before.bits);
    REQUIRE_RC(subject->realloc(bed.ctx, &block, 1000), 0);
    REQUIRE(holds(&bed, bed.ctx, block, 1000, bytes));
    REQUIRE_RC(subject->free(bed.ctx, block), 0);
    for (int i = 0; i < 24; i++) {
        REQUIRE_RC(subject->free(bed.ctx, others[i]), 0);
    }
    bed_end(&bed);
}

void case_compact(const struct sb_subject *subject, const char *setting)
{
    enum { COUNT = 8000, KEPT = COUNT / 4 };
    static sb_ref blocks[COUNT];
    struct bed bed;
    struct sb_compacted done;
    struct sb_usage usage;
    void *before, *after;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    for (uint64_t i = 0; i < COUNT; i++) {
        REQUIRE_RC(subject->alloc(bed.ctx, mixed_size(i), &blocks[i]), 0);
        fill(&bed, bed.ctx, blocks[i], mixed_size(i), i);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i % 4 != 1) {
            REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
        }
    }
    REQUIRE_RC(subject->lock(bed.ctx, blocks[COUNT - 3], SB_LOCK_PIN, 0, &before), 0);
    int calls = 0;
    do { // ends: each call says what it did, and the last that nothing is left
        memset(&done, 0, sizeof done);
        REQUIRE_RC(subject->compact(bed.ctx, UINT64_MAX, &done), 0);
        REQUIRE(++calls < 100000);
        sched_yield();
    } while (!done.finished);
    REQUIRE_RC(subject->lock(bed.ctx, blocks[COUNT - 3], SB_LOCK_PIN, 0, &after), 0);
    REQUIRE(before == after);
    REQUIRE_RC(subject->unlock(bed.ctx, blocks[COUNT - 3]), 0);
    REQUIRE_RC(subject->unlock(bed.ctx, blocks[COUNT - 3]), 0);
    REQUIRE_RC(subject->usage(bed.heap, &usage), 0);
    REQUIRE(usage.moves > 0 && usage.moved_bytes > 0);
    REQUIRE(usage.live_blocks == SB_UNKNOWN || usage.live_blocks == KEPT);
    for (uint64_t i = 1; i < COUNT; i += 4) {
        REQUIRE(holds(&bed, bed.ctx, blocks[i], mixed_size(i), i));
        REQUIRE_RC(subject->free(bed.ctx, blocks[i]), 0);
    }
    bed_end(&bed);
}

struct side {
    const struct bed *bed;
    uint32_t worker;
    _Atomic uint64_t *own, *other; // a box with one reference: full if not zero
};

enum { THREAD_STEPS = 3000, THREAD_BYTES = 200 };

// Allocates, fills, and puts the block into the other's box; takes, checks and frees
// what lies in its own.
static void *exchange(void *argument)
{
    struct side *side = argument;
    const struct bed *bed = side->bed;
    struct sb_ctx *ctx = bed->ctx;
    if (side->worker != 0) {
        REQUIRE_RC(bed->subject->attach(bed->heap, side->worker, &ctx), 0);
    }
    for (uint64_t sent = 0, got = 0; sent < THREAD_STEPS || got < THREAD_STEPS;) {
        if (sent < THREAD_STEPS &&
            atomic_load_explicit(side->other, memory_order_acquire) == 0) {
            sb_ref block;
            REQUIRE_RC(bed->subject->alloc(ctx, THREAD_BYTES, &block), 0);
            fill(bed, ctx, block, THREAD_BYTES, sent + side->worker);
            atomic_store_explicit(side->other, block.bits, memory_order_release);
            sent++;
        }
        sb_ref block = {atomic_load_explicit(side->own, memory_order_acquire)};
        if (block.bits != 0) {
            REQUIRE(holds(bed, ctx, block, THREAD_BYTES, got + 1 - side->worker));
            atomic_store_explicit(side->own, 0, memory_order_release);
            REQUIRE_RC(bed->subject->free(ctx, block), 0);
            got++;
        } else {
            sched_yield();
        }
    }
    if (side->worker != 0) {
        bed->subject->detach(ctx);
    }
    return NULL;
}

void case_threads(const struct sb_subject *subject, const char *setting)
{
    struct bed bed;
    static _Atomic uint64_t boxes[2];
    pthread_t thread;
    bed_make_for_threads(&bed, subject, setting, SEGMENT_BYTES);
    struct side sides[2] = {{&bed, 0, &boxes[0], &boxes[1]},
                            {&bed, 1, &boxes[1], &boxes[0]}};
    REQUIRE(pthread_create(&thread, NULL, exchange, &sides[1]) == 0);
    exchange(&sides[0]);
    REQUIRE(pthread_join(thread, NULL) == 0);
    bed_end(&bed);
}

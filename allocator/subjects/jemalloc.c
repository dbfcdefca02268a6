// SPDX-License-Identifier: MIT
// jemalloc: private to each process; a reference line.
//
// Built on: jemalloc 5, loaded beside the C library's malloc. Concurrency: jemalloc's
// (an arena and a cache a thread).
// Why this way: it is loaded, not linked, so that it serves this subject alone.
#include <errno.h>
#include <stdlib.h>

#include "allocator/subjects/jemalloc_calls.h"
#include "allocator/subjects/tsan.h"
#include "allocator/subjects/usage.h"

struct sb_heap {
    uint32_t workers;
};

struct sb_ctx {
    struct sb_heap *heap;
};

static int jemalloc_create(const struct sb_place *place, const void *options,
                           struct sb_heap **out)
{
    (void)options;
    int rc = sb_jemalloc_load(NULL, 0);
    if (rc != 0) {
        return rc;
    }
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    heap->workers = place->workers;
    *out = heap;
    return 0;
}

static int jemalloc_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    (void)worker;
    struct sb_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    *out = ctx;
    return 0;
}

static void jemalloc_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int jemalloc_destroy(struct sb_heap *heap)
{
    free(heap);
    // Threads: the next trial starts with what this one took given back. All arenas.
    sb_jemalloc.mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    sb_jemalloc.mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
    return 0;
}

static int jemalloc_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx;
    void *memory = sb_jemalloc.malloc(bytes);
    if (__builtin_expect(memory == NULL, 0)) {
        return -ENOMEM;
    }
    sb_tsan_allocated(memory);
    block->bits = (uintptr_t)memory;
    return 0;
}

static int jemalloc_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    sb_tsan_freeing((void *)block.bits);
    sb_jemalloc.free((void *)block.bits);
    return 0;
}

static void *jemalloc_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    return (void *)block.bits;
}

static int jemalloc_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    (void)ctx;
    void *memory = sb_jemalloc.realloc((void *)block->bits, bytes);
    if (memory == NULL) {
        return -ENOMEM;
    }
    block->bits = (uintptr_t)memory;
    return 0;
}

static int jemalloc_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap;
    *usage = sb_usage_unmoved();
    uint64_t epoch = 1;
    size_t value;
    sb_jemalloc.mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    if (sb_jemalloc_read("stats.resident", &value) == 0) {
        usage->footprint_bytes = value;
    }
    if (sb_jemalloc_read("stats.metadata", &value) == 0) {
        usage->table_bytes = value;
    }
    if (sb_jemalloc_read("stats.allocated", &value) == 0) {
        usage->usable_bytes = value;
    }
    return 0;
}

const struct sb_subject sb_subject_jemalloc = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "jemalloc",
    .summary = "jemalloc; nothing is shared: a heap a process",
    .origin = "libjemalloc2",
    .capabilities = SB_CAP_PRIVATE | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC,
    .probe = sb_jemalloc_probe,
    .create = jemalloc_create,
    .attach = jemalloc_attach,
    .detach = jemalloc_detach,
    .destroy = jemalloc_destroy,
    .alloc = jemalloc_alloc,
    .free = jemalloc_free,
    .address = jemalloc_address,
    .usage = jemalloc_usage,
    .realloc = jemalloc_realloc,
};

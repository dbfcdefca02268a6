// SPDX-License-Identifier: MIT
// null: does nothing. What a trial costs with it is the cost of measuring.
//
// Built on: segment.h. Concurrency: a worker has a ring of slots of its own.
// Why this way: blocks must be memory that may be touched, and touching must not be
//   dearer than in a real allocator that hands the same warm block out again; so each
//   worker walks round a ring that fits a first-level cache. Blocks therefore share
//   bytes (FORGETS). Blocks larger than the ring all lie at the segment's start.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/segment.h"
#include "allocator/subjects/usage.h"

enum { RING_BYTES = 16384, ALIGN = 16 };

struct sb_heap {
    struct sb_segment segment;
    uint32_t rings;
    _Atomic uint64_t backed; // bytes from the start that have pages; only grows
};

struct sb_ctx {
    unsigned char *base;
    uint64_t next, end, start; // offsets: the ring and the place in it
    struct sb_heap *heap;
};

static int null_probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "%s", SB_VERSION);
    return 0;
}

static int back(struct sb_heap *heap, uint64_t until)
{
    uint64_t backed = atomic_load_explicit(&heap->backed, memory_order_relaxed);
    if (until <= backed) {
        return 0;
    }
    int rc = sb_segment_back(&heap->segment, backed, until);
    if (rc != 0) {
        return rc;
    }
    while (backed < until &&
           !atomic_compare_exchange_weak(&heap->backed, &backed, until)) {
    }
    return 0;
}

static int hold(const struct sb_place *place, bool create, struct sb_heap **out)
{
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    int rc = create ? sb_segment_create(place, NULL, &heap->segment)
                    : sb_segment_open(place, NULL, &heap->segment);
    if (rc != 0) {
        goto fail_heap;
    }
    uint64_t fit = heap->segment.bytes / RING_BYTES;
    if (fit == 0) {
        rc = -ENOMEM;
        goto fail_segment;
    }
    heap->rings = place->workers < fit ? place->workers : (uint32_t)fit;
    heap->rings = heap->rings > 0 ? heap->rings : 1;
    rc = back(heap, (uint64_t)heap->rings * RING_BYTES);
    if (rc != 0) {
        goto fail_segment;
    }
    *out = heap;
    return 0;

fail_segment:
    sb_segment_close(&heap->segment);
fail_heap:
    free(heap);
    return rc;
}

static int null_create(const struct sb_place *place, const void *options,
                       struct sb_heap **out)
{
    (void)options;
    return hold(place, true, out);
}

static int null_open(const struct sb_place *place, const void *options,
                     struct sb_heap **out)
{
    (void)options;
    return hold(place, false, out);
}

static int null_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    struct sb_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    ctx->base = heap->segment.base;
    ctx->start = (uint64_t)(worker % heap->rings) * RING_BYTES;
    ctx->end = ctx->start + RING_BYTES;
    ctx->start += ALIGN; // no block has the reference zero
    ctx->next = ctx->start;
    *out = ctx;
    return 0;
}

static void null_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int null_destroy(struct sb_heap *heap)
{
    int rc = sb_segment_close(&heap->segment);
    free(heap);
    return rc;
}

static int alloc_slowly(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    if (bytes > ctx->heap->segment.bytes - ALIGN) {
        return -ENOMEM;
    }
    if (bytes > ctx->end - ctx->start) {
        int rc = back(ctx->heap, ALIGN + bytes);
        if (rc != 0) {
            return rc;
        }
        block->bits = ALIGN;
        return 0;
    }
    block->bits = ctx->start;
    ctx->next = ctx->start + (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return 0;
}

static int null_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    if (__builtin_expect(bytes > ctx->end - ctx->next, 0)) {
        return alloc_slowly(ctx, bytes, block);
    }
    block->bits = ctx->next;
    ctx->next += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return 0;
}

static int null_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    (void)block;
    return 0;
}

static void *null_address(struct sb_ctx *ctx, sb_ref block)
{
    return ctx->base + block.bits;
}

static int null_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    return null_alloc(ctx, bytes, block);
}

static int null_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap;
    *usage = sb_usage_unmoved();
    usage->table_bytes = 0;
    usage->returned_bytes = 0;
    return 0;
}

const struct sb_subject sb_subject_null = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "null",
    .summary = "does nothing: hands out slots of a ring, keeps no contents; the floor",
    .origin = "shmbench",
    .capabilities = SB_CAP_SHARE | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC | SB_CAP_FORGETS,
    .media = SB_MEMFD | SB_SHM | SB_FILE,
    .probe = null_probe,
    .create = null_create,
    .open = null_open,
    .attach = null_attach,
    .detach = null_detach,
    .destroy = null_destroy,
    .alloc = null_alloc,
    .free = null_free,
    .address = null_address,
    .usage = null_usage,
    .realloc = null_realloc,
};

// SPDX-License-Identifier: MIT
// jemalloc_arena: a jemalloc arena in each process whose memory is cut from the segment
// by extent hooks: how a fast process-local allocator is put to work on shared memory.
//
// Built on: jemalloc 5 (loaded, see library.h), segment.h. Units: bytes; offsets from
// the segment's start. Concurrency: one arena a worker; a mailbox a worker, which any
// number of others push to and its owner empties whole.
// Why this way: jemalloc's own tables lie in private memory, so only the process that
//   allocated a block can free it. Programs that do this send a block back to its
//   owner; here through a list in the segment, linked through the freed blocks, that
//   the owner takes at its next call. A process that ends leaves its blocks readable,
//   but what others free afterwards is lost.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/jemalloc_calls.h"
#include "allocator/subjects/jemalloc_extents.h"
#include "allocator/subjects/segment.h"
#include "allocator/subjects/usage.h"

#define MAGIC      UINT64_C(0x31304152416d656a)
#define OFFSET_MAX ((UINT64_C(1) << 48) - 1)
enum { PAGE = 4096, OWNER_SHIFT = 48, WORKERS_MAX = 4096 };

// One a worker. The first line is written by all, the second by its owner alone.
struct slot {
    _Alignas(64) _Atomic uint64_t mail; // offset of the first block sent back, 0: none
    _Alignas(64) _Atomic uint64_t live_blocks;
    _Atomic uint64_t usable_bytes; // as of its last usage() or detach
    _Atomic uint32_t attached;     // 1: since then; usable_bytes is out of date
};

// At the segment's start.
struct shared {
    _Atomic uint64_t magic; // by create, last
    uint64_t workers;
    _Alignas(64) _Atomic uint64_t next; // offset of what no arena has; only grows
    struct slot slots[];
};

struct sb_heap {
    struct sb_segment segment;
    struct shared *shared;
    _Atomic(struct sb_je_arena *) arenas; // of this process; each worker adds its own
};

struct sb_ctx {
    unsigned char *base;
    uint64_t bytes;
    uint64_t owner; // this worker's, in a reference's upper bits
    struct slot *slot;
    struct sb_heap *heap;
    struct sb_je_arena *arena;
    unsigned arena_before; // this thread's
};

// --- the contract ---------------------------------------------------------------

static uint64_t header_bytes(uint64_t workers)
{
    uint64_t bytes = sizeof(struct shared) + workers * sizeof(struct slot);
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static int arena_create(const struct sb_place *place, const void *options,
                        struct sb_heap **out)
{
    (void)options;
    uint64_t header = header_bytes(place->workers);
    int rc = sb_jemalloc_load(NULL, 0);
    if (rc != 0) {
        return rc;
    }
    if (place->workers > WORKERS_MAX) {
        return -EINVAL;
    }
    if (place->bytes < header + PAGE || place->bytes > OFFSET_MAX) {
        return -ENOMEM;
    }
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    rc = sb_segment_create(place, NULL, &heap->segment);
    if (rc != 0) {
        goto fail_heap;
    }
    rc = sb_segment_back(&heap->segment, 0, header);
    if (rc != 0) {
        goto fail_segment;
    }
    heap->shared = (struct shared *)heap->segment.base;
    heap->shared->workers = place->workers;
    heap->shared->next = header;
    atomic_store_explicit(&heap->shared->magic, MAGIC, memory_order_release);
    *out = heap;
    return 0;

fail_segment:
    sb_segment_close(&heap->segment);
fail_heap:
    free(heap);
    return rc;
}

static int arena_open(const struct sb_place *place, const void *options,
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
    rc = sb_segment_open(place, NULL, &heap->segment);
    if (rc != 0) {
        goto fail_heap;
    }
    heap->shared = (struct shared *)heap->segment.base;
    if (atomic_load_explicit(&heap->shared->magic, memory_order_acquire) != MAGIC ||
        header_bytes(heap->shared->workers) > heap->segment.bytes) {
        rc = -EBADMSG;
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

static int arena_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    if (worker >= heap->shared->workers) {
        return -EINVAL;
    }
    struct sb_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    ctx->base = heap->segment.base;
    ctx->bytes = heap->segment.bytes;
    ctx->owner = (uint64_t)(worker + 1) << OWNER_SHIFT;
    ctx->slot = &heap->shared->slots[worker];
    int rc = sb_je_arena_make(&heap->segment, &heap->shared->next, &ctx->arena);
    if (rc != 0) {
        goto fail;
    }
    ctx->arena->next = atomic_load(&heap->arenas);
    while (
        !atomic_compare_exchange_weak(&heap->arenas, &ctx->arena->next, ctx->arena)) {
    }
    // This thread's plain malloc of jemalloc, which nothing else here calls, now takes
    // from the arena: that is its fast path, which flags on each call would leave.
    size_t size = sizeof ctx->arena_before;
    sb_jemalloc.mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    rc = -sb_jemalloc.mallctl("thread.arena", &ctx->arena_before, &size,
                              &ctx->arena->index, sizeof ctx->arena->index);
    if (rc != 0) {
        goto fail;
    }
    atomic_store(&ctx->slot->attached, 1);
    *out = ctx;
    return 0;

fail:
    free(ctx);
    return rc;
}

static void drain(struct sb_ctx *ctx)
{
    // Taken whole, so that a block can never be pushed again while it is being popped.
    uint64_t offset =
        atomic_exchange_explicit(&ctx->slot->mail, 0, memory_order_acquire);
    uint64_t count = 0;
    while (offset != 0) {
        uint64_t *block = (uint64_t *)(void *)(ctx->base + offset);
        offset = *block;
        sb_jemalloc.free(block);
        count++;
    }
    uint64_t live = atomic_load_explicit(&ctx->slot->live_blocks, memory_order_relaxed);
    atomic_store_explicit(&ctx->slot->live_blocks, live - count, memory_order_relaxed);
}

static inline void drain_if_any(struct sb_ctx *ctx)
{
    if (__builtin_expect(
            atomic_load_explicit(&ctx->slot->mail, memory_order_relaxed) != 0, 0)) {
        drain(ctx);
    }
}

static void arena_detach(struct sb_ctx *ctx)
{
    drain_if_any(ctx);
    sb_jemalloc.mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    sb_jemalloc.mallctl("thread.arena", NULL, NULL, &ctx->arena_before,
                        sizeof ctx->arena_before);
    atomic_store(&ctx->slot->usable_bytes, sb_je_arena_usable(ctx->arena));
    atomic_store(&ctx->slot->attached, 0);
    free(ctx);
}

static int arena_destroy(struct sb_heap *heap)
{
    // Not earlier: what a worker that detached has allocated is still in use.
    struct sb_je_arena *arena = atomic_load(&heap->arenas);
    while (arena != NULL) {
        struct sb_je_arena *next = arena->next;
        sb_je_arena_end(arena);
        arena = next;
    }
    int rc = sb_segment_close(&heap->segment);
    free(heap);
    return rc;
}

static inline int taken(struct sb_ctx *ctx, uint64_t offset, sb_ref *block)
{
    uint64_t live = atomic_load_explicit(&ctx->slot->live_blocks, memory_order_relaxed);
    atomic_store_explicit(&ctx->slot->live_blocks, live + 1, memory_order_relaxed);
    block->bits = ctx->owner | offset;
    return 0;
}

// The segment seems full. jemalloc keeps freed pages for reuse but will not cut a large
// run of them for a small block; purged they are as good as new. What a program with a
// fixed segment does before it gives up.
static int alloc_after_purge(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    sb_je_arena_purge(ctx->arena);
    ctx->arena->refusal = 0;
    unsigned char *memory = sb_jemalloc.malloc(bytes);
    uint64_t offset = (uint64_t)(memory - ctx->base);
    if (memory != NULL && offset < ctx->bytes) {
        return taken(ctx, offset, block);
    }
    sb_jemalloc.free(memory); // not of the segment: not what was asked for
    return ctx->arena->refusal != 0 ? ctx->arena->refusal : -ENOMEM;
}

static int arena_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    drain_if_any(ctx);
    unsigned char *memory = sb_jemalloc.malloc(bytes);
    uint64_t offset = (uint64_t)(memory - ctx->base);
    if (__builtin_expect(memory == NULL || offset >= ctx->bytes, 0)) {
        sb_jemalloc.free(memory);
        return alloc_after_purge(ctx, bytes, block);
    }
    return taken(ctx, offset, block);
}

// Sends a block to the worker that allocated it.
static int send(struct sb_ctx *ctx, uint64_t owner, uint64_t offset)
{
    struct shared *shared = ctx->heap->shared;
    if (owner == 0 || owner > shared->workers || offset >= ctx->bytes) {
        return -EINVAL;
    }
    _Atomic uint64_t *mail = &shared->slots[owner - 1].mail;
    uint64_t *link = (uint64_t *)(void *)(ctx->base + offset);
    uint64_t first = atomic_load_explicit(mail, memory_order_relaxed);
    do {
        *link = first;
    } while (!atomic_compare_exchange_weak_explicit(
        mail, &first, offset, memory_order_release, memory_order_relaxed));
    return 0;
}

static int arena_free(struct sb_ctx *ctx, sb_ref block)
{
    drain_if_any(ctx);
    uint64_t offset = block.bits & OFFSET_MAX;
    if (__builtin_expect(block.bits - offset != ctx->owner, 0)) {
        return send(ctx, block.bits >> OWNER_SHIFT, offset);
    }
    uint64_t live = atomic_load_explicit(&ctx->slot->live_blocks, memory_order_relaxed);
    atomic_store_explicit(&ctx->slot->live_blocks, live - 1, memory_order_relaxed);
    sb_jemalloc.free(ctx->base + offset);
    return 0;
}

static void *arena_address(struct sb_ctx *ctx, sb_ref block)
{
    return ctx->base + (block.bits & OFFSET_MAX);
}

// The owner alone can: the size of a block is known to its arena only. Others: -EPERM.
static int arena_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    drain_if_any(ctx);
    uint64_t offset = block->bits & OFFSET_MAX;
    if (block->bits - offset != ctx->owner) {
        return -EPERM;
    }
    unsigned char *memory = sb_jemalloc.realloc(ctx->base + offset, bytes);
    if (memory == NULL) {
        return ctx->arena->refusal != 0 ? ctx->arena->refusal : -ENOMEM;
    }
    block->bits = ctx->owner | (uint64_t)(memory - ctx->base);
    return 0;
}

static int arena_usage_get(struct sb_heap *heap, struct sb_usage *usage)
{
    struct shared *shared = heap->shared;
    *usage = sb_usage_unmoved();
    usage->live_blocks = 0;
    usage->usable_bytes = 0;
    for (uint64_t i = 0; i < shared->workers; i++) {
        usage->live_blocks += atomic_load(&shared->slots[i].live_blocks);
        if (atomic_load(&shared->slots[i].attached) != 0) {
            usage->usable_bytes = SB_UNKNOWN; // only its process knows
        } else if (usage->usable_bytes != SB_UNKNOWN) {
            usage->usable_bytes += atomic_load(&shared->slots[i].usable_bytes);
        }
    }
    return 0;
}

const struct sb_subject sb_subject_jemalloc_arena = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "jemalloc_arena",
    .summary = "a jemalloc arena a process on the segment: blocks are shared, tables "
               "private, so a block freed by another goes back to its owner by mail",
    .origin = "libjemalloc2",
    .capabilities = SB_CAP_SHARE | SB_CAP_OWNER_FREE | SB_CAP_REALLOC,
    .media = SB_MEMFD | SB_SHM | SB_FILE,
    .probe = sb_jemalloc_probe,
    .create = arena_create,
    .open = arena_open,
    .attach = arena_attach,
    .detach = arena_detach,
    .destroy = arena_destroy,
    .alloc = arena_alloc,
    .free = arena_free,
    .address = arena_address,
    .usage = arena_usage_get,
    .realloc = arena_realloc,
};

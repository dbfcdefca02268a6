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
//   but what others free afterwards is lost. The hooks hand out fresh parts of the
//   segment and back their pages when jemalloc commits them.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/jemalloc_calls.h"
#include "allocator/subjects/segment.h"
#include "allocator/subjects/usage.h"

#define MAGIC      UINT64_C(0x31304152416d656a)
#define OFFSET_MAX ((UINT64_C(1) << 48) - 1)
enum { PAGE = 4096, OWNER_SHIFT = 48, STEP_BYTES = 65536, WORKERS_MAX = 4096 };
enum { GROW_BYTES = 2 << 20 }; // most address space that an arena takes at once

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

// jemalloc's table of hooks, as its manual has it.
struct extent_hooks {
    void *(*alloc)(struct extent_hooks *, void *at, size_t bytes, size_t alignment,
                   bool *zero, bool *commit, unsigned arena);
    bool (*dalloc)(struct extent_hooks *, void *, size_t, bool, unsigned);
    void (*destroy)(struct extent_hooks *, void *, size_t, bool, unsigned);
    bool (*commit)(struct extent_hooks *, void *extent, size_t bytes, size_t offset,
                   size_t length, unsigned arena);
    bool (*decommit)(struct extent_hooks *, void *extent, size_t bytes, size_t offset,
                     size_t length, unsigned arena);
    bool (*purge_lazy)(struct extent_hooks *, void *, size_t, size_t, size_t, unsigned);
    bool (*purge_forced)(struct extent_hooks *, void *, size_t, size_t, size_t,
                         unsigned);
    bool (*split)(struct extent_hooks *, void *extent, size_t bytes, size_t first,
                  size_t second, bool committed, unsigned arena);
    bool (*merge)(struct extent_hooks *, void *first, size_t first_bytes, void *second,
                  size_t second_bytes, bool committed, unsigned arena);
};

// What experimental.arenas_create_ext takes.
struct arena_config {
    struct extent_hooks *hooks;
    bool metadata_use_hooks;
};

struct arena {
    struct extent_hooks hooks; // first: the hooks get its address
    struct sb_heap *heap;
    struct arena *next;
    unsigned index;
    int refusal;                        // why the latest growth failed
    uint64_t chunk_end;                 // of the part got last
    uint64_t backed_from, backed_until; // pages within it that exist already
    bool ended;                         // the segment is going: do nothing more
};

struct sb_heap {
    struct sb_segment segment;
    struct shared *shared;
    _Atomic(struct arena *) arenas; // of this process; each worker adds its own
};

struct sb_ctx {
    unsigned char *base;
    uint64_t bytes;
    uint64_t owner; // this worker's, in a reference's upper bits
    struct slot *slot;
    struct sb_heap *heap;
    struct arena *arena;
    unsigned arena_before; // this thread's
};

// --- hooks ----------------------------------------------------------------------

static int back(struct arena *arena, uint64_t from, uint64_t until)
{
    if (from >= arena->backed_from && until <= arena->backed_until) {
        return 0;
    }
    uint64_t further = (until + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    if (until <= arena->chunk_end && further > arena->chunk_end) {
        further = arena->chunk_end;
    }
    if (until > arena->chunk_end || arena->chunk_end - from > GROW_BYTES) {
        further = until; // not of the part got last: no more than is asked for
    }
    int rc = sb_segment_back(&arena->heap->segment, from, further);
    if (rc == 0) {
        arena->backed_from = from;
        arena->backed_until = further;
    }
    return rc;
}

static void *hook_alloc(struct extent_hooks *hooks, void *at, size_t bytes,
                        size_t alignment, bool *zero, bool *commit, unsigned index)
{
    (void)index;
    struct arena *arena = (struct arena *)hooks;
    if (arena->ended) {
        return NULL;
    }
    struct sb_heap *heap = arena->heap;
    uintptr_t base = (uintptr_t)heap->segment.base;
    uint64_t next = atomic_load_explicit(&heap->shared->next, memory_order_relaxed);
    uint64_t start;
    do {
        start = (base + next + alignment - 1) / alignment * alignment - base;
        if (start > heap->segment.bytes || bytes > heap->segment.bytes - start) {
            arena->refusal = -ENOMEM;
            return NULL;
        }
        if (at != NULL && base + start != (uintptr_t)at) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak(&heap->shared->next, &next, start + bytes));
    arena->chunk_end = start + bytes;
    if (*commit) {
        arena->refusal = back(arena, start, start + bytes);
        if (arena->refusal != 0) {
            uint64_t end = start + bytes; // given back if nobody took more meanwhile
            atomic_compare_exchange_strong(&heap->shared->next, &end, next);
            return NULL;
        }
    }
    *zero = true;
    return heap->segment.base + start;
}

static bool hook_commit(struct extent_hooks *hooks, void *extent, size_t bytes,
                        size_t offset, size_t length, unsigned index)
{
    (void)bytes;
    (void)index;
    struct arena *arena = (struct arena *)hooks;
    if (arena->ended) {
        return true;
    }
    uint64_t from = (uint64_t)((unsigned char *)extent - arena->heap->segment.base);
    arena->refusal = back(arena, from + offset, from + offset + length);
    return arena->refusal != 0;
}

static bool hook_decommit(struct extent_hooks *hooks, void *extent, size_t bytes,
                          size_t offset, size_t length, unsigned index)
{
    (void)bytes;
    (void)index;
    struct arena *arena = (struct arena *)hooks;
    if (arena->ended) {
        return true;
    }
    uint64_t from =
        (uint64_t)((unsigned char *)extent - arena->heap->segment.base) + offset;
    arena->backed_from = arena->backed_until = 0;
    return sb_segment_punch(&arena->heap->segment, from, from + length) != 0;
}

static bool hook_split(struct extent_hooks *hooks, void *extent, size_t bytes,
                       size_t first, size_t second, bool committed, unsigned index)
{
    (void)hooks, (void)extent, (void)bytes, (void)first, (void)second;
    (void)committed, (void)index;
    return false;
}

static bool hook_merge(struct extent_hooks *hooks, void *first, size_t first_bytes,
                       void *second, size_t second_bytes, bool committed,
                       unsigned index)
{
    (void)hooks, (void)first, (void)first_bytes, (void)second, (void)second_bytes;
    (void)committed, (void)index;
    return false;
}

// --- arenas ---------------------------------------------------------------------

static int arena_make(struct sb_heap *heap, struct arena **out)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL) {
        return -ENOMEM;
    }
    arena->heap = heap;
    arena->hooks = (struct extent_hooks){.alloc = hook_alloc,
                                         .commit = hook_commit,
                                         .decommit = hook_decommit,
                                         .split = hook_split,
                                         .merge = hook_merge};
    // jemalloc's tables stay out of the segment where this version can be told so.
    struct arena_config config = {&arena->hooks, false};
    struct extent_hooks *hooks = &arena->hooks;
    size_t size = sizeof arena->index;
    int rc = sb_jemalloc.mallctl("experimental.arenas_create_ext", &arena->index, &size,
                                 &config, sizeof config);
    if (rc == ENOENT) {
        size = sizeof arena->index;
        rc = sb_jemalloc.mallctl("arenas.create", &arena->index, &size, &hooks,
                                 sizeof hooks);
    }
    if (rc != 0) {
        free(arena);
        return rc == EAGAIN ? -ENOMEM : -rc;
    }
    char name[64];
    size_t grow = GROW_BYTES;
    snprintf(name, sizeof name, "arena.%u.retain_grow_limit", arena->index);
    sb_jemalloc.mallctl(name, NULL, NULL, &grow, sizeof grow); // a hint: may be refused
    arena->next = atomic_load(&heap->arenas);
    while (!atomic_compare_exchange_weak(&heap->arenas, &arena->next, arena)) {
    }
    *out = arena;
    return 0;
}

static void arenas_end(struct sb_heap *heap)
{
    struct arena *arena = atomic_load(&heap->arenas);
    while (arena != NULL) {
        struct arena *next = arena->next;
        char name[64];
        arena->ended = true;
        snprintf(name, sizeof name, "arena.%u.destroy", arena->index);
        if (sb_jemalloc.mallctl(name, NULL, NULL, NULL, 0) == 0) {
            free(arena);
        } // else a thread left without detach: jemalloc goes on to ask the hooks
        arena = next;
    }
}

// What an arena holds for its user: caches of threads are not in use.
static uint64_t arena_usable(const struct arena *arena)
{
    static const char *const parts[] = {"small.allocated", "large.allocated"};
    char name[64];
    size_t total = 0, value;
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "stats.arenas.%u.%s", arena->index, parts[i]);
        if (sb_jemalloc_read(name, &value) == 0) {
            total += value;
        }
    }
    snprintf(name, sizeof name, "stats.arenas.%u.tcache_bytes", arena->index);
    if (sb_jemalloc_read(name, &value) == 0 && value <= total) {
        total -= value;
    }
    return total;
}

static void refresh(void)
{
    uint64_t epoch = 1;
    sb_jemalloc.mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
}

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
    int rc = arena_make(heap, &ctx->arena);
    if (rc != 0) {
        goto fail;
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
    refresh();
    atomic_store(&ctx->slot->usable_bytes, arena_usable(ctx->arena));
    atomic_store(&ctx->slot->attached, 0);
    free(ctx);
}

static int arena_destroy(struct sb_heap *heap)
{
    arenas_end(heap);
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
    char name[64];
    snprintf(name, sizeof name, "arena.%u.purge", ctx->arena->index);
    sb_jemalloc.mallctl(name, NULL, NULL, NULL, 0);
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

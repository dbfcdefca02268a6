// SPDX-License-Identifier: MIT
// Arenas of jemalloc over a segment: see jemalloc_extents.h.
//
// Built on: jemalloc 5's extent hooks. Concurrency: as jemalloc_extents.h; jemalloc
// calls the hooks of an arena from the thread that uses it.
#include "allocator/subjects/jemalloc_extents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEP_BYTES = 65536 };

// What experimental.arenas_create_ext takes.
struct arena_config {
    struct sb_je_hooks *hooks;
    bool metadata_use_hooks;
};

static int back(struct sb_je_arena *arena, uint64_t from, uint64_t until)
{
    if (from >= arena->backed_from && until <= arena->backed_until) {
        return 0;
    }
    uint64_t further = (until + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    if (until <= arena->chunk_end && further > arena->chunk_end) {
        further = arena->chunk_end;
    }
    if (until > arena->chunk_end || arena->chunk_end - from > SB_JE_GROW_BYTES) {
        further = until; // not of the part got last: no more than is asked for
    }
    int rc = sb_segment_back(arena->segment, from, further);
    if (rc == 0) {
        arena->backed_from = from;
        arena->backed_until = further;
    }
    return rc;
}

static void *hook_alloc(struct sb_je_hooks *hooks, void *at, size_t bytes,
                        size_t alignment, bool *zero, bool *commit, unsigned index)
{
    (void)index;
    struct sb_je_arena *arena = (struct sb_je_arena *)hooks;
    if (arena->ended) {
        return NULL;
    }
    uintptr_t base = (uintptr_t)arena->segment->base;
    uint64_t next = atomic_load_explicit(arena->next_offset, memory_order_relaxed);
    uint64_t start;
    do {
        start = (base + next + alignment - 1) / alignment * alignment - base;
        if (start > arena->segment->bytes || bytes > arena->segment->bytes - start) {
            arena->refusal = -ENOMEM;
            return NULL;
        }
        if (at != NULL && base + start != (uintptr_t)at) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak(arena->next_offset, &next, start + bytes));
    arena->chunk_end = start + bytes;
    if (*commit) {
        arena->refusal = back(arena, start, start + bytes);
        if (arena->refusal != 0) {
            uint64_t end = start + bytes; // given back if nobody took more meanwhile
            atomic_compare_exchange_strong(arena->next_offset, &end, next);
            return NULL;
        }
    }
    *zero = true;
    return arena->segment->base + start;
}

static bool hook_commit(struct sb_je_hooks *hooks, void *extent, size_t bytes,
                        size_t offset, size_t length, unsigned index)
{
    (void)bytes;
    (void)index;
    struct sb_je_arena *arena = (struct sb_je_arena *)hooks;
    if (arena->ended) {
        return true;
    }
    uint64_t from = (uint64_t)((unsigned char *)extent - arena->segment->base);
    arena->refusal = back(arena, from + offset, from + offset + length);
    return arena->refusal != 0;
}

static bool hook_decommit(struct sb_je_hooks *hooks, void *extent, size_t bytes,
                          size_t offset, size_t length, unsigned index)
{
    (void)bytes;
    (void)index;
    struct sb_je_arena *arena = (struct sb_je_arena *)hooks;
    if (arena->ended) {
        return true;
    }
    uint64_t from = (uint64_t)((unsigned char *)extent - arena->segment->base) + offset;
    arena->backed_from = arena->backed_until = 0;
    return sb_segment_punch(arena->segment, from, from + length) != 0;
}

static bool hook_split(struct sb_je_hooks *hooks, void *extent, size_t bytes,
                       size_t first, size_t second, bool committed, unsigned index)
{
    (void)hooks, (void)extent, (void)bytes, (void)first, (void)second;
    (void)committed, (void)index;
    return false;
}

static bool hook_merge(struct sb_je_hooks *hooks, void *first, size_t first_bytes,
                       void *second, size_t second_bytes, bool committed,
                       unsigned index)
{
    (void)hooks, (void)first, (void)first_bytes, (void)second, (void)second_bytes;
    (void)committed, (void)index;
    return false;
}

int sb_je_arena_make(const struct sb_segment *segment, _Atomic uint64_t *next_offset,
                     struct sb_je_arena **out)
{
    struct sb_je_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL) {
        return -ENOMEM;
    }
    arena->segment = segment;
    arena->next_offset = next_offset;
    arena->hooks = (struct sb_je_hooks){.alloc = hook_alloc,
                                        .commit = hook_commit,
                                        .decommit = hook_decommit,
                                        .split = hook_split,
                                        .merge = hook_merge};
    // jemalloc's tables stay out of the segment where this version can be told so.
    struct arena_config config = {&arena->hooks, false};
    struct sb_je_hooks *hooks = &arena->hooks;
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
    size_t grow = SB_JE_GROW_BYTES;
    snprintf(name, sizeof name, "arena.%u.retain_grow_limit", arena->index);
    sb_jemalloc.mallctl(name, NULL, NULL, &grow, sizeof grow); // a hint: may be refused
    *out = arena;
    return 0;
}

void sb_je_arena_end(struct sb_je_arena *arena)
{
    char name[64];
    arena->ended = true;
    snprintf(name, sizeof name, "arena.%u.destroy", arena->index);
    if (sb_jemalloc.mallctl(name, NULL, NULL, NULL, 0) == 0) {
        free(arena);
    } // else a thread left without detach: jemalloc goes on to ask the hooks
}

void sb_je_arena_purge(struct sb_je_arena *arena)
{
    char name[64];
    snprintf(name, sizeof name, "arena.%u.purge", arena->index);
    sb_jemalloc.mallctl(name, NULL, NULL, NULL, 0);
}

uint64_t sb_je_arena_usable(const struct sb_je_arena *arena)
{
    static const char *const parts[] = {"small.allocated", "large.allocated"};
    char name[64];
    size_t total = 0, value;
    uint64_t epoch = 1; // any write refreshes what the names below read
    sb_jemalloc.mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
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

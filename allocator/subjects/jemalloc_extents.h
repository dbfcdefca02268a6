// SPDX-License-Identifier: MIT
// Arenas of jemalloc whose memory is cut from a segment by extent hooks.
//
// Built on: jemalloc_calls.h, segment.h. Units: bytes; offsets from the segment's
// start. Concurrency: one arena is used by one thread at a time; the offset up to which
// the segment is given out is shared by all processes. Why this way: the hooks hand out
// fresh parts of the segment and back their pages when
//   jemalloc commits them, a step ahead, so that the footprint is what is in use and a
//   full tmpfs refuses instead of killing. Parts are never handed back: an arena keeps
//   what it has, and gives back only the pages.
#ifndef SB_SUBJECTS_JEMALLOC_EXTENTS_H
#define SB_SUBJECTS_JEMALLOC_EXTENTS_H

#include <stdatomic.h>

#include "allocator/subjects/jemalloc_calls.h"
#include "allocator/subjects/segment.h"

// Most address space that an arena takes at once.
enum { SB_JE_GROW_BYTES = 2 << 20 };

// jemalloc's table of hooks, as its manual has it.
struct sb_je_hooks {
    void *(*alloc)(struct sb_je_hooks *, void *at, size_t bytes, size_t alignment,
                   bool *zero, bool *commit, unsigned arena);
    bool (*dalloc)(struct sb_je_hooks *, void *, size_t, bool, unsigned);
    void (*destroy)(struct sb_je_hooks *, void *, size_t, bool, unsigned);
    bool (*commit)(struct sb_je_hooks *, void *extent, size_t bytes, size_t offset,
                   size_t length, unsigned arena);
    bool (*decommit)(struct sb_je_hooks *, void *extent, size_t bytes, size_t offset,
                     size_t length, unsigned arena);
    bool (*purge_lazy)(struct sb_je_hooks *, void *, size_t, size_t, size_t, unsigned);
    bool (*purge_forced)(struct sb_je_hooks *, void *, size_t, size_t, size_t,
                         unsigned);
    bool (*split)(struct sb_je_hooks *, void *extent, size_t bytes, size_t first,
                  size_t second, bool committed, unsigned arena);
    bool (*merge)(struct sb_je_hooks *, void *first, size_t first_bytes, void *second,
                  size_t second_bytes, bool committed, unsigned arena);
};

struct sb_je_arena {
    struct sb_je_hooks hooks; // first: the hooks get its address
    const struct sb_segment *segment;
    _Atomic uint64_t *next_offset; // of what no arena of any process has; only grows
    struct sb_je_arena *next;      // for the user's list
    unsigned index;
    int refusal;                        // why the latest growth failed
    uint64_t chunk_end;                 // of the part got last
    uint64_t backed_from, backed_until; // pages within it that exist already
    bool ended;                         // the segment is going: do nothing more
};

// Makes an arena over the segment. Errors: -ENOMEM.
int sb_je_arena_make(const struct sb_segment *segment, _Atomic uint64_t *next_offset,
                     struct sb_je_arena **out);
// Ends it; the segment's bytes stay as they are. No thread may use it any more.
void sb_je_arena_end(struct sb_je_arena *arena);
// Gives the pages it does not use back to the system.
void sb_je_arena_purge(struct sb_je_arena *arena);
// Capacity of the blocks that are in use: what threads keep cached is not.
uint64_t sb_je_arena_usable(const struct sb_je_arena *arena);

#endif

// SPDX-License-Identifier: MIT
/*
 * kill_verify.h - is a segment whose user was killed as good as new?
 *
 * Built on: kill_step.h, hh.h. Units: blocks by their place in a list that lies outside
 * of the segment. Concurrency: one thread.
 * Why this way: the heap's own check finds what contradicts itself; only a list kept
 * elsewhere finds what is consistently gone.
 */
#ifndef ALLOCATOR_HEAP_KILL_VERIFY_H
#define ALLOCATOR_HEAP_KILL_VERIFY_H

#include "allocator/heap/kill_step.h"

void kill_fill(unsigned char *at, uint32_t bytes, uint32_t seed);
bool kill_filled(const unsigned char *at, uint32_t bytes, uint32_t seed);

/* Allocates, fills and lists a block. 0 or an error of the heap. */
int kill_block_new(struct hh_heap *heap, struct kill_book *book, uint32_t slot,
                   uint32_t bytes);
/* Frees a listed block. */
int kill_block_end(struct hh_heap *heap, struct kill_book *book, uint32_t slot);

/* A heap with blocks of several sizes and holes between them, so that there is
 * something to move; the first KILL_OLD slots of the list are its. NULL: a line is on
 * stderr. */
struct hh_heap *kill_populate(struct kill_book *book, uint64_t bytes);

enum kill_manner {
    KILL_REPAIR = 0, /* recover and check first, then use */
    KILL_USE = 1,    /* use first, as if nothing had happened */
    KILL_CLOSE = 2,  /* check, use, then free everything and look for what is lost */
    KILL_MANNERS = 3
};

/*
 * Opens the segment as somebody for whom every client is dead whose byte is not locked,
 * and puts it through its paces. Returns 0, or -1 with a line on stderr.
 */
int kill_verify(int fd, struct kill_book *book, enum kill_manner manner);

#endif

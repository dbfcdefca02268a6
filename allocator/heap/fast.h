// SPDX-License-Identifier: MIT
/*
 * fast.h - the four calls that must cost nothing: alloc, free, lock, unlock.
 *
 * Built on: words.h; everything unusual goes to the *_slow calls (alloc.c, free.c,
 * lock.c). Concurrency: a door belongs to one thread; what is shared is named in
 * words.h and layout.h. Why inlined and without locked instructions: a CAS costs 20
 * cycles on many machines, two would be more than all the rest. So a lane says in its
 * busy cell which entry it is about to change, and whoever else wants to change that
 * entry pays for a barrier instead.
 *
 * How a kill at any instruction stays harmless: alloc changes W before it lowers count,
 * free writes the item before it changes W and raises count after. So an item is in its
 * magazine once too often now and then, never lost, and a pop believes W alone.
 */
#ifndef ALLOCATOR_HEAP_FAST_H
#define ALLOCATOR_HEAP_FAST_H

#include <errno.h>

#include "allocator/heap/words.h"

#define HH_CELLS_FAST 16u /* pins that nest like a stack; more go to a slower list */

#define HH_HOT_NONE UINT64_MAX

struct hh_map;
struct hh_lane;
struct hh_mover;

/* Lives on pages that fork wipes to zero: with every limit zero, each fast path of a
 * forked child ends in its slow path, which makes the child a door of its own. */
struct hh_heap {
    /* Set once by attach. */
    unsigned char *base;    /* of this process's mapping */
    struct hh_entry *table; /* in it */
    uint64_t *cell;         /* this lane's pin cells: written here, read by the mover */
    uint64_t *busy;         /* this lane's: see words.h */
    const uint64_t *shared; /* this lane's */
    uint64_t home;          /* lane id << HH_M_HOME_SHIFT */
    uint64_t live_key;      /* (tag << 28) ^ LIVE: see hh_expects */
    uint64_t cached_key;    /* (tag << 28) ^ CACHED */
    uint64_t place_first;   /* least place a block may have */
    uint64_t place_count;   /* number of places from there on */
    uint32_t limit;         /* indexes the fast paths take; grows */
    uint32_t cells;         /* HH_CELLS_FAST, or 0: always the slow path */
    uint64_t held;          /* locks: pins that nest as a stack, and all others << 32 */
    /* The magazine that took the last block freed, so that the next free need not wait
     * for the chain entry, class, magazine: a guess that is checked, reset by slow
     * calls. */
    uint64_t hot; /* home << 8 | class, as M has them; HH_HOT_NONE: none */
    struct hh_mag *hot_mag;
    uint64_t hot_full;
    struct hh_mag *mag[128]; /* by class: the magazine in use, or null */
    unsigned char full[128]; /* by class: items at which it counts as full */

    /* What only the slow paths use. */
    struct hh_mag *prev[HH_CLASSES + 2];
    uint32_t span[HH_CLASSES + 2]; /* head page + 1 of the span slots are taken from */
    uint32_t cursor[HH_CLASSES + 2]; /* where to look for a slot in it */
    struct hh_map *map;
    struct hh_lane *lane;
    struct hh_mover *mover; /* scratch, made at the first move */
    uint64_t owner;         /* lane id 12 | epoch 12 */
    uint64_t key;           /* tag << 56 */
    uint32_t known;         /* indexes known to be in use */
    uint64_t credit_bytes;  /* allocated through this door, about */
    uint64_t moved_bytes;   /* by its steps */
    uint64_t since_ns;      /* no step before this point of time */
    uint64_t trim_ns;       /* no pages given back before this point of time */
    uint64_t idle_ns;       /* pause after a step that brought nothing */
    uint32_t strict;        /* the lane's cells need xchg: no membarrier here */
    uint32_t ticks;         /* slow calls, to look at the policy now and then */
    uint32_t in_step;       /* a step is running: do not start another */
    uint32_t nest[512];     /* by overflow cell: how often it is pinned */
    uint32_t excl_count;    /* exclusive locks taken, to time one in 32 */
    int64_t excl_since[64]; /* by exclusive cell: when it was taken, or 0 */
};

int hh_alloc_slow(struct hh_heap *heap, size_t bytes, hh_handle *out);
int hh_free_slow(struct hh_heap *heap, hh_handle block);
int hh_lock_slow(struct hh_heap *heap, hh_handle block, unsigned mode, int64_t deadline,
                 void **out);
int hh_unlock_slow(struct hh_heap *heap, hh_handle block);

/* From W of a live block to W of a free one: the next generation, LIVE -> CACHED.
 * Carries out of the word after the last generation. */
#define HH_W_FREED                                                                     \
    ((UINT64_C(1) << HH_W_GEN_SHIFT) -                                                 \
     ((uint64_t)(HH_LIVE - HH_CACHED) << HH_STATE_SHIFT))

/* What W >> 36 reads while the block is LIVE; a foreign tag leaves bits that no W has.
 */
static inline uint64_t hh_expects(const struct hh_heap *heap, hh_handle block)
{
    return (block.word >> 32 << 4) ^ heap->live_key;
}

HH_MUST_USE HH_INLINE int hh_alloc(struct hh_heap *heap, size_t bytes, hh_handle *out)
{
    if (HH_UNLIKELY(bytes - 1 >= HH_SMALL_MAX || !heap))
        return hh_alloc_slow(heap, bytes, out);
    uint64_t class_ = hh_class_of(bytes);
    struct hh_mag *mag = heap->mag[class_];
    if (HH_UNLIKELY(!mag))
        return hh_alloc_slow(heap, bytes, out);
    uint32_t last = HH_PEEK(&mag->count) - 1;
    if (HH_UNLIKELY(last >= HH_MAG_ITEMS))
        return hh_alloc_slow(heap, bytes, out);
    uint64_t item = HH_PEEK(&mag->item[last]);
    uint32_t index = (uint32_t)item;
    if (HH_UNLIKELY(index >= heap->limit))
        return hh_alloc_slow(heap, bytes, out);
    struct hh_entry *entry = &heap->table[index];
    uint64_t *busy = heap->busy;
    HH_STORE(busy, index + UINT64_C(1));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uint64_t w = HH_LOAD(&entry->w);
    if (HH_UNLIKELY(w >> HH_STATE_SHIFT != ((item >> 32 << 4) ^ heap->cached_key))) {
        HH_STORE(busy, UINT64_C(0));
        return hh_alloc_slow(heap, bytes, out);
    }
    HH_PUT(&entry->m, heap->home | class_ << HH_M_CLASS_SHIFT | bytes);
    HH_STORE(&entry->w, w ^ hh_w(0, HH_CACHED ^ HH_LIVE, 0));
    HH_STORE(&mag->count, last);
    HH_STORE(busy, UINT64_C(0));
    out->word = item;
    return 0;
}

/* Makes the magazine hot that a block with this M goes to. Zero: not to one of ours. */
static inline int hh_free_aim(struct hh_heap *heap, uint64_t m)
{
    struct hh_mag *mag = heap->mag[m >> HH_M_CLASS_SHIFT & 127];
    if ((m ^ heap->home) >> HH_M_HOME_SHIFT || !mag)
        return 0;
    heap->hot = m >> HH_M_CLASS_SHIFT;
    heap->hot_mag = mag;
    heap->hot_full = heap->full[m >> HH_M_CLASS_SHIFT & 127];
    return 1;
}

HH_MUST_USE HH_INLINE int hh_free(struct hh_heap *heap, hh_handle block)
{
    uint32_t index = (uint32_t)block.word, count;
    if (HH_UNLIKELY(!heap || index >= heap->limit || heap->held))
        return hh_free_slow(heap, block);
    struct hh_entry *entry = &heap->table[index];
    uint64_t *busy = heap->busy;
    struct hh_mag *mag;
    HH_STORE(busy, index + UINT64_C(1));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uint64_t w = HH_LOAD(&entry->w), m = HH_PEEK(&entry->m), freed;
    /* Shared with others, or of the last generation: the long way. */
    if (HH_UNLIKELY(w >> HH_STATE_SHIFT != hh_expects(heap, block) ||
                    HH_LOAD(heap->shared) ||
                    __builtin_add_overflow(w, HH_W_FREED, &freed)))
        goto slow;
    /* Not ours, locked, flagged, or of another class than the last one. */
    if (m >> HH_M_CLASS_SHIFT != heap->hot && !hh_free_aim(heap, m))
        goto slow;
    mag = heap->hot_mag;
    count = HH_PEEK(&mag->count);
    if (HH_UNLIKELY(count >= heap->hot_full))
        goto slow;
    HH_PUT(&mag->item[count], block.word + (UINT64_C(1) << 32));
    HH_STORE(&entry->w, freed);
    HH_STORE(&mag->count, count + 1);
    HH_STORE(busy, UINT64_C(0));
    return 0;
slow:
    HH_STORE(busy, UINT64_C(0));
    return hh_free_slow(heap, block);
}

HH_MUST_USE HH_INLINE int hh_lock(struct hh_heap *heap, hh_handle block, unsigned mode,
                                  int64_t deadline, void **out)
{
    uint32_t index = (uint32_t)block.word;
    if (HH_UNLIKELY(!heap || mode != HH_PIN || (uint32_t)heap->held >= heap->cells ||
                    index >= heap->limit))
        return hh_lock_slow(heap, block, mode, deadline, out);
    uint64_t *cell = &heap->cell[(uint32_t)heap->held];
    /* The pin itself. It may leave this core's store buffer only after W is read below;
     * the mover makes every core drain it between setting MOVING and reading cells. */
    HH_STORE(cell, block.word);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uint64_t w = HH_LOAD(&heap->table[index].w);
    uint64_t place = hh_w_place(w);
    if (HH_UNLIKELY(w >> HH_STATE_SHIFT != hh_expects(heap, block) ||
                    place - heap->place_first >= heap->place_count)) {
        HH_STORE(cell, UINT64_C(0));
        return hh_lock_slow(heap, block, mode, deadline, out);
    }
    heap->held++;
    *out = heap->base + place * 16;
    return 0;
}

HH_MUST_USE HH_INLINE int hh_unlock(struct hh_heap *heap, hh_handle block)
{
    if (HH_UNLIKELY(!heap || !(uint32_t)heap->held))
        return hh_unlock_slow(heap, block);
    uint64_t *cell = &heap->cell[(uint32_t)heap->held - 1];
    if (HH_UNLIKELY(HH_PEEK(cell) != block.word))
        return hh_unlock_slow(heap, block);
    HH_STORE(cell, UINT64_C(0));
    heap->held--;
    return 0;
}

#endif

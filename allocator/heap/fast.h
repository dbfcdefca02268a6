// SPDX-License-Identifier: MIT
/*
 * fast.h - the four calls that must cost nothing: alloc, free, lock, unlock.
 *
 * Built on: words.h; everything unusual goes to the *_slow calls (alloc.c, free.c,
 * lock.c). Concurrency: a door belongs to one thread; what is shared is named in
 * words.h and layout.h. Why inlined: the whole pair alloc, lock, unlock, free is about
 * 8 ns, of which two CAS are 5; call overhead and reloads would be the larger part of
 * the rest.
 *
 * How a kill at any instruction stays harmless: alloc changes W before it lowers count,
 * free writes the item before it changes W and raises count after. So an index is in
 * its magazine once too often now and then, never lost, and a pop believes W alone.
 */
#ifndef ALLOCATOR_HEAP_FAST_H
#define ALLOCATOR_HEAP_FAST_H

#include <errno.h>

#include "allocator/heap/words.h"

#define HH_CELLS_FAST 16u /* pins that nest like a stack; more go to a slower list */

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
    uint64_t live_key;      /* (tag << 28) ^ LIVE: see hh_expects */
    uint64_t place_first;   /* least place a block may have */
    uint64_t place_count;   /* number of places from there on */
    uint32_t limit;         /* indexes known to be in use; grows */
    uint32_t cells;         /* HH_CELLS_FAST, or 0: always the slow path */
    uint32_t top;           /* cells in use, as a stack */
    uint32_t held;          /* locks held, of all kinds: hh_free looks for its own */
    uint64_t allocs, frees; /* calls by the fast path, published by the slow ones */
    struct hh_mag *mag[128]; /* by class: the magazine in use, or null */
    unsigned char full[128]; /* by class: items at which it counts as full */

    /* What only the slow paths use. */
    struct hh_mag *prev[HH_CLASSES + 2];
    uint32_t span[HH_CLASSES + 2]; /* head page + 1 of the span slots are taken from */
    uint32_t cursor[HH_CLASSES + 2]; /* where to look for a slot in it */
    struct hh_map *map;
    struct hh_lane *lane;
    struct hh_mover *mover; /* scratch, made at the first move */
    uint64_t owner;         /* lane id 16 | epoch 16 */
    uint64_t key;           /* tag << 56 */
    uint64_t credit_bytes;  /* that this door may still move in calls */
    uint64_t since_ns;      /* no step before this point of time */
    uint32_t strict;        /* the lane's cells need xchg: no membarrier here */
    uint32_t excl_top;      /* exclusive cells in use */
    uint32_t ticks;         /* slow calls, to look at the policy now and then */
    uint32_t in_step;       /* a step is running: do not start another */
    uint32_t nest[512];     /* by overflow cell: how often it is pinned */
    uint32_t excl_nest[64]; /* reserved */
};

int hh_alloc_slow(struct hh_heap *heap, size_t bytes, hh_handle *out);
int hh_free_slow(struct hh_heap *heap, hh_handle block);
int hh_lock_slow(struct hh_heap *heap, hh_handle block, unsigned mode, int64_t deadline,
                 void **out);
int hh_unlock_slow(struct hh_heap *heap, hh_handle block);

/* What W >> 36 reads while the block is LIVE; a foreign tag leaves bits that no W has.
 */
static inline uint64_t hh_expects(const struct hh_heap *heap, hh_handle block)
{
    return (block.word >> 32 << 4) ^ heap->live_key;
}

HH_MUST_USE static inline int hh_alloc(struct hh_heap *heap, size_t bytes,
                                       hh_handle *out)
{
    if (HH_UNLIKELY(bytes - 1 >= HH_SMALL_MAX || !heap))
        return hh_alloc_slow(heap, bytes, out);
    uint32_t class_ = hh_class_of(bytes);
    struct hh_mag *mag = heap->mag[class_];
    if (HH_UNLIKELY(!mag))
        return hh_alloc_slow(heap, bytes, out);
    uint32_t last = HH_PEEK(&mag->count) - 1;
    if (HH_UNLIKELY(last >= HH_MAG_ITEMS))
        return hh_alloc_slow(heap, bytes, out);
    uint32_t index = HH_PEEK(&mag->item[last]);
    if (HH_UNLIKELY(index >= heap->limit))
        return hh_alloc_slow(heap, bytes, out);
    struct hh_entry *entry = &heap->table[index];
    uint64_t w = HH_LOAD(&entry->w);
    if (HH_UNLIKELY(hh_w_state(w) != HH_CACHED))
        return hh_alloc_slow(heap, bytes, out);
    /* M is that of this W: both change at once when a block is attached, and no W comes
     * twice. An index that is here by mistake has another class, or loses the CAS. */
    if (HH_UNLIKELY((HH_PEEK(&entry->m) >> HH_M_CLASS_SHIFT & 255) != class_ ||
                    !HH_CAS(&entry->w, &w, w ^ hh_w(0, HH_CACHED ^ HH_LIVE, 0))))
        return hh_alloc_slow(heap, bytes, out);
    HH_PUT(&entry->m,
           (uint64_t)class_ << HH_M_CLASS_SHIFT | (hh_class_bytes(class_) - bytes));
    HH_STORE(&mag->count, last);
    heap->allocs++;
    out->word = heap->key | hh_w_gen(w) << 32 | index;
    return 0;
}

HH_MUST_USE static inline int hh_free(struct hh_heap *heap, hh_handle block)
{
    uint32_t index = (uint32_t)block.word;
    if (HH_UNLIKELY(!heap || index >= heap->limit || heap->held))
        return hh_free_slow(heap, block);
    struct hh_entry *entry = &heap->table[index];
    uint64_t w = HH_LOAD(&entry->w);
    uint64_t m = HH_PEEK(&entry->m);
    if (HH_UNLIKELY(w >> HH_STATE_SHIFT != hh_expects(heap, block) ||
                    m >> HH_M_FLAGS_SHIFT || hh_w_gen(w) == HH_GEN_MAX))
        return hh_free_slow(heap, block);
    uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 127;
    struct hh_mag *mag = heap->mag[class_];
    if (HH_UNLIKELY(!mag))
        return hh_free_slow(heap, block);
    uint32_t count = HH_PEEK(&mag->count);
    if (HH_UNLIKELY(count >= heap->full[class_]))
        return hh_free_slow(heap, block);
    HH_PUT(&mag->item[count], index);
    if (HH_UNLIKELY(!HH_CAS(&entry->w, &w,
                            w + hh_w(1, HH_FREE, 0) - hh_w(0, HH_LIVE - HH_CACHED, 0))))
        return hh_free_slow(heap, block);
    HH_STORE(&mag->count, count + 1);
    heap->frees++;
    return 0;
}

HH_MUST_USE static inline int hh_lock(struct hh_heap *heap, hh_handle block,
                                      unsigned mode, int64_t deadline, void **out)
{
    uint32_t index = (uint32_t)block.word;
    if (HH_UNLIKELY(!heap || mode != HH_PIN || heap->top >= heap->cells ||
                    index >= heap->limit))
        return hh_lock_slow(heap, block, mode, deadline, out);
    uint64_t *cell = &heap->cell[heap->top];
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
    heap->top++;
    heap->held++;
    *out = heap->base + place * 16;
    return 0;
}

HH_MUST_USE static inline int hh_unlock(struct hh_heap *heap, hh_handle block)
{
    if (HH_UNLIKELY(!heap || !heap->top))
        return hh_unlock_slow(heap, block);
    uint64_t *cell = &heap->cell[heap->top - 1];
    if (HH_UNLIKELY(HH_PEEK(cell) != block.word))
        return hh_unlock_slow(heap, block);
    HH_STORE(cell, UINT64_C(0));
    heap->top--;
    heap->held--;
    return 0;
}

#endif

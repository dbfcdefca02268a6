// SPDX-License-Identifier: MIT
/*
 * batch.c - moves the blocks of one span elsewhere, 64 at a time.
 *
 * Built on: spans.c, pages.c. Units: bytes of capacity.
 * Concurrency: one mover at a time, by the role word; all others go on. A block on its
 * way is MOVING: whoever locks or frees it takes it back by CAS and the copy is thrown
 * away. One membarrier a batch makes every pin, and every busy cell, that was stored
 * before visible; after it, a locker that had not yet read W finds MOVING. (Model:
 * model/.) Why this way: the price of pins lies with the mover, once for 64 blocks.
 */
#include "allocator/heap/mover.h"

#include <string.h>

/* Copies a block that may be written meanwhile by who has just aborted the move: such a
 * copy is thrown away, so the race is harmless; the race detector is not told of it. */
#ifdef HH_THREADS_CHECKED
__attribute__((no_sanitize("thread"))) void hh_copy(void *to, const void *from,
                                                    size_t bytes)
{
    uint64_t *target = to;
    const uint64_t *source = from;
    for (size_t i = 0; i < bytes / 8; i++)
        __atomic_store_n(&target[i], __atomic_load_n(&source[i], __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
}
#else
void hh_copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif

bool hh_spent(struct hh_mover *mover)
{
    return (mover->budget_bytes && mover->done.bytes >= mover->budget_bytes) ||
           (mover->end_ns && hh_now() >= mover->end_ns);
}

/* --- the batch --- */

static void mark_pinned(struct hh_heap *heap, const uint64_t *cells, uint32_t count)
{
    struct hh_mover *mover = heap->mover;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t handle = HH_LOAD(&cells[i]);
        if (!handle)
            continue;
        for (uint32_t n = 0; n < mover->notes; n++) {
            if (heap->lane->note[n].index == (uint32_t)handle &&
                hh_w_gen(mover->w[n]) == (handle >> 32 & HH_GEN_MAX))
                mover->pinned[n] = true;
        }
    }
}

/* After the barrier: which blocks of the batch somebody has locked. */
void hh_scan_pins(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        uint32_t cells = HH_LOAD(&lane->cells_used), excl = HH_LOAD(&lane->excl_used);
        uint64_t busy = HH_LOAD(&lane->busy);
        for (uint32_t n = 0; busy && n < heap->mover->notes; n++)
            heap->mover->pinned[n] |= heap->lane->note[n].index + UINT64_C(1) == busy;
        mark_pinned(heap, lane->cell, cells < HH_CELLS ? cells : HH_CELLS);
        mark_pinned(heap, lane->excl, excl < HH_EXCL ? excl : HH_EXCL);
    }
}

/* A slot for one more block, in a fuller span, or (sliding) in a fresh lower one. */
/* Counts what came to the span that takes blocks. */
static void count_dest(struct hh_heap *heap)
{
    struct hh_mover *mover = heap->mover;
    if (mover->dest && mover->arrived)
        (void)HH_ADD(&hh_page_at(heap->map, mover->dest - 1)->used, mover->arrived);
    mover->arrived = 0;
}

/* Gives up the span that takes blocks, if there is one. */
void hh_leave_dest(struct hh_heap *heap)
{
    count_dest(heap);
    if (heap->mover->dest)
        hh_span_leave(heap, heap->mover->dest - 1);
    heap->mover->dest = 0;
}

static bool find_room(struct hh_heap *heap, uint32_t class_, uint32_t note)
{
    struct hh_mover *mover = heap->mover;
    uint64_t map_at;
    for (;;) {
        if (mover->dest) {
            if (hh_slot_claim(heap, mover->dest - 1, class_, &mover->cursor,
                              &mover->place[note], &map_at, &heap->lane->note[note], 0))
                return true;
            hh_leave_dest(heap);
        }
        uint32_t page = UINT32_MAX;
        while (page == UINT32_MAX && mover->high > mover->low + 1) {
            struct victim *next = &mover->victims[--mover->high];
            struct hh_pageword *word = hh_page_at(heap->map, next->page);
            uint64_t d = hh_d(HH_PAGE_SPAN, class_, 0);
            if (HH_LOAD(&word->used) < heap->map->classes[class_].slots &&
                HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, heap->owner)))
                page = next->page;
        }
        if (page == UINT32_MAX &&
            (!mover->below || hh_span_new(heap, class_, mover->below, &page)))
            return false;
        mover->dest = page + 1;
        mover->cursor = 0;
    }
}

static void unmove(struct hh_heap *heap, uint32_t note)
{
    uint64_t w = heap->mover->w[note];
    enum hh_state state = hh_w_state(w) == HH_TAKEN ? HH_CACHED : HH_LIVE;
    (void)HH_CAS(&hh_entry_at(heap->map, heap->lane->note[note].index)->w, &w,
                 hh_w(hh_w_gen(w), state, hh_w_place(w)));
}

/* A cached block of the batch that its lane is not allocating: taken from the index. */
static void take_cached(struct hh_heap *heap, uint32_t n, uint32_t page)
{
    uint64_t w = heap->mover->w[n];
    uint64_t bare = hh_w_gen(w) == HH_GEN_MAX ? hh_w(HH_GEN_MAX, HH_RETIRED, 0)
                                              : hh_w(hh_w_gen(w) + 1, HH_BARE, 0);
    if (!HH_CAS(&hh_entry_at(heap->map, heap->lane->note[n].index)->w, &w, bare))
        return;
    (void)HH_ADD(&heap->map->head->strips, 1);
    hh_span_unuse(heap, page, 1);
}

/* One block of the batch to its new slot. */
static void move_one(struct hh_heap *heap, uint32_t n, uint32_t page, uint32_t class_)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    struct hh_note *note = &heap->lane->note[n];
    uint32_t bytes = map->classes[class_].bytes, owner = (uint32_t)heap->owner;
    uint64_t w = mover->w[n];
    if (mover->pinned[n]) {
        mover->done.pinned += hh_w_state(w) == HH_MOVING;
        unmove(heap, n);
    } else if (hh_w_state(w) == HH_TAKEN) {
        take_cached(heap, n, page);
    } else if (!find_room(heap, class_, n)) {
        unmove(heap, n);
    } else {
        hh_copy(map->base + mover->place[n] * 16, map->base + note->from * 16, bytes);
        if (HH_CAS(&hh_entry_at(map, note->index)->w, &w,
                   hh_w(hh_w_gen(w), HH_LIVE, mover->place[n]))) {
            mover->done.blocks++;
            mover->done.bytes += bytes;
            mover->arrived++;
            mover->left++;
            mover->moved[n] = true;
            /* W names the new slot and not the old one; the second look at the new one,
             * which wants a fence, is taken once for the batch. */
            HH_STORE(hh_slot_at(map, note->map_to), note->index + 1);
            HH_STORE(hh_slot_at(map, note->map_from), 0u);
            return;
        }
        mover->done.cancelled++;
        hh_slot_settle(map, owner, note->map_to, note->index, note->to);
    }
    hh_slot_settle(map, owner, note->map_from, note->index, note->from);
}

static void flush(struct hh_heap *heap, uint32_t page, uint32_t class_)
{
    struct hh_mover *mover = heap->mover;
    if (!mover->notes)
        return;
    memset(mover->pinned, 0, sizeof mover->pinned);
    memset(mover->moved, 0, sizeof mover->moved);
    hh_os_settle();
    hh_scan_pins(heap);
    for (uint32_t n = 0; n < mover->notes; n++)
        move_one(heap, n, page, class_);
    count_dest(heap);
    (void)HH_ADD(&hh_page_at(heap->map, page)->used, -mover->left);
    (void)HH_ADD(&heap->map->head->batches, 1);
    /* A locked instruction is a fence: who took a moved block away before it, and could
     * not free its slot, is seen here; who comes after frees it himself. */
    for (uint32_t n = 0; n < mover->notes; n++) {
        struct hh_note *note = &heap->lane->note[n];
        if (mover->moved[n] && !hh_names(heap->map, note->index, note->to))
            hh_slot_release(heap->map, (uint32_t)heap->owner, note->map_to, note->index,
                            note->to);
    }
    mover->left = 0;
    mover->notes = 0;
    HH_STORE(&heap->lane->notes, 0u);
}

/* --- spans --- */

/* One slot of a victim: its block joins the batch, to be taken away or moved. */
static void take_slot(struct hh_heap *heap, uint64_t map_at, uint64_t place)
{
    struct hh_mover *mover = heap->mover;
    uint32_t *slot = hh_slot_at(heap->map, map_at), seen = HH_LOAD(slot);
    if (!seen || seen & HH_SLOT_CLAIM || seen - 1 >= hh_limit(heap->map))
        return;
    uint32_t index = seen - 1;
    struct hh_entry *entry = hh_entry_at(heap->map, index);
    uint64_t w = HH_LOAD(&entry->w);
    if (hh_w_place(w) != place)
        return;
    enum hh_state state = hh_w_state(w);
    if (state != HH_LIVE && state != HH_CACHED)
        return;
    uint32_t n = mover->notes;
    struct hh_note *note = &heap->lane->note[n];
    HH_PUT(&note->index, index);
    HH_PUT(&note->from, place);
    HH_PUT(&note->map_from, map_at);
    HH_PUT(&note->to, UINT64_C(0));
    HH_STORE(&heap->lane->notes, n + 1);
    if (!HH_CAS(slot, &seen, HH_SLOT_CLAIM | (uint32_t)heap->owner)) {
        HH_STORE(&heap->lane->notes, n);
        return;
    }
    uint64_t moving = hh_w(hh_w_gen(w), state == HH_LIVE ? HH_MOVING : HH_TAKEN, place);
    if (!HH_CAS(&entry->w, &w, moving)) {
        hh_slot_settle(heap->map, (uint32_t)heap->owner, map_at, index, place);
        HH_STORE(&heap->lane->notes, n);
        return;
    }
    mover->w[n] = moving;
    mover->notes = n + 1;
}

/* Closes a span and moves its blocks out; gives its pages back if none is left. */
bool hh_evacuate(struct hh_heap *heap, uint32_t page, uint32_t class_)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    const struct hh_class *info = &map->classes[class_];
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d), at = hh_slots_at(map, page, class_);
    if (hh_d_kind(d) != HH_PAGE_SPAN || hh_d_class(d) != class_ ||
        page + 1 == mover->dest ||
        !HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, heap->owner)))
        return false;
    bool spent = hh_spent(mover);
    for (uint32_t i = 0; i < info->slots && !spent; i++) {
        take_slot(heap, at + i * 4u,
                  hh_place_of(map, page) + (uint64_t)i * info->bytes / 16);
        if (mover->notes < mover->policy.batch)
            continue;
        flush(heap, page, class_);
        spent = hh_spent(mover);
    }
    flush(heap, page, class_);
    if (!hh_span_dissolve(heap, page)) {
        hh_span_leave(heap, page);
        return false;
    }
    mover->done.returned_bytes += (uint64_t)info->pages * HH_PAGE;
    return true;
}

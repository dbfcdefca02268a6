// SPDX-License-Identifier: MIT
/*
 * free.c - free beyond the fast path: full magazines, large blocks, refusals.
 *
 * Built on: mags.c, spans.c, pages.c. Concurrency: any door may free any block.
 * Why this way: the change of W is the free; what follows only tidies up, and a kill in
 * between is finished by recovery.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

/* Whether this lane has the block locked in any way. */
static bool locked_by(struct hh_lane *lane, uint64_t handle)
{
    uint32_t cells = HH_LOAD(&lane->cells_used), excl = HH_LOAD(&lane->excl_used);
    for (uint32_t i = 0; i < cells && i < HH_CELLS; i++) {
        if (HH_LOAD(&lane->cell[i]) == handle)
            return true;
    }
    for (uint32_t i = 0; i < excl && i < HH_EXCL; i++) {
        if (HH_LOAD(&lane->excl[i]) == handle)
            return true;
    }
    return false;
}

static int refuse_locked(struct hh_heap *heap, hh_handle block)
{
    struct hh_map *map = heap->map;
    if (locked_by(heap->lane, block.word))
        return hh_fail(-EBUSY, "this door has the block locked");
    if (!(map->flags & HH_CHECKED))
        return 0;
    (void)hh_os_barrier();
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        if (locked_by(hh_lane_at(map, i), block.word))
            return hh_fail(-EBUSY, "door %u has the block locked", i);
    }
    return 0;
}

/* Ends a block whose index goes without one from here on: large ones, and the last
 * generation of an index. */
static int free_bare(struct hh_heap *heap, uint32_t index, uint64_t w, bool large)
{
    struct hh_map *map = heap->map;
    struct hh_intent *intent = &heap->lane->intent;
    bool last = hh_w_gen(w) == HH_GEN_MAX;
    uint64_t place = hh_w_place(w), map_at = 0, page64 = hh_page_of(map, place);
    uint32_t page = (uint32_t)page64, pages = 0;
    if (large && page64 < hh_pages_known(map))
        pages = HH_PEEK(&hh_page_at(map, page)->pages);
    if (large && (!pages || pages > map->at.pages - page64))
        return hh_fail(-EBADMSG, "a large block names no run of pages");
    if (!large && hh_slot_find(map, place, &page, &map_at))
        return -EBADMSG;
    if (!last && !hh_bare_room(heap))
        return hh_fail(-ENOMEM, "no magazine is left");
    HH_PUT(&intent->index, index);
    HH_PUT(&intent->place, place);
    HH_PUT(&intent->map_at, map_at);
    HH_PUT(&intent->page, page);
    HH_PUT(&intent->pages, pages);
    HH_STORE(&intent->op, (uint32_t)(large ? HH_OP_RUN : HH_OP_SLOT));
    struct hh_mag *bare = heap->prev[0];
    uint32_t count = last ? 0 : HH_PEEK(&bare->count);
    if (!last)
        HH_PUT(&bare->item[count], index);
    uint64_t next =
        last ? hh_w(HH_GEN_MAX, HH_RETIRED, 0) : hh_w(hh_w_gen(w) + 1, HH_BARE, 0);
    bool done = HH_CAS(&hh_entry_at(map, index)->w, &w, next);
    if (done && !last)
        HH_STORE(&bare->count, count + 1);
    if (done && large) {
        uint64_t d = hh_d(HH_PAGE_RUN, 0, index);
        (void)HH_ADD(&map->head->slot_bytes, -(uint64_t)pages * HH_PAGE);
        /* A mover that has claimed the run finds it nameless and gives it back. */
        if (HH_CAS(&hh_page_at(map, page)->d, &d,
                   hh_d(HH_PAGE_CLAIMED, 1, heap->owner)))
            hh_pages_release(heap, page, pages);
    } else if (done) {
        uint32_t mine = index + 1;
        (void)HH_CAS(hh_slot_at(map, map_at), &mine, 0u);
        hh_span_unuse(heap, page, 1);
    }
    HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
    return done ? 0 : -EAGAIN;
}

static int free_cached(struct hh_heap *heap, uint32_t index, uint64_t w,
                       uint32_t class_)
{
    if (!hh_mag_room(heap, class_))
        return hh_fail(-ENOMEM, "no magazine is left");
    struct hh_mag *mag = heap->mag[class_];
    uint32_t count = HH_PEEK(&mag->count);
    HH_PUT(&mag->item[count], index);
    if (!HH_CAS(&hh_entry_at(heap->map, index)->w, &w,
                hh_w(hh_w_gen(w) + 1, HH_CACHED, hh_w_place(w))))
        return -EAGAIN;
    HH_STORE(&mag->count, count + 1);
    return 0;
}

int hh_free_slow(struct hh_heap *heap, hh_handle block)
{
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    uint32_t index = (uint32_t)block.word;
    if (index >= heap->limit)
        hh_refresh(heap);
    if (block.word >> HH_TAG_SHIFT != heap->map->tag || index >= heap->limit)
        return hh_fail(-ESTALE, "the handle is not of this heap");
    struct hh_entry *entry = hh_entry_at(heap->map, index);
    if (++heap->ticks % 16 == 0) {
        hh_counters_flush(heap);
        hh_move_step(heap);
    }
    int error = refuse_locked(heap, block);
    if (error)
        return error;
    for (uint32_t turn = 0; turn < 1u << 16; turn++) {
        uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
        enum hh_state state = hh_w_state(w);
        uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 255;
        if (hh_w_gen(w) != (block.word >> 32 & HH_GEN_MAX) ||
            (state != HH_LIVE && state != HH_MOVING && state != HH_RESIZING))
            return hh_fail(-ESTALE, "the block was freed");
        if (state == HH_RESIZING)
            return hh_fail(-EBUSY, "the block is being resized");
        if (m >> HH_M_OWNER_SHIFT) {
            uint32_t owner = (uint32_t)(m >> HH_M_OWNER_SHIFT);
            if (!hh_owner_dead(heap->map, owner) || !hh_recover_all(heap->map))
                return hh_fail(-EBUSY, "door %u has the block locked", owner >> 16);
            continue;
        }
        bool large = class_ == HH_CLASS_LARGE;
        if (!class_ || class_ > HH_CLASS_LARGE)
            return hh_fail(-EBADMSG, "entry %u has class %u", index, class_);
        if (large || hh_w_gen(w) == HH_GEN_MAX)
            error = free_bare(heap, index, w, large);
        else
            error = free_cached(heap, index, w, class_);
        if (error != -EAGAIN) {
            heap->frees += !error;
            return error;
        }
    }
    return hh_fail(-EBADMSG, "entry %u does not come to rest", index);
}

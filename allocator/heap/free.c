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

/* Whether any lane has the block locked; for those who made W say first that they want
 * to know, and went through a barrier. */
bool hh_is_locked(struct hh_map *map, uint64_t handle)
{
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        if (HH_LOAD(&lane->busy) == (uint32_t)handle + UINT64_C(1) ||
            locked_by(lane, handle))
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
    hh_os_settle();
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        if (locked_by(hh_lane_at(map, i), block.word))
            return hh_fail(-EBUSY, "door %u has the block locked", i);
    }
    return 0;
}

/*
 * Ends the right of the lane that allocated a block to free its blocks by plain stores,
 * so that this lane's CAS on W is safe. Costs a barrier once for a lane, then a load.
 * Errors: -EBUSY that lane is just changing this very entry and does not get on.
 */
static int unbias(struct hh_heap *heap, uint64_t m, uint32_t index)
{
    uint32_t home = (uint32_t)(m >> HH_M_HOME_SHIFT) & 0xfff;
    if (home == heap->owner >> 12)
        return 0;
    if (home >= heap->map->shape.lanes || home >= HH_LOAD(&heap->map->head->lanes_used))
        return hh_fail(-EBADMSG, "entry %u comes from no door", index);
    struct hh_lane *lane = hh_lane_at(heap->map, home);
    if (HH_LIKELY(HH_LOAD(&lane->shared) == 2))
        return 0;
    uint64_t none = 0;
    (void)HH_CAS(&lane->shared, &none, UINT64_C(1));
    hh_os_settle();
    for (int turn = 0; turn < 2000; turn++) {
        uint64_t busy = HH_LOAD(&lane->busy), one = 1;
        if (!busy)
            (void)HH_CAS(&lane->shared, &one, UINT64_C(2));
        if (busy != index + UINT64_C(1))
            return 0;
        uint64_t epoch = HH_LOAD(&lane->epoch);
        if (turn && hh_owner_dead(heap->map, hh_owner(home, epoch)))
            (void)hh_recover_all(heap->map);
        hh_os_pause();
    }
    return hh_fail(-EBUSY, "door %u is stopped while it frees the block", home);
}

/* Gives the run of a large block back that its entry no longer names. A mover that has
 * claimed the run finds it nameless and does it instead. */
void hh_run_free(struct hh_heap *heap, uint32_t page, uint32_t pages, uint32_t index)
{
    struct hh_map *map = heap->map;
    uint64_t d = hh_d(HH_PAGE_RUN, 0, index);
    (void)HH_ADD(&map->head->slot_bytes, -(uint64_t)pages * HH_PAGE);
    if (HH_CAS(&hh_page_at(map, page)->d, &d, hh_d(HH_PAGE_CLAIMED, 1, heap->owner)) &&
        hh_run_settle(map, (uint32_t)heap->owner, index, page))
        hh_pages_release(heap, page, pages);
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
    struct hh_mag *bare = heap->prev[0];
    uint32_t count = last ? 0 : HH_PEEK(&bare->count);
    if (count >= HH_MAG_ITEMS)
        return hh_fail(-EBADMSG, "a magazine has too many items");
    HH_PUT(&intent->index, index);
    HH_PUT(&intent->place, place);
    HH_PUT(&intent->map_at, map_at);
    HH_PUT(&intent->page, page);
    HH_PUT(&intent->pages, pages);
    HH_STORE(&intent->op, (uint32_t)(large ? HH_OP_RUN : HH_OP_SLOT));
    if (!last)
        HH_PUT(&bare->item[count], (uint64_t)index);
    uint64_t next =
        last ? hh_w(HH_GEN_MAX, HH_RETIRED, 0) : hh_w(hh_w_gen(w) + 1, HH_BARE, 0);
    bool done = HH_CAS(&hh_entry_at(map, index)->w, &w, next);
    if (done && !last)
        HH_STORE(&bare->count, count + 1);
    if (done && large) {
        hh_run_free(heap, page, pages, index);
    } else if (done) {
        hh_slot_release(map, (uint32_t)heap->owner, map_at, index, place);
    }
    HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
    if (done && !large)
        hh_span_unuse(heap, page, 1);
    return done ? 0 : -EAGAIN;
}

static int free_cached(struct hh_heap *heap, uint32_t index, uint64_t w,
                       uint32_t class_)
{
    if (!hh_mag_room(heap, class_))
        return hh_fail(-ENOMEM, "no magazine is left");
    struct hh_mag *mag = heap->mag[class_];
    uint32_t count = HH_PEEK(&mag->count);
    if (count >= HH_MAG_ITEMS)
        return hh_fail(-EBADMSG, "a magazine has too many items");
    HH_PUT(&mag->item[count], heap->key | (hh_w_gen(w) + 1) << 32 | index);
    if (!HH_CAS(&hh_entry_at(heap->map, index)->w, &w,
                hh_w(hh_w_gen(w) + 1, HH_CACHED, hh_w_place(w)))) {
        HH_STORE(&mag->item[count], UINT64_C(0));
        return -EAGAIN;
    }
    HH_STORE(&mag->count, count + 1);
    return 0;
}

/* A block of another lane, or of this one since others free its blocks too: the fast
 * path with a CAS. False: nothing was done. */
static bool free_shared(struct hh_heap *heap, hh_handle block)
{
    struct hh_entry *entry = &heap->table[(uint32_t)block.word];
    uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
    uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 127;
    struct hh_mag *mag = heap->mag[class_];
    if (w >> HH_STATE_SHIFT != hh_expects(heap, block) || m >> HH_M_FLAGS_SHIFT ||
        !mag || hh_w_gen(w) == HH_GEN_MAX || unbias(heap, m, (uint32_t)block.word))
        return false;
    uint32_t count = HH_PEEK(&mag->count);
    if (count >= heap->full[class_])
        return false;
    HH_PUT(&mag->item[count], block.word + (UINT64_C(1) << 32));
    if (!HH_CAS(&entry->w, &w, hh_w(hh_w_gen(w) + 1, HH_CACHED, hh_w_place(w)))) {
        /* Whoever freed it has that very item: recovery must not find it here. */
        HH_STORE(&mag->item[count], UINT64_C(0));
        return false;
    }
    HH_STORE(&mag->count, count + 1);
    return true;
}

int hh_free_slow(struct hh_heap *heap, hh_handle block)
{
    uint32_t index = (uint32_t)block.word;
    if (heap)
        heap->hot = HH_HOT_NONE;
    if (heap && index < heap->limit && !heap->held && free_shared(heap, block))
        return 0;
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    if (index >= heap->known)
        hh_refresh(heap);
    if (block.word >> HH_TAG_SHIFT != heap->map->tag || index >= heap->known)
        return hh_fail(-ESTALE, "the handle is not of this heap");
    struct hh_entry *entry = hh_entry_at(heap->map, index);
    if (++heap->ticks % 16 == 0) {
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
        if (m >> HH_M_OWNER_SHIFT) {
            uint32_t owner = (uint32_t)(m >> HH_M_OWNER_SHIFT);
            if (!hh_owner_dead(heap->map, owner) || !hh_recover_all(heap->map))
                return hh_fail(-EBUSY, "door %u has the block locked", owner >> 12);
            continue;
        }
        if (state == HH_RESIZING) {
            (void)HH_CAS(&entry->w, &w, hh_w(hh_w_gen(w), HH_LIVE, hh_w_place(w)));
            continue;
        }
        bool large = class_ == HH_CLASS_LARGE;
        if (!class_ || class_ > HH_CLASS_LARGE)
            return hh_fail(-EBADMSG, "entry %u has class %u", index, class_);
        error = large ? 0 : unbias(heap, m, index);
        if (error)
            return error;
        /* What was read before the barrier may be of before a free by that lane. */
        if (!large && HH_LOAD(&entry->w) != w)
            continue;
        if (large || hh_w_gen(w) == HH_GEN_MAX)
            error = free_bare(heap, index, w, large);
        else
            error = free_cached(heap, index, w, class_);
        /* What looked broken may have moved meanwhile. */
        if (error == -EBADMSG && HH_LOAD(&entry->w) != w)
            continue;
        if (error != -EAGAIN) {
            return error;
        }
    }
    return hh_fail(-EBADMSG, "entry %u does not come to rest", index);
}

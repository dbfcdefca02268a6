// SPDX-License-Identifier: MIT
/*
 * realloc.c - another size, the same handle.
 *
 * Built on: spans.c, pages.c, free.c. Concurrency: any door; a block that anybody has
 * locked stays as it is.
 * Why this way: the block's new room is claimed first; then W says RESIZING and a
 * barrier makes all pins visible, as for a move. The commit changes place and size at
 * once, and only if nobody has locked or freed the block since.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <string.h>

struct room {
    uint32_t class_; /* HH_CLASS_LARGE: a run */
    uint32_t page, pages;
    uint64_t place, map_at;
    size_t capacity;
};

/* Where the block is now. */
static int old_room(struct hh_map *map, uint64_t w, uint64_t m, struct room *room)
{
    room->class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 255;
    room->place = hh_w_place(w);
    room->pages = 0;
    room->map_at = 0;
    int error = hh_capacity(map, w, m, &room->capacity);
    if (error)
        return error;
    if (room->class_ != HH_CLASS_LARGE)
        return hh_slot_find(map, room->place, &room->page, &room->map_at);
    room->page = (uint32_t)hh_page_of(map, room->place);
    room->pages = (uint32_t)(room->capacity / HH_PAGE);
    return 0;
}

/* Claims room for `bytes`; what to do about it is written down in note and intent. */
static int new_room(struct hh_heap *heap, uint32_t index, size_t bytes,
                    struct room *room)
{
    struct hh_map *map = heap->map;
    struct hh_note *note = &heap->lane->note[0];
    int error;
    if (bytes <= HH_SMALL_MAX) {
        room->class_ = hh_class_of(bytes);
        room->capacity = map->classes[room->class_].bytes;
        room->pages = 0;
        return hh_slot_get(heap, room->class_, index, note, &room->place,
                           &room->map_at);
    }
    room->class_ = HH_CLASS_LARGE;
    room->pages = (uint32_t)((bytes + HH_PAGE - 1) / HH_PAGE);
    room->capacity = (size_t)room->pages * HH_PAGE;
    error = hh_pages_claim(heap, room->pages, UINT64_MAX, &room->page);
    if (error)
        return error;
    hh_pages_commit(heap, room->page, room->pages,
                    hh_d(HH_PAGE_CLAIMED, 1, heap->owner));
    room->place = hh_place_of(map, room->page);
    return 0;
}

/* Writes down both runs before the commit can change which of them is the block's. */
static void note_runs(struct hh_heap *heap, uint32_t index, const struct room *from,
                      const struct room *to)
{
    struct hh_intent *intent = &heap->lane->intent;
    if (from->class_ != HH_CLASS_LARGE && to->class_ != HH_CLASS_LARGE)
        return;
    const struct room *first = from->class_ == HH_CLASS_LARGE ? from : to;
    HH_PUT(&intent->to_page, to->page);
    HH_PUT(&intent->to_pages, to->class_ == HH_CLASS_LARGE ? to->pages : 0);
    /* With OP_SHIFT nothing changes hands by mistake while page and pages are written:
     * the new run is covered by to_page already. */
    if (to->class_ == HH_CLASS_LARGE)
        HH_STORE(&intent->op, (uint32_t)HH_OP_SHIFT);
    HH_STORE(&intent->index, index);
    HH_PUT(&intent->place, from->place);
    HH_PUT(&intent->pages, first->pages);
    HH_PUT(&intent->page, first->page);
    HH_STORE(&intent->op, (uint32_t)HH_OP_SHIFT);
}

/* Ends a claim that W does not name, or an old room that it names no longer. */
static void leave_room(struct hh_heap *heap, uint32_t index, const struct room *room,
                       bool claimed)
{
    struct hh_map *map = heap->map;
    uint32_t owner = (uint32_t)heap->owner;
    if (room->class_ == HH_CLASS_LARGE) {
        if (claimed)
            hh_pages_release(heap, room->page, room->pages);
        else
            hh_run_free(heap, room->page, room->pages, index);
        return;
    }
    if (claimed) {
        hh_slot_settle(map, owner, room->map_at, index, room->place);
        return;
    }
    hh_slot_release(map, owner, room->map_at, index, room->place);
    HH_STORE(&heap->lane->notes, 0u);
    hh_span_unuse(heap, room->page, 1);
}

static void enter_room(struct hh_heap *heap, uint32_t index, const struct room *room)
{
    uint32_t owner = (uint32_t)heap->owner;
    if (room->class_ == HH_CLASS_LARGE) {
        (void)HH_ADD(&heap->map->head->slot_bytes, room->capacity);
        if (hh_run_settle(heap->map, owner, index, room->page))
            hh_pages_release(heap, room->page, room->pages);
    } else {
        hh_slot_settle(heap->map, owner, room->map_at, index, room->place);
        hh_slot_count(heap, room->class_);
    }
}

/* With the new room claimed: the move itself. */
static int change_room(struct hh_heap *heap, hh_handle block, uint64_t w, uint64_t m,
                       size_t bytes, const struct room *from, const struct room *to)
{
    struct hh_map *map = heap->map;
    struct hh_entry *entry = hh_entry_at(map, (uint32_t)block.word);
    uint64_t resizing = hh_w(hh_w_gen(w), HH_RESIZING, from->place);
    uint64_t mine = m | heap->owner << HH_M_OWNER_SHIFT;
    size_t old = hh_size(m, from->capacity);
    /* The exclusive owner for the time of it: a RESIZING that somebody has ended must
     * not be taken for one that another door began since. */
    if (m >> HH_M_OWNER_SHIFT || !hh_cas_both(entry, w, m, resizing, mine))
        return hh_w_place(HH_LOAD(&entry->w)) == hh_w_place(w)
                   ? hh_fail(-EBUSY, "somebody else uses the block")
                   : -EAGAIN;
    hh_os_settle();
    if (hh_is_locked(map, block.word))
        goto busy;
    memcpy(map->base + to->place * 16, map->base + from->place * 16,
           old < bytes ? old : bytes);
    uint64_t kept = m & ~(HH_M_SIZE_MASK | UINT64_C(255) << HH_M_CLASS_SHIFT);
    uint64_t size = to->class_ == HH_CLASS_LARGE ? to->capacity - bytes : bytes;
    while (HH_LOAD(&entry->w) == resizing) {
        uint64_t now = HH_LOAD(&entry->m);
        if ((now & ~HH_M_WAITERS) != (mine & ~HH_M_WAITERS))
            break;
        if (!hh_cas_both(entry, resizing, now, hh_w(hh_w_gen(w), HH_LIVE, to->place),
                         (kept & ~HH_M_WAITERS) |
                             (uint64_t)to->class_ << HH_M_CLASS_SHIFT | size))
            continue;
        if (now & HH_M_WAITERS)
            hh_os_wake((uint32_t *)(void *)&entry->m + 1);
        return 0;
    }
busy:
    (void)HH_CAS(&entry->w, &resizing, w);
    hh_disown(heap, block);
    return hh_fail(-EBUSY, "the block is locked");
}

static int move_to(struct hh_heap *heap, hh_handle block, uint64_t w, uint64_t m,
                   size_t bytes)
{
    struct hh_note *note = &heap->lane->note[0];
    uint32_t index = (uint32_t)block.word;
    struct room from, to;
    int error = old_room(heap->map, w, m, &from);
    if (hh_w_place(HH_LOAD(&hh_entry_at(heap->map, index)->w)) != hh_w_place(w))
        return -EAGAIN;
    if (error)
        return error;
    HH_PUT(&note->index, index);
    HH_PUT(&note->from, from.class_ == HH_CLASS_LARGE ? 0 : from.place);
    HH_PUT(&note->map_from, from.map_at);
    HH_PUT(&note->to, UINT64_C(0));
    HH_STORE(&heap->lane->notes, 1u);
    error = new_room(heap, index, bytes, &to);
    if (error) {
        HH_STORE(&heap->lane->notes, 0u);
        return error;
    }
    note_runs(heap, index, &from, &to);
    error = change_room(heap, block, w, m, bytes, &from, &to);
    if (error) {
        leave_room(heap, index, &to, true);
    } else {
        enter_room(heap, index, &to);
        leave_room(heap, index, &from, false);
    }
    HH_STORE(&heap->lane->intent.op, (uint32_t)HH_OP_NONE);
    HH_STORE(&heap->lane->notes, 0u);
    return error;
}

int hh_realloc(struct hh_heap *heap, hh_handle block, size_t bytes)
{
    uint64_t w, m;
    int error = hh_look_up(heap, block, &w, &m);
    if (error)
        return error;
    if (!bytes || bytes > heap->map->shape.bytes)
        return bytes ? hh_fail(-ENOMEM, "%zu bytes are more than the heap has", bytes)
                     : -EINVAL;
    heap->hot = HH_HOT_NONE;
    struct hh_entry *entry = hh_entry_at(heap->map, (uint32_t)block.word);
    for (uint32_t turn = 0, tries = 0; tries < 64; tries++) {
        size_t capacity;
        error = hh_measure(heap, block, &w, &m, &capacity);
        if (error)
            return error;
        if (m >> HH_M_OWNER_SHIFT &&
            (!hh_owner_dead(heap->map, (uint32_t)(m >> HH_M_OWNER_SHIFT)) ||
             !hh_recover_all(heap->map)))
            return hh_fail(-EBUSY, "door %u has the block locked",
                           (uint32_t)(m >> HH_M_OWNER_SHIFT) >> 12);
        uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 255;
        bool large = bytes > HH_SMALL_MAX;
        size_t rounded = (bytes + HH_PAGE - 1) / HH_PAGE * HH_PAGE;
        if (large ? class_ == HH_CLASS_LARGE && rounded == capacity
                  : class_ == hh_class_of(bytes)) {
            uint64_t size = large ? capacity - bytes : bytes;
            if (hh_cas_both(entry, w, m, w, (m & ~HH_M_SIZE_MASK) | size))
                return 0;
            continue;
        }
        if (hh_w_state(w) != HH_LIVE)
            w = hh_w(hh_w_gen(w), HH_LIVE, hh_w_place(w));
        error = move_to(heap, block, w, m, bytes);
        if (error == -EAGAIN)
            continue;
        if (error != -ENOMEM || !hh_reclaim(heap, turn++))
            return error;
    }
    return hh_fail(-EBUSY, "others change the block all the time");
}

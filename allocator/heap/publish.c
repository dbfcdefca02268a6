// SPDX-License-Identifier: MIT
/*
 * publish.c - allocation that no kill can leak.
 *
 * Built on: alloc.c, lock.c. Concurrency: the door's thread; recovery reads the debts.
 * Why this way: between hh_alloc and the moment the handle is stored where others find
 * it, only the allocating thread knows the block. So the lane writes down beforehand
 * which block it is about to take and where its name will go; the block carries a mark
 * until then. Recovery frees what still carries the mark and is not named there.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

static void settle_mark(struct hh_entry *entry, uint64_t gen)
{
    uint64_t m = HH_LOAD(&entry->m);
    while (m & HH_M_UNPUBLISHED && hh_w_gen(HH_LOAD(&entry->w)) == gen &&
           !HH_CAS(&entry->m, &m, m & ~HH_M_UNPUBLISHED))
        ;
}

/* The slot in the holder, or null if there is none such (any more). */
static uint64_t *slot_of(struct hh_map *map, uint64_t holder, uint64_t offset)
{
    uint32_t index = (uint32_t)holder;
    size_t capacity;
    if (!holder || index >= hh_limit(map) || holder >> HH_TAG_SHIFT != map->tag)
        return NULL;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
    enum hh_state state = hh_w_state(w);
    uint64_t at = hh_w_place(w) * 16;
    if (hh_w_gen(w) != (holder >> 32 & HH_GEN_MAX) ||
        (state != HH_LIVE && state != HH_MOVING && state != HH_RESIZING) ||
        hh_capacity(map, w, m, &capacity) || offset % 8 || capacity < 8 ||
        offset > capacity - 8 || at < map->at.area_at || at > map->at.total - capacity)
        return NULL;
    return (uint64_t *)(void *)(map->base + at + offset);
}

/* Recovery of one debt: the block is published if its slot names it, else it goes. Its
 * index stays in, or just above, the dead lane's magazines. */
void hh_debt_settle(struct hh_map *map, uint32_t owner, uint64_t handle,
                    uint64_t holder, uint64_t offset)
{
    uint32_t index = (uint32_t)handle, page;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m), map_at;
    uint64_t gen = handle >> 32 & HH_GEN_MAX, place = hh_w_place(w);
    uint64_t bare =
        gen == HH_GEN_MAX ? hh_w(gen, HH_RETIRED, 0) : hh_w(gen + 1, HH_BARE, 0);
    if (hh_w_gen(w) != gen || hh_w_state(w) == HH_CACHED || hh_w_state(w) == HH_TAKEN ||
        !(m & HH_M_UNPUBLISHED))
        return;
    /* The holder may be moving: then the slot is in both places for a moment. */
    uint64_t *slot = slot_of(map, holder, offset);
    if (slot && HH_LOAD(slot) == handle) {
        settle_mark(entry, gen);
        return;
    }
    if ((m >> HH_M_CLASS_SHIFT & 255) == HH_CLASS_LARGE) {
        uint64_t run = hh_d(HH_PAGE_RUN, 0, index), at = hh_page_of(map, place);
        struct hh_intent *left = &hh_lane_at(map, owner >> 12)->intent;
        uint32_t pages =
            at < hh_pages_known(map) ? HH_PEEK(&hh_page_at(map, at)->pages) : 0;
        /* Should this recovery be killed too, the next one gives the run back. */
        HH_PUT(&left->index, index);
        HH_PUT(&left->place, place);
        HH_PUT(&left->page, (uint32_t)at);
        HH_PUT(&left->pages, pages);
        HH_STORE(&left->op, (uint32_t)HH_OP_RUN);
        if (at < hh_pages_known(map) && HH_CAS(&entry->w, &w, bare) &&
            HH_CAS(&hh_page_at(map, at)->d, &run, hh_d(HH_PAGE_CLAIMED, 1, owner)))
            hh_pages_resolve(map, owner, (uint32_t)at, pages);
        HH_STORE(&left->op, (uint32_t)HH_OP_NONE);
        return;
    }
    if (hh_slot_find(map, place, &page, &map_at))
        return;
    struct hh_intent *intent = &hh_lane_at(map, owner >> 12)->intent;
    HH_PUT(&intent->index, index);
    HH_PUT(&intent->place, place);
    HH_PUT(&intent->map_at, map_at);
    HH_STORE(&intent->op, (uint32_t)HH_OP_SLOT);
    if (HH_CAS(&entry->w, &w, bare))
        hh_slot_release(map, owner, map_at, index, place);
    HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
}

/* Whether a debt stands: somebody may have freed or taken the block meanwhile. */
static bool owed(struct hh_map *map, uint64_t handle)
{
    if (!handle || (uint32_t)handle >= hh_limit(map))
        return false;
    struct hh_entry *entry = hh_entry_at(map, (uint32_t)handle);
    return hh_w_gen(HH_LOAD(&entry->w)) == (handle >> 32 & HH_GEN_MAX) &&
           HH_LOAD(&entry->m) & HH_M_UNPUBLISHED;
}

int hh_alloc_to(struct hh_heap *heap, size_t bytes, hh_handle holder, size_t offset,
                hh_handle *out)
{
    hh_why_clear();
    if (!heap || !bytes || !hh_revive(heap))
        return -EINVAL;
    struct hh_debt *debt = heap->lane->debt;
    uint64_t *slot = NULL;
    void *at;
    size_t room;
    while (debt < heap->lane->debt + HH_DEBTS &&
           owed(heap->map, HH_PEEK(&debt->handle)))
        debt++;
    if (debt == heap->lane->debt + HH_DEBTS)
        return hh_fail(-EMFILE, "this door has %u unpublished blocks", HH_DEBTS);
    int error = 0;
    if (holder.word) {
        error = hh_lock(heap, holder, HH_PIN, HH_NOWAIT, &at);
        if (error)
            return error;
        error = hh_usable(heap, holder, &room);
        if (!error && (offset % 8 || room < 8 || offset > room - 8))
            error = hh_fail(-EINVAL, "no slot at %zu of %zu bytes", offset, room);
        slot = (uint64_t *)(void *)((char *)at + offset);
    }
    HH_STORE(&debt->handle, UINT64_C(0));
    HH_STORE(&debt->holder, holder.word);
    HH_PUT(&debt->offset, (uint64_t)offset);
    hh_handle block;
    if (!error)
        error = hh_alloc_noted(heap, bytes, debt, &block);
    if (!error && slot) {
        HH_STORE(slot, block.word);
        settle_mark(hh_entry_at(heap->map, (uint32_t)block.word),
                    block.word >> 32 & HH_GEN_MAX);
    }
    if (error || slot)
        HH_STORE(&debt->handle, UINT64_C(0));
    if (holder.word && hh_unlock(heap, holder))
        error = error ? error : -EPERM;
    if (!error)
        *out = block;
    return error;
}

int hh_publish(struct hh_heap *heap, hh_handle block)
{
    uint64_t w, m;
    int error = hh_look_up(heap, block, &w, &m);
    if (error)
        return error;
    settle_mark(hh_entry_at(heap->map, (uint32_t)block.word), hh_w_gen(w));
    for (uint32_t i = 0; i < HH_DEBTS; i++) {
        if (HH_PEEK(&heap->lane->debt[i].handle) == block.word)
            HH_STORE(&heap->lane->debt[i].handle, UINT64_C(0));
    }
    return 0;
}

int hh_take(struct hh_heap *heap, hh_handle holder, size_t offset, hh_handle *out)
{
    void *at;
    size_t room;
    uint64_t w, m;
    if (!out)
        return -EINVAL;
    int error = hh_lock(heap, holder, HH_PIN, HH_NOWAIT, &at);
    if (error)
        return error;
    error = hh_usable(heap, holder, &room);
    if (!error && (offset % 8 || room < 8 || offset > room - 8))
        error = hh_fail(-EINVAL, "no slot at %zu of %zu bytes", offset, room);
    if (!error) {
        uint64_t *slot = (uint64_t *)(void *)((char *)at + offset);
        hh_handle block = {HH_LOAD(slot)};
        /* The mark first: from then on recovery leaves the block alone. */
        error = block.word ? hh_look_up(heap, block, &w, &m) : -ENOENT;
        if (!error) {
            settle_mark(hh_entry_at(heap->map, (uint32_t)block.word), hh_w_gen(w));
            uint64_t seen = block.word;
            if (HH_CAS(slot, &seen, UINT64_C(0)))
                *out = block;
            else
                error = hh_fail(-ENOENT, "another took it");
        }
    }
    int unlocked = hh_unlock(heap, holder);
    return error ? error : unlocked;
}

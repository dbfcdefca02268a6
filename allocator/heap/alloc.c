// SPDX-License-Identifier: MIT
/*
 * alloc.c - alloc beyond the fast path: refills, large blocks, a heap that is full.
 *
 * Built on: mags.c, spans.c, pages.c, mover.c. Concurrency: the door's thread.
 * Why this way: a refill attaches some blocks at a time, at most 16 KiB of them, so
 * that a rarely used class does not hoard and the slow call stays short.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

/* Lowers count past what cannot be handed out; true: a block is on top. */
static bool tidy_top(struct hh_heap *heap, struct hh_mag *mag)
{
    uint32_t count = HH_PEEK(&mag->count);
    for (count = count < HH_MAG_ITEMS ? count : HH_MAG_ITEMS; count > 0; count--) {
        uint64_t item = HH_PEEK(&mag->item[count - 1]);
        uint32_t index = (uint32_t)item;
        if (index >= heap->known)
            hh_refresh(heap);
        if (index < heap->known) {
            if (hh_item_cached(heap, item)) {
                HH_STORE(&mag->count, count);
                return true;
            }
            enum hh_state state = hh_w_state(HH_LOAD(&heap->table[index].w));
            if (state == HH_BARE || state == HH_FREE)
                hh_bare_push(heap, index);
        }
        HH_STORE(&mag->count, count - 1);
    }
    return false;
}

/* Attaches blocks to indexes: into the magazine in use, which is empty. */
static int attach_some(struct hh_heap *heap, uint32_t class_)
{
    struct hh_mag *mag = heap->mag[class_];
    if (!mag) {
        mag = hh_mag_empty(heap);
        if (!mag)
            return hh_fail(-ENOMEM, "no magazine is left");
        HH_STORE(&mag->owner, hh_mag_word(HH_MAG_LANE, class_, heap->owner));
        heap->mag[class_] = mag;
    }
    uint32_t want = (16u << 10) / heap->map->classes[class_].bytes;
    want = want < 1 ? 1 : want;
    want = want < heap->full[class_] ? want : heap->full[class_];
    uint32_t count = 0, index;
    int error = 0;
    while (count < want && !(error = hh_bare_peek(heap, &index))) {
        /* Before it is attached, as free does: recovery looks at the item above count.
         */
        uint64_t w = HH_LOAD(&heap->table[index].w);
        HH_PUT(&mag->item[count], heap->key | hh_w_gen(w) << 32 | index);
        error = hh_slot_attach(heap, class_, index);
        if (error && error != -EAGAIN)
            break;
        if (!error)
            HH_STORE(&mag->count, ++count);
        else
            HH_STORE(&mag->item[count], UINT64_C(0));
        hh_bare_drop(heap);
    }
    return count ? 0 : error;
}

/* Puts a block on top of the class's magazine in use. */
static int refill(struct hh_heap *heap, uint32_t class_)
{
    struct hh_mag *mag = heap->mag[class_], *prev = heap->prev[class_];
    if (mag && tidy_top(heap, mag))
        return 0;
    if (prev && tidy_top(heap, prev)) {
        heap->mag[class_] = prev;
        heap->prev[class_] = mag;
        return 0;
    }
    while ((mag = hh_mag_take(heap, class_))) {
        struct hh_mag *old = heap->mag[class_];
        heap->mag[class_] = mag;
        if (old)
            hh_mag_return(heap, old);
        if (tidy_top(heap, mag))
            return 0;
    }
    return attach_some(heap, class_);
}

/* The fast path's own steps, by CAS and without its way out to here. */
static bool pop(struct hh_heap *heap, uint64_t class_, size_t bytes,
                struct hh_debt *debt, hh_handle *out)
{
    struct hh_mag *mag = heap->mag[class_];
    uint32_t last = HH_PEEK(&mag->count) - 1;
    if (last >= HH_MAG_ITEMS)
        return false;
    uint64_t item = HH_PEEK(&mag->item[last]);
    struct hh_entry *entry = &heap->table[(uint32_t)item];
    uint64_t w = HH_LOAD(&entry->w);
    if (w >> HH_STATE_SHIFT != ((item >> 32 << 4) ^ heap->cached_key))
        return false;
    if (debt)
        HH_STORE(&debt->handle, item);
    HH_PUT(&entry->m, heap->home | class_ << HH_M_CLASS_SHIFT | bytes |
                          (debt ? HH_M_UNPUBLISHED : 0));
    if (!HH_CAS(&entry->w, &w, w ^ hh_w(0, HH_CACHED ^ HH_LIVE, 0)))
        return false;
    HH_STORE(&mag->count, last);
    out->word = item;
    return true;
}

/* What can be done about a full heap, the cheap first. False: nothing is left. */
bool hh_reclaim(struct hh_heap *heap, uint32_t turn)
{
    struct hh_moved moved;
    switch (turn) {
    case 0:
        (void)hh_recover_all(heap->map);
        hh_caches_drop(heap);
        return true;
    case 1:
        return !hh_move(heap, 0, 100000000, true, &moved);
    default:
        return false;
    }
}

static int alloc_large(struct hh_heap *heap, size_t bytes, struct hh_debt *debt,
                       hh_handle *out)
{
    struct hh_map *map = heap->map;
    uint32_t pages = (uint32_t)((bytes + HH_PAGE - 1) / HH_PAGE), index, page;
    int error = hh_bare_peek(heap, &index);
    if (!error)
        error = hh_pages_claim(heap, pages, UINT64_MAX, &page);
    if (error)
        return error;
    struct hh_intent *intent = &heap->lane->intent;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t place = hh_place_of(map, page), w = HH_LOAD(&entry->w);
    HH_PUT(&intent->place, place);
    HH_STORE(&intent->index, index);
    hh_pages_commit(heap, page, pages, hh_d(HH_PAGE_CLAIMED, 1, heap->owner));
    uint64_t handle = heap->key | hh_w_gen(w) << 32 | index;
    uint64_t size = ((uint64_t)pages * HH_PAGE - bytes) | (debt ? HH_M_UNPUBLISHED : 0);
    if (debt)
        HH_STORE(&debt->handle, handle);
    bool done =
        (hh_w_state(w) == HH_FREE || hh_w_state(w) == HH_BARE) &&
        hh_cas_both(entry, w, HH_PEEK(&entry->m), hh_w(hh_w_gen(w), HH_LIVE, place),
                    heap->home | (uint64_t)HH_CLASS_LARGE << HH_M_CLASS_SHIFT | size);
    hh_bare_drop(heap);
    if (!done) {
        hh_pages_release(heap, page, pages);
        return -EAGAIN;
    }
    HH_STORE(&hh_page_at(map, page)->d, hh_d(HH_PAGE_RUN, 0, index));
    HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
    (void)HH_ADD(&map->head->slot_bytes, (uint64_t)pages * HH_PAGE);
    out->word = handle;
    return 0;
}

/* With a debt, its handle is set before the block is LIVE, and the block is marked. */
int hh_alloc_noted(struct hh_heap *heap, size_t bytes, struct hh_debt *debt,
                   hh_handle *out)
{
    hh_why_clear();
    if (!heap || !bytes || !hh_revive(heap))
        return -EINVAL;
    if (bytes > heap->map->shape.bytes)
        return hh_fail(-ENOMEM, "%zu bytes are more than the heap has", bytes);
    heap->hot = HH_HOT_NONE;
    bool large = bytes > HH_SMALL_MAX;
    uint32_t class_ = large ? 0 : hh_class_of(bytes), turn = 0;
    if (++heap->ticks % 16 == 0) {
        hh_move_step(heap);
    }
    for (uint32_t tries = 0; tries < 64; tries++) {
        int error = large ? alloc_large(heap, bytes, debt, out) : refill(heap, class_);
        if (!error && (large || pop(heap, class_, bytes, debt, out))) {
            /* What the door has allocated, by the magazine: see the policy's credit. */
            heap->credit_bytes +=
                large ? bytes : heap->full[class_] * heap->map->classes[class_].bytes;
            return 0;
        }
        if (!error || error == -EAGAIN)
            continue;
        if (error != -ENOMEM || !hh_reclaim(heap, turn++))
            return error == -ENOMEM && !*hh_why()
                       ? hh_fail(error, "no room for %zu bytes", bytes)
                       : error;
    }
    return hh_fail(-ENOMEM, "others were faster every time");
}

int hh_alloc_slow(struct hh_heap *heap, size_t bytes, hh_handle *out)
{
    return hh_alloc_noted(heap, bytes, NULL, out);
}

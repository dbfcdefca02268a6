// SPDX-License-Identifier: MIT
/*
 * spans.c - slots: where a block of a small class lies.
 *
 * Built on: pages.c. Units: slots of one class within a span of pages; the map of a
 * span has a word for each slot, apart from the blocks. Concurrency: only the lane that
 * a span's head word names claims slots in it, by CAS and a second look at that word;
 * anyone empties a slot whose entry no longer names it. Truth is the pair (W.place,
 * slot word): the claim comes before W names the slot and the release after W stops
 * doing so, thus a slot that W names is never free for others. Why this way: the mover
 * closes a span by one CAS, and a kill in between leaves one claim that the lane's
 * intent names (see hh_slot_settle).
 */
#include "allocator/heap/internal.h"

#include <errno.h>

/* Whether the entry says that its block is at `place`. */
bool hh_names(struct hh_map *map, uint32_t index, uint64_t place)
{
    uint64_t w = HH_LOAD(&hh_entry_at(map, index)->w);
    enum hh_state state = hh_w_state(w);
    return hh_w_place(w) == place &&
           (state == HH_CACHED || state == HH_LIVE || state == HH_MOVING ||
            state == HH_RESIZING || state == HH_TAKEN);
}

/* Head page and slot word of a place in a span. Errors: -EBADMSG it is in none. */
int hh_slot_find(struct hh_map *map, uint64_t place, uint32_t *page, uint64_t *map_at)
{
    uint64_t at = hh_page_of(map, place);
    if (at >= hh_pages_known(map))
        return hh_fail(-EBADMSG, "an entry names a place outside the blocks");
    uint64_t d = HH_LOAD(&hh_page_at(map, at)->d);
    if (hh_d_kind(d) == HH_PAGE_BODY) {
        at = hh_d_value(d);
        if (at >= hh_pages_known(map))
            return hh_fail(-EBADMSG, "page word %llu is out of range",
                           (unsigned long long)at);
        d = HH_LOAD(&hh_page_at(map, at)->d);
    }
    uint32_t class_ = hh_d_class(d);
    if (hh_d_kind(d) != HH_PAGE_SPAN || !class_ || class_ > HH_CLASSES)
        return hh_fail(-EBADMSG, "page %llu holds no span", (unsigned long long)at);
    uint64_t offset = (place - hh_place_of(map, at)) * 16;
    uint64_t slot = offset / map->classes[class_].bytes;
    if (!hh_fits(map, at, map->classes[class_].pages) ||
        slot >= map->classes[class_].slots || offset % map->classes[class_].bytes)
        return hh_fail(-EBADMSG, "an entry names no slot of its span");
    *page = (uint32_t)at;
    *map_at = hh_slots_at(map, (uint32_t)at, class_) + slot * 4;
    return 0;
}

/*
 * Ends the claim `owner` has on a slot, by what the entry says: it names the place, and
 * the slot becomes its own, or it does not, and the slot is free. Repeats harmlessly.
 * The second look catches who took the block away while the slot was still claimed and
 * so could not free it. Nobody ever changes index + 1 to 0 at once: the same index may
 * have come to the same slot again in between.
 */
void hh_slot_settle(struct hh_map *map, uint32_t owner, uint64_t map_at, uint32_t index,
                    uint64_t place)
{
    uint32_t *slot = hh_slot_at(map, map_at), claim = HH_SLOT_CLAIM | owner;
    while (HH_LOAD(slot) == claim) {
        uint32_t mine = index + 1;
        if (!hh_names(map, index, place)) {
            HH_STORE(slot, 0u);
            return;
        }
        (void)__atomic_exchange_n(slot, mine, __ATOMIC_SEQ_CST);
        if (hh_names(map, index, place) || !HH_CAS(slot, &mine, claim))
            return;
    }
}

/* Frees a slot that its entry no longer names, unless it does again. Under a claim of
 * somebody else it is left to the claimer. */
void hh_slot_release(struct hh_map *map, uint32_t owner, uint64_t map_at,
                     uint32_t index, uint64_t place)
{
    uint32_t mine = index + 1;
    if (HH_CAS(hh_slot_at(map, map_at), &mine, HH_SLOT_CLAIM | owner))
        hh_slot_settle(map, owner, map_at, index, place);
}

static void intend(struct hh_heap *heap, uint32_t index, uint64_t place,
                   uint64_t map_at)
{
    struct hh_intent *intent = &heap->lane->intent;
    HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
    HH_STORE(&intent->index, index);
    HH_PUT(&intent->place, place);
    HH_PUT(&intent->map_at, map_at);
    HH_STORE(&intent->op, (uint32_t)HH_OP_SLOT);
}

/*
 * Claims a free slot of a span this lane owns; written down beforehand in the note of a
 * mover, else in the lane's intent. False: the span is full, or no longer ours (*cursor
 * is the number of slots then).
 */
bool hh_slot_claim(struct hh_heap *heap, uint32_t page, uint32_t class_,
                   uint32_t *cursor, uint64_t *place, uint64_t *map_at,
                   struct hh_note *note, uint32_t index)
{
    struct hh_map *map = heap->map;
    const struct hh_class *info = &map->classes[class_];
    uint64_t at = hh_slots_at(map, page, class_), mine = heap->owner;
    for (; *cursor < info->slots; ++*cursor) {
        uint32_t *slot = hh_slot_at(map, at + *cursor * 4u);
        uint32_t seen = HH_PEEK(slot);
        if (seen)
            continue;
        uint64_t found = hh_place_of(map, page) + (uint64_t)*cursor * info->bytes / 16;
        if (note) {
            HH_STORE(&note->to, UINT64_C(0));
            HH_STORE(&note->map_to, at + *cursor * 4u);
            HH_STORE(&note->to, found);
        } else {
            intend(heap, index, found, at + *cursor * 4u);
        }
        if (!HH_CAS(slot, &seen, HH_SLOT_CLAIM | (uint32_t)mine))
            continue;
        if (HH_LOAD(&hh_page_at(map, page)->d) != hh_d(HH_PAGE_SPAN, class_, mine)) {
            HH_STORE(slot, 0u);
            *cursor = info->slots;
            break;
        }
        *place = found;
        *map_at = at + *cursor * 4u;
        ++*cursor;
        return true;
    }
    if (!note)
        HH_STORE(&heap->lane->intent.op, (uint32_t)HH_OP_NONE);
    return false;
}

/* Lets others know of a span of nobody that has free slots. */
void hh_span_offer(struct hh_map *map, uint32_t class_, uint32_t page)
{
    struct hh_row *row = &map->head->part[class_];
    uint32_t free_slot = HH_ROW;
    for (uint32_t i = 0; i < HH_ROW; i++) {
        uint32_t hint = HH_PEEK(&row->slot[i]);
        if (hint == page + 1)
            return;
        if (!hint && free_slot == HH_ROW)
            free_slot = i;
    }
    uint32_t none = 0;
    if (free_slot < HH_ROW)
        (void)HH_CAS(&row->slot[free_slot], &none, page + 1);
}

/* Makes a span this lane's. */
static bool span_own(struct hh_heap *heap, uint32_t page, uint32_t class_)
{
    if (!hh_fits(heap->map, page, heap->map->classes[class_].pages))
        return false;
    uint64_t d = hh_d(HH_PAGE_SPAN, class_, 0);
    return HH_CAS(&hh_page_at(heap->map, page)->d, &d,
                  hh_d(HH_PAGE_SPAN, class_, heap->owner));
}

/* When the row has no hint left although many slots are free: looks for such spans. */
static void find_parts(struct hh_heap *heap, uint32_t class_)
{
    struct hh_map *map = heap->map;
    uint32_t found = 0;
    uint64_t known = hh_pages_known(map);
    for (uint64_t page = 0; page < known && found < 16;) {
        struct hh_pageword *word = hh_page_at(map, page);
        uint64_t d = HH_LOAD(&word->d);
        enum hh_page_kind kind = hh_d_kind(d);
        uint32_t pages = HH_PEEK(&word->pages);
        if (kind == HH_PAGE_SPAN && d == hh_d(HH_PAGE_SPAN, class_, 0) &&
            HH_PEEK(&word->used) < map->classes[class_].slots) {
            hh_span_offer(map, class_, (uint32_t)page);
            found++;
        }
        page += (kind == HH_PAGE_SPAN || kind == HH_PAGE_RUN) && pages ? pages : 1;
    }
}

/* Takes over a span of nobody that has free slots: its head page, or UINT32_MAX. */
uint32_t hh_span_take(struct hh_heap *heap, uint32_t class_)
{
    struct hh_map *map = heap->map;
    struct hh_row *row = &map->head->part[class_];
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < HH_ROW; i++) {
            uint32_t hint = HH_PEEK(&row->slot[i]);
            if (!hint || !HH_CAS(&row->slot[i], &hint, 0u) ||
                hint - 1 >= hh_pages_known(map))
                continue;
            if (span_own(heap, hint - 1, class_))
                return hint - 1;
        }
        uint64_t slots = HH_PEEK(&map->head->class_slots[class_]);
        uint64_t used = HH_PEEK(&map->head->class_used[class_]);
        /* Worth a look at all pages only when an eighth of the slots is free. */
        if (turn || slots <= used || slots - used < slots / 8 + 64)
            break;
        find_parts(heap, class_);
    }
    return UINT32_MAX;
}

/* A new span, owned by this lane. Errors: -ENOMEM, -ENOSPC. */
int hh_span_new(struct hh_heap *heap, uint32_t class_, uint64_t below, uint32_t *page)
{
    struct hh_map *map = heap->map;
    const struct hh_class *info = &map->classes[class_];
    int error = hh_pages_claim(heap, info->pages, below, page);
    if (error)
        return error;
    error = hh_os_provide(map, hh_slots_at(map, *page, class_), info->slots * 4);
    if (error) {
        hh_pages_release(heap, *page, info->pages);
        return error;
    }
    hh_pages_commit(heap, *page, info->pages, hh_d(HH_PAGE_SPAN, class_, heap->owner));
    HH_STORE(&heap->lane->intent.op, (uint32_t)HH_OP_NONE);
    (void)HH_ADD(&map->head->class_slots[class_], info->slots);
    return 0;
}

/* Gives up a span of this lane's; one with free slots is offered to others. */
void hh_span_leave(struct hh_heap *heap, uint32_t page)
{
    struct hh_map *map = heap->map;
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d);
    uint32_t class_ = hh_d_class(d);
    if (hh_d_kind(d) != HH_PAGE_SPAN || hh_d_value(d) != heap->owner ||
        !HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, 0)))
        return;
    if (HH_LOAD(&word->used) < map->classes[class_].slots)
        hh_span_offer(map, class_, page);
}

/* Gives the pages of a span back if it is nobody's, or this lane's, and empty. */
bool hh_span_dissolve(struct hh_heap *heap, uint32_t page)
{
    struct hh_map *map = heap->map;
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d);
    uint32_t class_ = hh_d_class(d);
    if (hh_d_kind(d) != HH_PAGE_SPAN || !class_ || class_ > HH_CLASSES ||
        (hh_d_value(d) && hh_d_value(d) != heap->owner) ||
        !hh_fits(map, page, map->classes[class_].pages))
        return false;
    if (!hh_d_value(d) && !span_own(heap, page, class_))
        return false;
    const struct hh_class *info = &map->classes[class_];
    uint64_t at = hh_slots_at(map, page, class_);
    for (uint32_t i = 0; i < info->slots; i++) {
        if (HH_LOAD(hh_slot_at(map, at + i * 4u))) {
            hh_span_leave(heap, page);
            return false;
        }
    }
    d = hh_d(HH_PAGE_SPAN, class_, heap->owner);
    struct hh_intent *intent = &heap->lane->intent;
    HH_PUT(&intent->index, UINT32_MAX);
    HH_PUT(&intent->page, page);
    HH_PUT(&intent->pages, info->pages);
    HH_STORE(&intent->op, (uint32_t)HH_OP_RUN);
    if (!HH_CAS(&word->d, &d, hh_d(HH_PAGE_CLAIMED, 1, heap->owner))) {
        HH_STORE(&intent->op, (uint32_t)HH_OP_NONE);
        return false;
    }
    (void)HH_ADD(&map->head->class_slots[class_], -(uint64_t)info->slots);
    hh_pages_release(heap, page, info->pages);
    return true;
}

/* Counts slots of a span that became free; the last one takes the span along. */
void hh_span_unuse(struct hh_heap *heap, uint32_t page, uint32_t slots)
{
    struct hh_map *map = heap->map;
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d);
    uint32_t class_ = hh_d_class(d);
    uint32_t before = HH_ADD(&word->used, -slots);
    if (hh_d_kind(d) != HH_PAGE_SPAN || !class_ || class_ > HH_CLASSES)
        return;
    (void)HH_ADD(&map->head->class_used[class_], -(uint64_t)slots);
    (void)HH_ADD(&map->head->slot_bytes, -(uint64_t)slots * map->classes[class_].bytes);
    if (hh_d_value(HH_LOAD(&word->d)))
        return;
    /* Wrong counts, which a kill may leave, are no reason to keep an empty span. */
    if (before <= slots || before > map->classes[class_].slots)
        (void)hh_span_dissolve(heap, page);
    else
        hh_span_offer(map, class_, page);
}

/* Claims a slot of the class for an index: from the span in use, else another, else a
 * new one. Errors: -ENOMEM, -ENOSPC. */
int hh_slot_get(struct hh_heap *heap, uint32_t class_, uint32_t index,
                struct hh_note *note, uint64_t *place, uint64_t *map_at)
{
    bool adopted = false;
    for (uint32_t turn = 0;; turn++) {
        if (heap->span[class_]) {
            uint32_t page = heap->span[class_] - 1;
            if (hh_slot_claim(heap, page, class_, &heap->cursor[class_], place, map_at,
                              note, index))
                return 0;
            /* Not one slot in a span said to have some: let it be called full. */
            if (adopted)
                HH_STORE(&hh_page_at(heap->map, page)->used,
                         heap->map->classes[class_].slots);
            hh_span_leave(heap, page);
            heap->span[class_] = 0;
        }
        uint32_t page = turn < 64 ? hh_span_take(heap, class_) : UINT32_MAX;
        adopted = true;
        int error = 0;
        if (page == UINT32_MAX)
            error = hh_span_new(heap, class_, UINT64_MAX, &page);
        if (error)
            return error;
        heap->span[class_] = page + 1;
        heap->cursor[class_] = 0;
    }
}

/* Counts a slot of this lane's span in use that just got its block. */
void hh_slot_count(struct hh_heap *heap, uint32_t class_)
{
    struct hh_map *map = heap->map;
    if (heap->span[class_])
        (void)HH_ADD(&hh_page_at(map, heap->span[class_] - 1)->used, 1);
    (void)HH_ADD(&map->head->class_used[class_], 1);
    (void)HH_ADD(&map->head->slot_bytes, map->classes[class_].bytes);
}

/*
 * Gives an index without a block one of the class: FREE or BARE -> CACHED.
 * Errors: -ENOMEM, -ENOSPC; -EAGAIN the index was not free after all.
 */
int hh_slot_attach(struct hh_heap *heap, uint32_t class_, uint32_t index)
{
    struct hh_map *map = heap->map;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t w = HH_LOAD(&entry->w), place, map_at;
    int error = hh_slot_get(heap, class_, index, NULL, &place, &map_at);
    if (error)
        return error;
    bool done =
        (hh_w_state(w) == HH_FREE || hh_w_state(w) == HH_BARE) &&
        hh_cas_both(entry, w, HH_PEEK(&entry->m), hh_w(hh_w_gen(w), HH_CACHED, place),
                    (uint64_t)class_ << HH_M_CLASS_SHIFT);
    if (done)
        hh_slot_count(heap, class_);
    hh_slot_settle(map, (uint32_t)heap->owner, map_at, index, place);
    HH_STORE(&heap->lane->intent.op, (uint32_t)HH_OP_NONE);
    return done ? 0 : -EAGAIN;
}

/* Takes the block from an index that is CACHED: CACHED -> BARE, then the slot. The next
 * generation, so that no W ever comes twice. */
void hh_slot_strip(struct hh_heap *heap, uint32_t index)
{
    struct hh_map *map = heap->map;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t w = HH_LOAD(&entry->w), map_at;
    uint64_t place = hh_w_place(w);
    uint32_t page;
    if (hh_w_state(w) != HH_CACHED || hh_slot_find(map, hh_w_place(w), &page, &map_at))
        return;
    intend(heap, index, hh_w_place(w), map_at);
    uint64_t bare = hh_w_gen(w) == HH_GEN_MAX ? hh_w(HH_GEN_MAX, HH_RETIRED, 0)
                                              : hh_w(hh_w_gen(w) + 1, HH_BARE, 0);
    bool done = HH_CAS(&entry->w, &w, bare);
    if (done)
        hh_slot_release(map, (uint32_t)heap->owner, map_at, index, place);
    HH_STORE(&heap->lane->intent.op, (uint32_t)HH_OP_NONE);
    if (!done)
        return;
    (void)HH_ADD(&map->head->strips, 1);
    hh_span_unuse(heap, page, 1);
}

// SPDX-License-Identifier: MIT
/*
 * check.c - is everything as it must be?
 *
 * Built on: layout.h. Concurrency: others go on; whatever looks broken is read again
 * some times before it counts, because two words of one truth never change at one
 * moment. Why this way: one function a table, each naming the first thing it finds
 * broken. Ends on any bytes: every loop is bounded by the proven shape.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOKS 200

static int check_file(struct hh_map *map)
{
    struct stat info;
    const struct hh_header *head = map->head;
    if (!map->foreign && !fstat(map->fd, &info) &&
        (uint64_t)info.st_size < map->at.total)
        return hh_fail(-EBADMSG, "the file was cut to %lld bytes",
                       (long long)info.st_size);
    if (head->magic != HH_MAGIC || head->version != HH_VERSION ||
        head->tag != map->tag || head->shape.bytes != map->shape.bytes ||
        head->shape.lanes != map->shape.lanes ||
        head->shape.handles != map->shape.handles ||
        head->shape.clients != map->shape.clients)
        return hh_fail(-EBADMSG, "the header changed since the heap was opened");
    if (HH_LOAD(&head->bare_mags) > map->at.bare_mags ||
        HH_LOAD(&head->empty_mags) > map->at.empty_mags ||
        HH_LOAD(&head->lanes_used) > map->shape.lanes ||
        hh_pages_known(map) * sizeof(struct hh_pageword) >
            map->at.mags_at - map->at.pages_at)
        return hh_fail(-EBADMSG, "a watermark of the header is out of range");
    return 0;
}

static int check_lanes(struct hh_map *map)
{
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < map->shape.clients; i++) {
        if ((HH_LOAD(&map->head->client[i]) & 255) > HH_CLIENT_DEAD)
            return hh_fail(-EBADMSG, "client %u has no known state", i);
    }
    for (uint32_t i = 0; i < lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        uint64_t state = HH_LOAD(&lane->state);
        if (state & 1 && (state >> 32) >= map->shape.clients)
            return hh_fail(-EBADMSG, "lane %u belongs to no client", i);
        if (HH_LOAD(&lane->cells_used) > HH_CELLS ||
            HH_LOAD(&lane->excl_used) > HH_EXCL || HH_LOAD(&lane->notes) > HH_BATCH ||
            HH_LOAD(&lane->intent.op) > HH_OP_SHIFT)
            return hh_fail(-EBADMSG, "a counter of lane %u is out of range", i);
    }
    return 0;
}

/* Slot words of a span against the entries they name. */
static int check_slot(struct hh_map *map, uint64_t map_at, uint64_t place)
{
    uint32_t seen = HH_LOAD(hh_slot_at(map, map_at));
    if (!seen)
        return 0;
    if (seen & HH_SLOT_CLAIM) {
        uint32_t owner = seen & ~HH_SLOT_CLAIM;
        if (hh_owner_dead(map, owner))
            return hh_fail(-EBADMSG, "the slot at %llu is claimed by a dead door",
                           (unsigned long long)place * 16);
        return 0;
    }
    if (seen - 1 >= hh_limit(map))
        return hh_fail(-EBADMSG, "the slot at %llu names entry %u of %u",
                       (unsigned long long)place * 16, seen - 1, hh_limit(map));
    if (!hh_names(map, seen - 1, place))
        return hh_fail(-EBADMSG, "the slot at %llu names entry %u, which is elsewhere",
                       (unsigned long long)place * 16, seen - 1);
    return 0;
}

static int check_span(struct hh_map *map, uint32_t page, uint32_t class_, uint64_t d)
{
    const struct hh_class *info = &map->classes[class_];
    uint64_t at = hh_slots_at(map, page, class_);
    for (uint32_t i = 0; i < info->slots; i++) {
        uint64_t place = hh_place_of(map, page) + (uint64_t)i * info->bytes / 16;
        int error = check_slot(map, at + i * 4u, place);
        for (int look = 0; error && look < LOOKS; look++) {
            (void)sched_yield();
            if (HH_LOAD(&hh_page_at(map, page)->d) != d)
                return 0;
            error = check_slot(map, at + i * 4u, place);
        }
        if (error)
            return error;
    }
    return 0;
}

/* The words of a span's, run's or single page's pages. *span is the head word of a span
 * that was found sound, else zero: its slots are looked at apart, since both are looked
 * at again and again before they are called broken. */
static int check_page(struct hh_map *map, uint64_t page, uint64_t *pages,
                      uint64_t *span)
{
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d);
    uint32_t class_ = hh_d_class(d), length = HH_PEEK(&word->pages);
    *pages = 1;
    *span = 0;
    switch (hh_d_kind(d)) {
    case HH_PAGE_FREE:
    case HH_PAGE_IDLE:
        return 0;
    case HH_PAGE_CLAIMED:
        return hh_owner_dead(map, hh_d_value(d))
                   ? hh_fail(-EBADMSG, "page %llu is claimed by a dead door",
                             (unsigned long long)page)
                   : 0;
    case HH_PAGE_BODY: {
        uint64_t head = hh_d_value(d);
        uint64_t h = head < page ? HH_LOAD(&hh_page_at(map, head)->d) : 0;
        if (hh_d_kind(h) == HH_PAGE_CLAIMED &&
            HH_PEEK(&hh_page_at(map, head)->pages) > page - head)
            return 0;
        return hh_fail(-EBADMSG, "page %llu follows no head", (unsigned long long)page);
    }
    case HH_PAGE_SPAN:
        if (!class_ || class_ > HH_CLASSES || length != map->classes[class_].pages)
            return hh_fail(-EBADMSG, "the span at page %llu has class %u and %u pages",
                           (unsigned long long)page, class_, length);
        break;
    case HH_PAGE_RUN:
        if (hh_d_value(d) >= hh_limit(map) ||
            !hh_names(map, hh_d_value(d), hh_place_of(map, page)))
            return hh_fail(-EBADMSG, "the run at page %llu names entry %u, not it back",
                           (unsigned long long)page, hh_d_value(d));
        break;
    default:
        return hh_fail(-EBADMSG, "page %llu is of no kind", (unsigned long long)page);
    }
    if (!length || length > hh_pages_known(map) - page)
        return hh_fail(-EBADMSG, "page %llu heads an impossible run",
                       (unsigned long long)page);
    for (uint64_t i = 1; i < length; i++) {
        if (HH_LOAD(&hh_page_at(map, page + i)->d) != hh_d(HH_PAGE_BODY, 0, page))
            return hh_fail(-EBADMSG, "page %llu is not of the run that covers it",
                           (unsigned long long)(page + i));
    }
    *pages = length;
    *span = hh_d_kind(d) == HH_PAGE_SPAN ? d : 0;
    return 0;
}

static int check_pages(struct hh_map *map)
{
    uint64_t known = hh_pages_known(map);
    for (uint64_t page = 0, pages, span; page < known; page += pages) {
        int error = check_page(map, page, &pages, &span);
        for (int look = 0; error && look < LOOKS; look++) {
            (void)sched_yield();
            error = check_page(map, page, &pages, &span);
        }
        if (!error && span)
            error = check_span(map, (uint32_t)page, hh_d_class(span), span);
        if (error)
            return error;
    }
    return 0;
}

/* An entry against the slot or run that it names. */
static int check_entry(struct hh_map *map, uint32_t index)
{
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m), map_at;
    enum hh_state state = hh_w_state(w);
    uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 255, page;
    if (state == HH_FREE || state == HH_BARE || state == HH_RETIRED)
        return hh_w_place(w) ? hh_fail(-EBADMSG, "free entry %u has a place", index)
                             : 0;
    if (state > HH_TAKEN)
        return hh_fail(-EBADMSG, "entry %u has no known state", index);
    if (class_ == HH_CLASS_LARGE) {
        uint64_t at = hh_page_of(map, hh_w_place(w));
        uint64_t d = at < hh_pages_known(map) ? HH_LOAD(&hh_page_at(map, at)->d) : 0;
        if (d == hh_d(HH_PAGE_RUN, 0, index) || hh_d_kind(d) == HH_PAGE_CLAIMED)
            return 0;
        return hh_fail(-EBADMSG, "entry %u names no run of its own", index);
    }
    if (hh_slot_find(map, hh_w_place(w), &page, &map_at))
        return -EBADMSG;
    uint32_t seen = HH_LOAD(hh_slot_at(map, map_at));
    if (seen != index + 1 && !(seen & HH_SLOT_CLAIM))
        return hh_fail(-EBADMSG, "entry %u names a slot that names %u", index, seen);
    if (hh_d_class(HH_LOAD(&hh_page_at(map, page)->d)) != class_)
        return hh_fail(-EBADMSG, "entry %u has class %u, its span another", index,
                       class_);
    return 0;
}

static int check_entries(struct hh_map *map)
{
    uint32_t limit = hh_limit(map);
    for (uint32_t index = 0; index < limit; index++) {
        int error = check_entry(map, index);
        for (int look = 0; error && look < LOOKS; look++) {
            (void)sched_yield();
            error = check_entry(map, index);
        }
        if (error)
            return error;
    }
    return 0;
}

static int check_mag(struct hh_map *map, uint64_t number)
{
    struct hh_mag *mag = hh_mag_at(map, number);
    uint64_t owner = HH_LOAD(&mag->owner);
    if (HH_LOAD(&mag->count) > HH_MAG_ITEMS)
        return hh_fail(-EBADMSG, "magazine %llu has too many items",
                       (unsigned long long)number);
    if (owner >> 56 > HH_MAG_DEPOT)
        return hh_fail(-EBADMSG, "magazine %llu has no known owner",
                       (unsigned long long)number);
    if (owner >> 56 == HH_MAG_LANE && hh_owner_dead(map, (uint32_t)owner))
        return hh_fail(-EBADMSG, "magazine %llu belongs to a dead door",
                       (unsigned long long)number);
    return 0;
}

static int check_mags(struct hh_map *map)
{
    uint64_t bare = HH_LOAD(&map->head->bare_mags);
    uint64_t empty = HH_LOAD(&map->head->empty_mags);
    for (uint64_t n = 0; n < empty + bare; n++) {
        uint64_t number = n < empty ? n : map->at.empty_mags + n - empty;
        int error = check_mag(map, number);
        for (int look = 0; error && look < LOOKS; look++) {
            (void)sched_yield();
            error = check_mag(map, number);
        }
        if (error)
            return error;
    }
    return 0;
}

int hh_check(struct hh_heap *heap)
{
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    struct hh_map *map = heap->map;
    int error = check_file(map);
    /* The dead are put in order first: their leftovers are no damage. */
    if (!error)
        (void)hh_recover_all(map);
    if (!error)
        error = check_lanes(map);
    if (!error)
        error = check_pages(map);
    if (!error)
        error = check_entries(map);
    if (!error)
        error = check_mags(map);
    if (!error)
        hh_why_clear();
    return error;
}

// SPDX-License-Identifier: MIT
/*
 * mags.c - magazines: how free indexes change hands, 62 at a time.
 *
 * Built on: os.c. Units: magazines by number, those that bring sixty fresh indexes
 * first. Concurrency: the CAS on a magazine's owner word is the transfer; rows and
 * bitmaps are hints, written before or after it, believed only if that word agrees. So
 * a process that dies between the two loses a hint, which recovery sets again. Why this
 * way: a block freed by one process reaches another for two CAS a magazine.
 */
#include "allocator/heap/internal.h"

#define EMPTY 127u /* the class of magazines in the depot that hold nothing */

static uint64_t *bare_bits(struct hh_map *map)
{
    return (uint64_t *)(void *)(map->base + map->at.bare_bits_at);
}

static uint64_t *empty_bits(struct hh_map *map)
{
    return (uint64_t *)(void *)(map->base + map->at.empty_bits_at);
}

static void bit_set(uint64_t *bits, uint64_t number)
{
    (void)__atomic_fetch_or(&bits[number / 64], UINT64_C(1) << number % 64,
                            __ATOMIC_SEQ_CST);
}

/* Clears and returns the lowest set bit of [from, end), or UINT64_MAX. */
static uint64_t bit_take_in(uint64_t *bits, uint64_t from, uint64_t end)
{
    for (uint64_t i = from / 64; i * 64 < end; i++) {
        uint64_t word = HH_PEEK(&bits[i]);
        while (word) {
            uint64_t bit = word & -word;
            uint64_t number = i * 64 + (uint64_t)__builtin_ctzll(word);
            if (number >= from && number < end &&
                __atomic_fetch_and(&bits[i], ~bit, __ATOMIC_SEQ_CST) & bit)
                return number;
            word &= word - 1;
        }
    }
    return UINT64_MAX;
}

/* The same over all magazines that were ever used. */
static uint64_t bit_take(struct hh_map *map, uint64_t *bits)
{
    uint64_t empty = HH_LOAD(&map->head->empty_mags);
    uint64_t bare = HH_LOAD(&map->head->bare_mags), first = map->at.empty_mags;
    uint64_t number = bit_take_in(bits, 0, empty < first ? empty : first);
    if (number != UINT64_MAX)
        return number;
    bare = bare < map->at.bare_mags ? bare : map->at.bare_mags;
    return bit_take_in(bits, first, first + bare);
}

static bool own(struct hh_heap *heap, struct hh_mag *mag, uint64_t from,
                uint32_t class_)
{
    return HH_CAS(&mag->owner, &from, hh_mag_word(HH_MAG_LANE, class_, heap->owner));
}

/* Memory for the page that ends with this magazine, if it is the first to reach it. */
static int provide_mag(struct hh_map *map, uint64_t number)
{
    uint64_t at = map->at.mags_at + number * sizeof(struct hh_mag);
    return number % (HH_PAGE / sizeof(struct hh_mag)) == 0 ||
                   number == map->at.empty_mags
               ? hh_os_provide(map, at, sizeof(struct hh_mag))
               : 0;
}

/* The like for the 62 entries of the handle table that the nth of the second kind
 * brings. */
static int provide_entries(struct hh_map *map, uint64_t nth)
{
    uint64_t first = nth * HH_MAG_ITEMS * sizeof(struct hh_entry);
    uint64_t last = first + HH_MAG_ITEMS * sizeof(struct hh_entry) - 1;
    if (first && (first - 1) / HH_PAGE == last / HH_PAGE)
        return 0;
    return hh_os_provide(map, map->at.table_at + last / HH_PAGE * HH_PAGE, HH_PAGE);
}

/* An empty magazine of this lane's, or null when there is none, for which there are too
 * many of them by design. */
struct hh_mag *hh_mag_empty(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    uint64_t number, used;
    while ((number = bit_take(map, empty_bits(map))) != UINT64_MAX) {
        struct hh_mag *mag = hh_mag_at(map, number);
        if (own(heap, mag, hh_mag_word(HH_MAG_DEPOT, EMPTY, 0), EMPTY) ||
            (number < map->at.empty_mags &&
             own(heap, mag, hh_mag_word(HH_MAG_VIRGIN, 0, 0), EMPTY))) {
            HH_STORE(&mag->count, 0u);
            return mag;
        }
    }
    used = HH_LOAD(&map->head->empty_mags);
    while (used < map->at.empty_mags) {
        if (provide_mag(map, used))
            return NULL;
        if (!HH_CAS(&map->head->empty_mags, &used, used + 1))
            continue;
        struct hh_mag *mag = hh_mag_at(map, used);
        if (own(heap, mag, hh_mag_word(HH_MAG_VIRGIN, 0, 0), EMPTY)) {
            HH_STORE(&mag->count, 0u);
            return mag;
        }
        used++;
    }
    return NULL;
}

/* Gives up a magazine that holds nothing any more. */
void hh_mag_return(struct hh_heap *heap, struct hh_mag *mag)
{
    HH_STORE(&mag->owner, hh_mag_word(HH_MAG_DEPOT, EMPTY, 0));
    bit_set(empty_bits(heap->map), hh_mag_number(heap->map, mag));
}

/* Fills a magazine that was never used with the indexes of its number. */
static struct hh_mag *fill(struct hh_map *map, uint64_t nth)
{
    struct hh_mag *mag = hh_mag_at(map, map->at.empty_mags + nth);
    uint64_t left = map->shape.handles - nth * HH_MAG_ITEMS;
    uint32_t items = left < HH_MAG_ITEMS ? (uint32_t)left : HH_MAG_ITEMS;
    for (uint32_t i = 0; i < items; i++)
        HH_PUT(&mag->item[i], nth * HH_MAG_ITEMS + items - 1 - i);
    HH_STORE(&mag->count, items);
    return mag;
}

/* A magazine of indexes without blocks: from the depot, else 62 fresh ones. */
static struct hh_mag *take_bare(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    uint64_t number, nth;
    while ((number = bit_take(map, bare_bits(map))) != UINT64_MAX) {
        struct hh_mag *mag = hh_mag_at(map, number);
        if (own(heap, mag, hh_mag_word(HH_MAG_DEPOT, 0, 0), 0))
            return mag;
        if (number >= map->at.empty_mags &&
            own(heap, mag, hh_mag_word(HH_MAG_VIRGIN, 0, 0), 0))
            return fill(map, number - map->at.empty_mags);
    }
    nth = HH_LOAD(&map->head->bare_mags);
    while (nth < map->at.bare_mags) {
        number = map->at.empty_mags + nth;
        if (provide_mag(map, number) || provide_entries(map, nth))
            return NULL;
        if (!HH_CAS(&map->head->bare_mags, &nth, nth + 1))
            continue;
        if (own(heap, hh_mag_at(map, number), hh_mag_word(HH_MAG_VIRGIN, 0, 0), 0))
            return fill(map, nth);
        nth++;
    }
    return NULL;
}

struct hh_mag *hh_mag_take(struct hh_heap *heap, uint32_t class_)
{
    struct hh_row *row = &heap->map->head->depot[class_];
    uint64_t all = heap->map->at.bare_mags + heap->map->at.empty_mags;
    for (uint32_t i = 0; i < HH_ROW; i++) {
        uint32_t hint = HH_PEEK(&row->slot[i]);
        if (!hint || !HH_CAS(&row->slot[i], &hint, 0u) || hint - 1 >= all)
            continue;
        struct hh_mag *mag = hh_mag_at(heap->map, hint - 1);
        if (own(heap, mag, hh_mag_word(HH_MAG_DEPOT, class_, 0), class_))
            return mag;
    }
    return NULL;
}

/* Most magazines of a class that the depot keeps: 256 KiB of blocks, 4 at least. */
static uint32_t depot_limit(struct hh_heap *heap, uint32_t class_)
{
    uint32_t limit =
        (256u << 10) / (heap->full[class_] * heap->map->classes[class_].bytes);
    return limit < 4 ? 4 : limit > HH_ROW ? HH_ROW : limit;
}

/* Gives a magazine to the depot; false: it has enough of that class. */
bool hh_mag_give(struct hh_heap *heap, uint32_t class_, struct hh_mag *mag)
{
    struct hh_row *row = &heap->map->head->depot[class_];
    uint32_t number = (uint32_t)hh_mag_number(heap->map, mag) + 1;
    uint64_t given = hh_mag_word(HH_MAG_DEPOT, class_, 0);
    HH_STORE(&mag->owner, given);
    for (uint32_t i = 0, limit = depot_limit(heap, class_); i < limit; i++) {
        uint32_t hint = HH_PEEK(&row->slot[i]);
        if (!hint && HH_CAS(&row->slot[i], &hint, number))
            return true;
    }
    return !own(heap, mag, given, class_);
}

/* --- indexes without blocks; prev[0] is the lane's magazine of them --- */

static void give_bare(struct hh_heap *heap, struct hh_mag *mag)
{
    HH_STORE(&mag->owner, hh_mag_word(HH_MAG_DEPOT, 0, 0));
    bit_set(bare_bits(heap->map), hh_mag_number(heap->map, mag));
}

/* The next index without a block; it stays in the magazine until hh_bare_drop, so that
 * a kill in between loses nothing. Errors: -ENOMEM no handle is left. */
int hh_bare_peek(struct hh_heap *heap, uint32_t *index)
{
    for (uint32_t turn = 0; turn < 1u << 20; turn++) {
        struct hh_mag *mag = heap->prev[0];
        uint32_t count = mag ? HH_PEEK(&mag->count) : 0;
        if (!count || count > HH_MAG_ITEMS) {
            struct hh_mag *next = take_bare(heap);
            if (!next)
                return hh_fail(-ENOMEM, "no handle is left");
            if (mag)
                hh_mag_return(heap, mag);
            heap->prev[0] = next;
            hh_refresh(heap);
            continue;
        }
        *index = (uint32_t)HH_PEEK(&mag->item[count - 1]);
        if (*index < heap->known) {
            enum hh_state state =
                hh_w_state(HH_LOAD(&hh_entry_at(heap->map, *index)->w));
            if (state == HH_FREE || state == HH_BARE)
                return 0;
        }
        HH_STORE(&mag->count, count - 1);
    }
    return hh_fail(-EBADMSG, "magazines of indexes name blocks in use only");
}

void hh_bare_drop(struct hh_heap *heap)
{
    struct hh_mag *mag = heap->prev[0];
    HH_STORE(&mag->count, HH_PEEK(&mag->count) - 1);
}

/* Makes room for one more index without a block; false: no magazine is to be had. */
bool hh_bare_room(struct hh_heap *heap)
{
    struct hh_mag *mag = heap->prev[0];
    if (mag && HH_PEEK(&mag->count) < HH_MAG_ITEMS)
        return true;
    struct hh_mag *empty = hh_mag_empty(heap);
    if (!empty)
        return false;
    if (mag)
        give_bare(heap, mag);
    HH_STORE(&empty->owner, hh_mag_word(HH_MAG_LANE, 0, heap->owner));
    heap->prev[0] = empty;
    return true;
}

void hh_bare_push(struct hh_heap *heap, uint32_t index)
{
    if (!hh_bare_room(heap))
        return;
    struct hh_mag *mag = heap->prev[0];
    uint32_t count = HH_PEEK(&mag->count);
    if (count >= HH_MAG_ITEMS)
        return;
    HH_PUT(&mag->item[count], (uint64_t)index);
    HH_STORE(&mag->count, count + 1);
}

/* Whether the entry is as the item says: free, with its block, of that generation. A
 * mover that is about to take the block is told not to. */
bool hh_item_cached(struct hh_heap *heap, uint64_t item)
{
    uint64_t *word = &hh_entry_at(heap->map, (uint32_t)item)->w, w = HH_LOAD(word);
    if ((item ^ heap->key) >> HH_TAG_SHIFT || hh_w_gen(w) != (item >> 32 & HH_GEN_MAX))
        return false;
    if (hh_w_state(w) == HH_TAKEN &&
        HH_CAS(word, &w, hh_w(hh_w_gen(w), HH_CACHED, hh_w_place(w))))
        return true;
    return hh_w_state(w) == HH_CACHED;
}

/* Takes the blocks from all items and keeps the indexes; the magazine is empty then. */
void hh_mag_strip(struct hh_heap *heap, struct hh_mag *mag)
{
    uint32_t count = HH_PEEK(&mag->count);
    count = count < HH_MAG_ITEMS ? count : HH_MAG_ITEMS;
    while (count > 0) {
        uint64_t item = HH_PEEK(&mag->item[count - 1]);
        uint32_t index = (uint32_t)item;
        if (index < heap->known) {
            if (hh_item_cached(heap, item))
                hh_slot_strip(heap, index);
            enum hh_state state = hh_w_state(HH_LOAD(&heap->table[index].w));
            if (state == HH_BARE || state == HH_FREE)
                hh_bare_push(heap, index);
        }
        HH_STORE(&mag->count, --count);
    }
}

/* Makes room for one more block of a class in the magazine in use. */
bool hh_mag_room(struct hh_heap *heap, uint32_t class_)
{
    struct hh_mag *mag = heap->mag[class_], *prev = heap->prev[class_];
    if (mag && HH_PEEK(&mag->count) < heap->full[class_])
        return true;
    if (!prev || HH_PEEK(&prev->count) < heap->full[class_]) {
        if (!prev)
            prev = hh_mag_empty(heap);
        if (!prev)
            goto strip;
    } else {
        struct hh_mag *empty = hh_mag_empty(heap);
        if (!empty)
            goto strip;
        if (!hh_mag_give(heap, class_, prev)) {
            hh_mag_strip(heap, prev);
            hh_mag_return(heap, empty);
        } else {
            prev = empty;
        }
    }
    HH_STORE(&prev->owner, hh_mag_word(HH_MAG_LANE, class_, heap->owner));
    heap->prev[class_] = mag;
    heap->mag[class_] = prev;
    return true;
strip:
    if (!mag)
        return false;
    hh_mag_strip(heap, mag);
    return true;
}

/* Gives everything the door holds to the others. */
void hh_mags_close(struct hh_heap *heap)
{
    for (uint32_t class_ = 1; class_ <= HH_CLASSES; class_++) {
        struct hh_mag *both[2] = {heap->mag[class_], heap->prev[class_]};
        heap->mag[class_] = heap->prev[class_] = NULL;
        for (int i = 0; i < 2; i++) {
            if (!both[i])
                continue;
            if (HH_PEEK(&both[i]->count) && hh_mag_give(heap, class_, both[i]))
                continue;
            hh_mag_strip(heap, both[i]);
            hh_mag_return(heap, both[i]);
        }
    }
    if (heap->prev[0])
        give_bare(heap, heap->prev[0]);
    heap->prev[0] = NULL;
}

/* Takes the blocks from what the depot and this door keep of every class. */
void hh_caches_drop(struct hh_heap *heap)
{
    hh_mags_orphaned(heap->map);
    for (uint32_t class_ = 1; class_ <= HH_CLASSES; class_++) {
        struct hh_mag *mag;
        for (uint32_t i = 0; i < HH_ROW && (mag = hh_mag_take(heap, class_)); i++) {
            hh_mag_strip(heap, mag);
            hh_mag_return(heap, mag);
        }
        if (heap->mag[class_])
            hh_mag_strip(heap, heap->mag[class_]);
        if (heap->prev[class_])
            hh_mag_strip(heap, heap->prev[class_]);
        if (heap->span[class_]) {
            uint32_t page = heap->span[class_] - 1;
            heap->span[class_] = 0;
            hh_span_leave(heap, page);
            (void)hh_span_dissolve(heap, page);
        }
    }
}

/* Sets the hint again for a magazine that no lane owns. */
void hh_mag_orphan(struct hh_map *map, uint64_t number)
{
    uint64_t owner = HH_LOAD(&hh_mag_at(map, number)->owner);
    uint32_t class_ = (uint32_t)(owner >> 48) & 255;
    bool virgin = owner >> 56 == HH_MAG_VIRGIN;
    if (owner >> 56 == HH_MAG_LANE)
        return;
    if (class_ == EMPTY || (virgin && number < map->at.empty_mags)) {
        bit_set(empty_bits(map), number);
    } else if (class_ == 0) {
        bit_set(bare_bits(map), number);
    } else if (class_ <= HH_CLASSES) {
        struct hh_row *row = &map->head->depot[class_];
        for (uint32_t i = 0; i < HH_ROW; i++) {
            if (HH_LOAD(&row->slot[i]) == number + 1)
                return;
        }
        for (uint32_t i = 0; i < HH_ROW; i++) {
            uint32_t hint = 0;
            if (HH_CAS(&row->slot[i], &hint, (uint32_t)number + 1))
                return;
        }
    }
}

/* The like for all of them. */
void hh_mags_orphaned(struct hh_map *map)
{
    uint64_t empty = HH_LOAD(&map->head->empty_mags);
    uint64_t bare = HH_LOAD(&map->head->bare_mags), first = map->at.empty_mags;
    for (uint64_t n = 0; n < empty && n < first; n++)
        hh_mag_orphan(map, n);
    for (uint64_t n = 0; n < bare && n < map->at.bare_mags; n++)
        hh_mag_orphan(map, first + n);
}

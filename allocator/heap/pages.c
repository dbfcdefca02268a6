// SPDX-License-Identifier: MIT
/*
 * pages.c - runs of pages: the store that spans and large blocks are cut from.
 *
 * Built on: os.c for their memory. Units: pages of 4 KiB, numbered from the first
 * block. Concurrency: a page belongs to whoever changes its word by CAS from FREE or
 * IDLE to CLAIMED; no lock spans a run. The bitmap of used pages only says where to
 * look. Why this way: lowest run first keeps the top of the segment empty, where holes
 * can be punched and large blocks find room. The head is claimed first and given up
 * last, so a run that a killed process leaves is known by its head.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

static uint64_t *bits_of(struct hh_map *map)
{
    return (uint64_t *)(void *)(map->base + map->at.page_bits_at);
}

static void bit_set(struct hh_map *map, uint64_t page)
{
    (void)__atomic_fetch_or(&bits_of(map)[page / 64], UINT64_C(1) << page % 64,
                            __ATOMIC_SEQ_CST);
}

static void bit_clear(struct hh_map *map, uint64_t page)
{
    (void)__atomic_fetch_and(&bits_of(map)[page / 64], ~(UINT64_C(1) << page % 64),
                             __ATOMIC_SEQ_CST);
}

/* The lowest run of clear bits from `from` on that starts before `below`. */
static uint64_t find_run(struct hh_map *map, uint64_t from, uint64_t pages,
                         uint64_t below)
{
    const uint64_t *bits = bits_of(map);
    uint64_t start = from, length = 0;
    for (uint64_t page = from; page < map->at.pages;) {
        uint64_t word = HH_PEEK(&bits[page / 64]) >> page % 64;
        uint64_t left = 64 - page % 64;
        if (word & 1) {
            uint64_t used = ~word ? (uint64_t)__builtin_ctzll(~word) : 64;
            page += used < left ? used : left;
            start = page;
            length = 0;
            if (start >= below)
                return UINT64_MAX;
            continue;
        }
        uint64_t clear = word ? (uint64_t)__builtin_ctzll(word) : left;
        clear = clear < left ? clear : left;
        length += clear;
        page += clear;
        if (length >= pages)
            return start + pages <= map->at.pages ? start : UINT64_MAX;
    }
    return UINT64_MAX;
}

/* Page words have memory only as far as somebody came. */
static int know_pages(struct hh_map *map, uint64_t pages)
{
    uint64_t want =
        (pages * sizeof(struct hh_pageword) + HH_PAGE - 1) / HH_PAGE * HH_PAGE;
    uint64_t have = HH_LOAD(&map->head->pages_backed);
    if (have >= want)
        return 0;
    int error = hh_os_provide(map, map->at.pages_at + have, want - have);
    if (!error)
        hh_max(&map->head->pages_backed, want);
    return error;
}

/* True with the page claimed; *idle says whether it had memory. */
static bool claim_page(struct hh_heap *heap, uint64_t page, bool *idle)
{
    struct hh_pageword *word = hh_page_at(heap->map, page);
    uint64_t d = HH_LOAD(&word->d);
    enum hh_page_kind kind = hh_d_kind(d);
    *idle = kind == HH_PAGE_IDLE;
    if ((kind == HH_PAGE_FREE || kind == HH_PAGE_IDLE) &&
        HH_CAS(&word->d, &d, hh_d(HH_PAGE_CLAIMED, *idle, heap->owner))) {
        bit_set(heap->map, page);
        return true;
    }
    bit_set(heap->map, page);
    kind = hh_d_kind(HH_LOAD(&word->d));
    if (kind == HH_PAGE_FREE || kind == HH_PAGE_IDLE)
        bit_clear(heap->map, page);
    return false;
}

static void give_page(struct hh_heap *heap, uint64_t page, bool idle)
{
    if (idle)
        (void)HH_ADD(&heap->map->head->idle_pages, 1);
    HH_STORE(&hh_page_at(heap->map, page)->d,
             hh_d(idle ? HH_PAGE_IDLE : HH_PAGE_FREE, 0, 0));
    bit_clear(heap->map, page);
}

static void intend(struct hh_heap *heap, uint32_t op, uint32_t page, uint32_t pages)
{
    struct hh_intent *intent = &heap->lane->intent;
    HH_PUT(&intent->index, UINT32_MAX);
    HH_PUT(&intent->page, page);
    HH_PUT(&intent->pages, pages);
    HH_STORE(&intent->op, op);
}

/* Claims [page, page + pages) in rising order; on failure none, and *next is where to
 * go on looking. */
static bool claim_run(struct hh_heap *heap, uint64_t page, uint32_t pages, bool *fresh,
                      uint64_t *next)
{
    uint32_t done = 0, idle_pages = 0;
    bool idle;
    *fresh = false;
    while (done < pages && claim_page(heap, page + done, &idle)) {
        idle_pages += idle;
        *fresh |= !idle;
        done++;
    }
    if (idle_pages)
        (void)HH_ADD(&heap->map->head->idle_pages, -(uint64_t)idle_pages);
    if (done == pages)
        return true;
    *next = page + done + 1;
    while (done-- > 0) {
        uint64_t d = HH_LOAD(&hh_page_at(heap->map, page + done)->d);
        give_page(heap, page + done, hh_d_class(d) == 1);
    }
    return false;
}

/*
 * Claims the lowest free run that starts before `below` and gives it memory. The intent
 * stays set: the caller commits the run or releases it, and clears the intent then.
 * Errors: -ENOMEM, -ENOSPC.
 */
int hh_pages_claim(struct hh_heap *heap, uint32_t pages, uint64_t below, uint32_t *page)
{
    struct hh_map *map = heap->map;
    uint64_t from = 0, found, next;
    bool fresh;
    /* Each turn moves on, but others may take what we find: a bound all the same. */
    for (uint32_t turn = 0; turn < 1024; turn++) {
        found = find_run(map, from, pages, below);
        if (found == UINT64_MAX || found >= below)
            return -ENOMEM;
        int error = know_pages(map, found + pages);
        if (error)
            return error;
        intend(heap, HH_OP_RUN, (uint32_t)found, pages);
        if (!claim_run(heap, found, pages, &fresh, &next)) {
            HH_STORE(&heap->lane->intent.op, HH_OP_NONE);
            from = next;
            continue;
        }
        (void)HH_ADD(&map->head->used_pages, pages);
        HH_PUT(&hh_page_at(map, found)->pages, pages);
        HH_PUT(&hh_page_at(map, found)->used, 0);
        if (fresh)
            error = hh_os_provide(map, map->at.area_at + found * HH_PAGE,
                                  (uint64_t)pages * HH_PAGE);
        if (error) {
            hh_pages_resolve(map, (uint32_t)heap->owner, (uint32_t)found, pages);
            HH_STORE(&heap->lane->intent.op, HH_OP_NONE);
            return error;
        }
        *page = (uint32_t)found;
        return 0;
    }
    return -ENOMEM;
}

/* Makes a claimed run what `d` says: the bodies first, the head's word last. */
void hh_pages_commit(struct hh_heap *heap, uint32_t page, uint32_t pages, uint64_t d)
{
    for (uint32_t i = 1; i < pages; i++)
        HH_STORE(&hh_page_at(heap->map, page + i)->d, hh_d(HH_PAGE_BODY, 0, page));
    HH_STORE(&hh_page_at(heap->map, page)->d, d);
}

/* Gives a run back whose head is CLAIMED by this lane. */
void hh_pages_release(struct hh_heap *heap, uint32_t page, uint32_t pages)
{
    intend(heap, HH_OP_RUN, page, pages);
    for (uint32_t i = pages; i-- > 0;)
        give_page(heap, page + i, true);
    (void)HH_ADD(&heap->map->head->used_pages, -(uint64_t)pages);
    HH_STORE(&heap->lane->intent.op, HH_OP_NONE);
}

/*
 * Ends a claim that its owner did not: frees what of the run is still the claim's.
 * A page whose memory is not certain becomes FREE, and gets it again when next claimed.
 */
void hh_pages_resolve(struct hh_map *map, uint32_t owner, uint32_t page, uint32_t pages)
{
    if (page >= hh_pages_known(map) || pages > hh_pages_known(map) - page)
        return;
    uint64_t head = HH_LOAD(&hh_page_at(map, page)->d);
    if (hh_d_kind(head) != HH_PAGE_CLAIMED || hh_d_value(head) != owner)
        return;
    for (uint32_t i = pages; i-- > 0;) {
        uint64_t *word = &hh_page_at(map, page + i)->d;
        uint64_t d = HH_LOAD(word);
        bool ours = hh_d_kind(d) == HH_PAGE_CLAIMED ? hh_d_value(d) == owner
                                                    : d == hh_d(HH_PAGE_BODY, 0, page);
        if (!ours)
            continue;
        HH_STORE(word, hh_d(HH_PAGE_FREE, 0, 0));
        bit_clear(map, page + i);
    }
    (void)HH_ADD(&map->head->used_pages, -(uint64_t)pages);
}

/*
 * Ends the claim that `owner` has on the head of a run that a large block may be in.
 * True: no entry names it, and it is still claimed, for the caller to give back. Else
 * the run is the entry's. As with slots (hh_slot_settle), nobody frees a run but under
 * a claim, and looks again after he has let go of it.
 */
bool hh_run_settle(struct hh_map *map, uint32_t owner, uint32_t index, uint32_t page)
{
    uint64_t *word = &hh_page_at(map, page)->d, d = HH_LOAD(word);
    uint64_t run = hh_d(HH_PAGE_RUN, 0, index), place = hh_place_of(map, page);
    while (hh_d_kind(d) == HH_PAGE_CLAIMED && hh_d_value(d) == owner) {
        if (!hh_names(map, index, place))
            return true;
        uint64_t claim = d;
        (void)__atomic_exchange_n(word, run, __ATOMIC_SEQ_CST);
        d = run;
        if (hh_names(map, index, place) || !HH_CAS(word, &d, claim))
            return false;
        d = claim;
    }
    return false;
}

/* Page bits that say used of pages that are not: a kill between the two leaves them. */
void hh_pages_unmark(struct hh_map *map, uint64_t page)
{
    enum hh_page_kind kind = hh_d_kind(HH_LOAD(&hh_page_at(map, page)->d));
    if ((kind == HH_PAGE_FREE || kind == HH_PAGE_IDLE) &&
        HH_PEEK(&bits_of(map)[page / 64]) >> page % 64 & 1)
        bit_clear(map, page);
}

/* Punches idle pages out, from the top down, until no more than keep_bytes are left. */
uint64_t hh_pages_trim(struct hh_heap *heap, uint64_t keep_bytes)
{
    struct hh_map *map = heap->map;
    uint64_t punched = 0, page = hh_pages_known(map);
    while (page > 0 && HH_PEEK(&map->head->idle_pages) * HH_PAGE > keep_bytes &&
           HH_PEEK(&map->head->idle_pages) < map->at.pages) {
        uint32_t run = 0;
        bool idle = true;
        uint64_t end = page;
        while (page > 0 && run < 256 &&
               hh_d_kind(HH_LOAD(&hh_page_at(map, page - 1)->d)) == HH_PAGE_IDLE) {
            page--;
            run++;
        }
        if (!run) {
            page--;
            continue;
        }
        uint64_t next;
        bool fresh;
        intend(heap, HH_OP_RUN, (uint32_t)page, run);
        if (claim_run(heap, page, run, &fresh, &next)) {
            idle = hh_os_punch(map, map->at.area_at + page * HH_PAGE,
                               (uint64_t)run * HH_PAGE) != 0;
            for (uint64_t i = end; i-- > page;)
                give_page(heap, i, idle);
            punched += idle ? 0 : (uint64_t)run * HH_PAGE;
        }
        HH_STORE(&heap->lane->intent.op, HH_OP_NONE);
        if (idle)
            break;
    }
    return punched;
}

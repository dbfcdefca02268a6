// SPDX-License-Identifier: MIT
/*
 * recover.c - what a dead process leaves behind, put in order by whoever meets it.
 *
 * Built on: os.c (liveness), spans.c, pages.c, mags.c.
 * Concurrency: runs under the dead client's byte lock, which a dead recoverer loses
 * too; every step may be repeated. Others go on all the while. Why this way: half-done
 * operations are finished or undone by the one rule that the entry's word is right: a
 * slot or run that it names is the block's, any other claim of the dead is free. Claims
 * carry the lane and its epoch, so nobody else's is touched.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

bool hh_owner_dead(struct hh_map *map, uint32_t owner)
{
    uint32_t lane = owner >> 12;
    if (lane >= map->shape.lanes || lane >= HH_LOAD(&map->head->lanes_used))
        return true;
    struct hh_lane *record = hh_lane_at(map, lane);
    uint64_t state = HH_LOAD(&record->state);
    if (!(state & 1) || (HH_LOAD(&record->epoch) & 0xfff) != (owner & 0xfff))
        return true;
    uint32_t client = (uint32_t)(state >> 32) & 0xffff;
    return client >= map->shape.clients || !hh_os_alive(map, client);
}

/* A slot the dead was taking or giving: see hh_slot_settle and hh_slot_strip. */
static void recover_slot(struct hh_map *map, uint32_t owner, uint32_t index,
                         uint64_t place, uint64_t map_at)
{
    if (index >= hh_limit(map) || map_at % 4 || map_at < map->at.map_at[0] ||
        map_at >= map->at.area_at)
        return;
    hh_slot_settle(map, owner, map_at, index, place);
    if (!hh_names(map, index, place))
        hh_slot_release(map, owner, map_at, index, place);
}

/* A run the dead was taking, giving, or moving a large block from or to. */
static void recover_run(struct hh_map *map, uint32_t owner, uint32_t index,
                        uint32_t page, uint32_t pages)
{
    if (page >= hh_pages_known(map) || !pages || pages > hh_pages_known(map) - page)
        return;
    uint64_t *word = &hh_page_at(map, page)->d;
    uint64_t d = HH_LOAD(word);
    bool whose = index < hh_limit(map);
    bool named = whose && hh_names(map, index, hh_place_of(map, page));
    if (d == hh_d(HH_PAGE_CLAIMED, hh_d_class(d), owner) && named) {
        for (uint32_t i = 1; i < pages; i++)
            HH_STORE(&hh_page_at(map, page + i)->d, hh_d(HH_PAGE_BODY, 0, page));
    }
    if (whose && !named && d == hh_d(HH_PAGE_RUN, 0, index))
        (void)HH_CAS(word, &d, hh_d(HH_PAGE_CLAIMED, 0, owner));
    if (!whose || hh_run_settle(map, owner, index, page))
        hh_pages_resolve(map, owner, page, pages);
}

/* Takes back what the dead was about to do with a block at `place`, as a locker would.
 */
static void untake(struct hh_map *map, uint32_t index, uint64_t place)
{
    if (index >= hh_limit(map))
        return;
    uint64_t *word = &hh_entry_at(map, index)->w, w = HH_LOAD(word);
    enum hh_state state = hh_w_state(w);
    if (hh_w_place(w) != place)
        return;
    if (state == HH_MOVING || state == HH_RESIZING)
        (void)HH_CAS(word, &w, hh_w(hh_w_gen(w), HH_LIVE, place));
    else if (state == HH_TAKEN)
        (void)HH_CAS(word, &w, hh_w(hh_w_gen(w), HH_CACHED, place));
}

static void recover_intent(struct hh_map *map, uint32_t owner, struct hh_lane *lane)
{
    struct hh_intent intent = lane->intent;
    switch (HH_LOAD(&lane->intent.op)) {
    case HH_OP_SLOT:
        untake(map, intent.index, intent.place);
        recover_slot(map, owner, intent.index, intent.place, intent.map_at);
        break;
    case HH_OP_SHIFT:
        untake(map, intent.index, intent.place);
        recover_run(map, owner, intent.index, intent.to_page, intent.to_pages);
        recover_run(map, owner, intent.index, intent.page, intent.pages);
        break;
    case HH_OP_RUN:
        untake(map, intent.index, intent.place);
        recover_run(map, owner, intent.index, intent.page, intent.pages);
        break;
    default:
        break;
    }
    HH_STORE(&lane->intent.op, (uint32_t)HH_OP_NONE);
}

/* The batch of a dead mover: back to where the blocks are. */
static void recover_notes(struct hh_map *map, uint32_t owner, struct hh_lane *lane)
{
    uint32_t notes = HH_LOAD(&lane->notes);
    for (uint32_t i = 0; i < notes && i < HH_BATCH; i++) {
        struct hh_note note = lane->note[i];
        if (note.index >= hh_limit(map))
            continue;
        untake(map, note.index, note.from);
        /* It was the exclusive owner for no more than hh_realloc. */
        uint64_t *word = &hh_entry_at(map, note.index)->m, m = HH_LOAD(word);
        while (m >> HH_M_OWNER_SHIFT == owner &&
               !HH_CAS(word, &m, m & ~(UINT64_MAX << HH_M_OWNER_SHIFT)))
            ;
        if (note.to)
            recover_slot(map, owner, note.index, note.to, note.map_to);
        recover_slot(map, owner, note.index, note.from, note.map_from);
    }
    HH_STORE(&lane->notes, 0u);
}

/* Blocks it allocated and had not published: kept if the slot they were meant for names
 * them, else freed. Their indexes are still in, or just above, its magazines. */
static void recover_debts(struct hh_map *map, uint32_t owner, struct hh_lane *lane)
{
    for (uint32_t i = 0; i < HH_DEBTS; i++) {
        struct hh_debt *debt = &lane->debt[i];
        uint64_t handle = HH_LOAD(&debt->handle);
        if (handle && (uint32_t)handle < hh_limit(map) &&
            handle >> HH_TAG_SHIFT == map->tag)
            hh_debt_settle(map, owner, handle, HH_PEEK(&debt->holder),
                           HH_PEEK(&debt->offset));
        HH_STORE(&debt->handle, UINT64_C(0));
    }
}

/* Its exclusive locks: free, with a note that the last owner died. */
static void recover_locks(struct hh_map *map, uint32_t owner, struct hh_lane *lane)
{
    for (uint32_t i = 0; i < HH_EXCL; i++) {
        uint64_t handle = HH_LOAD(&lane->excl[i]);
        uint32_t index = (uint32_t)handle;
        if (!handle || index >= hh_limit(map))
            continue;
        struct hh_entry *entry = hh_entry_at(map, index);
        uint64_t m = HH_LOAD(&entry->m);
        while (m >> HH_M_OWNER_SHIFT == owner) {
            uint64_t freed = m & ~(UINT64_MAX << HH_M_OWNER_SHIFT) & ~HH_M_WAITERS;
            if (HH_CAS(&entry->m, &m, freed | HH_M_OWNERDEAD))
                hh_os_wake((uint32_t *)(void *)&entry->m + 1);
        }
    }
}

/* Fresh indexes of a magazine whose owner died before it wrote them all down. */
static bool all_fresh(struct hh_map *map, uint64_t nth)
{
    for (uint64_t i = 0; i < HH_MAG_ITEMS; i++) {
        uint64_t index = nth * HH_MAG_ITEMS + i;
        if (index >= hh_limit(map))
            return i > 0;
        if (HH_LOAD(&hh_entry_at(map, (uint32_t)index)->w))
            return false;
    }
    return true;
}

/*
 * Whether the item above count stays: a free was cut short, and it was one by plain
 * stores (busy), which nobody else can have done instead. After a free by CAS that
 * might be, and the winner's magazine has the same item; then the block is left for the
 * mover to find, which is one cached block a kill. Indexes without a block (class 0)
 * may be doubled: attaching one is a CAS. In the other magazines such an item is what
 * an attach wrote beforehand, and would look valid once somebody else has attached it.
 */
static bool keep_item(struct hh_map *map, uint64_t item, uint64_t busy, uint32_t class_)
{
    uint32_t index = (uint32_t)item;
    if (index >= hh_limit(map))
        return false;
    uint64_t w = HH_LOAD(&hh_entry_at(map, index)->w);
    enum hh_state state = hh_w_state(w);
    if (!class_)
        return state == HH_BARE;
    return (state == HH_CACHED || state == HH_TAKEN) &&
           hh_w_gen(w) == (item >> 32 & HH_GEN_MAX) && busy == index + UINT64_C(1);
}

static void recover_mag(struct hh_map *map, uint64_t number, uint32_t owner)
{
    struct hh_mag *mag = hh_mag_at(map, number);
    struct hh_lane *lane = hh_lane_at(map, owner >> 12);
    uint64_t word = HH_LOAD(&mag->owner);
    uint32_t class_ = (uint32_t)(word >> 48) & 255;
    if (word != hh_mag_word(HH_MAG_LANE, class_, owner))
        return;
    uint32_t count = HH_LOAD(&mag->count);
    count = count < HH_MAG_ITEMS ? count : HH_MAG_ITEMS;
    if (!count && number >= map->at.empty_mags &&
        all_fresh(map, number - map->at.empty_mags)) {
        HH_STORE(&mag->owner, hh_mag_word(HH_MAG_VIRGIN, 0, 0));
        return;
    }
    if (count < HH_MAG_ITEMS)
        count += keep_item(map, mag->item[count], HH_LOAD(&lane->busy), class_);
    HH_STORE(&mag->count, count);
    HH_STORE(&mag->owner, hh_mag_word(HH_MAG_DEPOT, count ? class_ : 127u, 0));
}

static void each_mag(struct hh_map *map, uint32_t owner)
{
    uint64_t empty = HH_LOAD(&map->head->empty_mags);
    uint64_t bare = HH_LOAD(&map->head->bare_mags);
    uint64_t from[2] = {0, map->at.empty_mags};
    uint64_t count[2] = {empty < map->at.empty_mags ? empty : map->at.empty_mags,
                         bare < map->at.bare_mags ? bare : map->at.bare_mags};
    for (int i = 0; i < 2; i++) {
        for (uint64_t n = from[i]; n < from[i] + count[i]; n++) {
            recover_mag(map, n, owner);
            hh_mag_orphan(map, n);
        }
    }
}

/* As many pages as a head says; each is looked at before it is freed. */
static uint32_t run_of(struct hh_map *map, uint64_t page)
{
    uint32_t pages = HH_PEEK(&hh_page_at(map, page)->pages);
    return pages && pages <= hh_pages_known(map) - page ? pages : 1;
}

static void recover_pages(struct hh_map *map, uint32_t owner)
{
    uint64_t known = hh_pages_known(map);
    for (uint64_t page = 0; page < known; page++) {
        struct hh_pageword *word = hh_page_at(map, page);
        uint64_t d = HH_LOAD(&word->d);
        uint32_t class_ = hh_d_class(d);
        if (hh_d_value(d) != owner)
            continue;
        if (hh_d_kind(d) == HH_PAGE_CLAIMED)
            hh_pages_resolve(map, owner, (uint32_t)page, run_of(map, page));
        if (hh_d_kind(d) == HH_PAGE_SPAN && class_ && class_ <= HH_CLASSES &&
            HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, 0)))
            hh_span_offer(map, class_, (uint32_t)page);
    }
}

/* Ends a lane: nothing is in its name afterwards. */
void hh_lane_end(struct hh_map *map, uint32_t lane, uint64_t state)
{
    struct hh_lane *record = hh_lane_at(map, lane);
    for (uint32_t i = 0; i < HH_CELLS; i++)
        HH_STORE(&record->cell[i], UINT64_C(0));
    for (uint32_t i = 0; i < HH_EXCL; i++)
        HH_STORE(&record->excl[i], UINT64_C(0));
    HH_STORE(&record->wants, UINT64_C(0));
    /* After the magazines: see keep_item, and unbias in free.c. */
    HH_STORE(&record->busy, UINT64_C(0));
    uint64_t epoch = HH_LOAD(&record->epoch) + 1;
    HH_STORE(&record->epoch, epoch & 0xfff ? epoch : epoch + 1);
    (void)HH_CAS(&record->state, &state, UINT64_C(0));
}

static void recover_lane(struct hh_map *map, uint32_t lane, uint64_t state)
{
    struct hh_lane *record = hh_lane_at(map, lane);
    uint32_t owner = hh_owner(lane, HH_LOAD(&record->epoch));
    recover_locks(map, owner, record);
    recover_notes(map, owner, record);
    recover_intent(map, owner, record);
    recover_debts(map, owner, record);
    recover_pages(map, owner);
    each_mag(map, owner);
    uint64_t role = owner;
    (void)HH_CAS(&map->head->mover, &role, UINT64_C(0));
    hh_lane_end(map, lane, state);
}

/* What the kill left uncounted: the figures that only guide, counted anew. Others go
 * on, so they may be off by what is in flight. */
static void recount(struct hh_map *map)
{
    struct hh_header *head = map->head;
    uint64_t known = hh_pages_known(map), used_pages = 0, idle_pages = 0, bytes = 0;
    uint64_t slots[HH_CLASSES + 1] = {0}, used[HH_CLASSES + 1] = {0};
    for (uint64_t page = 0; page < known; page++) {
        struct hh_pageword *word = hh_page_at(map, page);
        uint64_t d = HH_LOAD(&word->d);
        uint32_t class_ = hh_d_class(d), count = 0;
        hh_pages_unmark(map, page);
        idle_pages += hh_d_kind(d) == HH_PAGE_IDLE;
        used_pages += hh_d_kind(d) > HH_PAGE_IDLE;
        if (hh_d_kind(d) == HH_PAGE_RUN)
            bytes += (uint64_t)run_of(map, page) * HH_PAGE;
        if (hh_d_kind(d) != HH_PAGE_SPAN || !class_ || class_ > HH_CLASSES ||
            !hh_fits(map, page, map->classes[class_].pages))
            continue;
        uint64_t at = hh_slots_at(map, (uint32_t)page, class_);
        for (uint32_t i = 0; i < map->classes[class_].slots; i++)
            count += HH_LOAD(hh_slot_at(map, at + i * 4u)) != 0;
        HH_PUT(&word->used, count);
        slots[class_] += map->classes[class_].slots;
        used[class_] += count;
        bytes += (uint64_t)count * map->classes[class_].bytes;
        if (!hh_d_value(d) && count < map->classes[class_].slots)
            hh_span_offer(map, class_, (uint32_t)page);
    }
    HH_PUT(&head->used_pages, used_pages);
    HH_PUT(&head->idle_pages, idle_pages);
    HH_PUT(&head->slot_bytes, bytes);
    for (uint32_t i = 1; i <= HH_CLASSES; i++) {
        HH_PUT(&head->class_slots[i], slots[i]);
        HH_PUT(&head->class_used[i], used[i]);
    }
}

/* All lanes of a client whose byte lock the caller holds. */
void hh_recover_owned(struct hh_map *map, uint32_t client)
{
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t lane = 0; lane < lanes && lane < map->shape.lanes; lane++) {
        uint64_t state = HH_LOAD(&hh_lane_at(map, lane)->state);
        if (state & 1 && (state >> 32 & 0xffff) == client)
            recover_lane(map, lane, state);
    }
    recount(map);
    (void)HH_ADD(&map->head->recoveries, 1);
}

/* True if the client was dead and is in order now. */
bool hh_recover_client(struct hh_map *map, uint32_t client)
{
    uint64_t state = HH_LOAD(&map->head->client[client]);
    void *token;
    if ((state & 255) == HH_CLIENT_FREE || hh_os_alive(map, client) ||
        hh_os_token(map, client, &token))
        return false;
    state = HH_LOAD(&map->head->client[client]);
    if ((state & 255) != HH_CLIENT_FREE) {
        HH_STORE(&map->head->client[client], state >> 8 << 8 | HH_CLIENT_DEAD);
        hh_recover_owned(map, client);
        HH_STORE(&map->head->client[client], ((state >> 8) + 1) << 8 | HH_CLIENT_FREE);
    }
    if (token)
        (void)munmap(token, HH_PAGE);
    return true;
}

/* Recovers every dead client; returns how many there were. */
uint32_t hh_recover_all(struct hh_map *map)
{
    uint32_t recovered = 0;
    for (uint32_t i = 0; i < map->shape.clients; i++)
        recovered += hh_recover_client(map, i);
    return recovered;
}

int hh_repair(struct hh_heap *heap, uint32_t *out)
{
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    uint32_t recovered = hh_recover_all(heap->map);
    recount(heap->map);
    hh_mags_orphaned(heap->map);
    if (out)
        *out = recovered;
    return 0;
}

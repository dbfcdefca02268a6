// SPDX-License-Identifier: MIT
/*
 * lock.c - locks beyond the fast path: deep nesting, moves to abort, exclusive locks.
 *
 * Built on: recover.c, os.c (futex). Units: ns. Concurrency: the door's thread; pin
 * cells and exclusive cells are read by the mover. Why this way: a pin is a store to a
 * cell of one's own, so pinning shares no line with anybody. An exclusive lock is a pin
 * and one cmpxchg16b over {W live of that generation, M unowned}: who comes late with a
 * stale handle cannot own the next tenant. Its waiters sleep in slices of 2 ms, so that
 * no lost wake-up and no death can hold them for long.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

#define SLICE_NS INT64_C(2000000)
#define DEEP     (UINT64_C(1) << 32) /* in held: a lock that is not on the stack */

static void store_cell(struct hh_heap *heap, uint64_t *cell, uint64_t handle)
{
    if (heap->strict)
        (void)__atomic_exchange_n(cell, handle, __ATOMIC_SEQ_CST);
    else
        HH_STORE(cell, handle);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* With the cell written: where the block is, a move under way being aborted. */
static int pinned_place(struct hh_heap *heap, hh_handle block, uint64_t *place)
{
    struct hh_entry *entry = hh_entry_at(heap->map, (uint32_t)block.word);
    for (uint32_t turn = 0; turn < 1u << 16; turn++) {
        uint64_t w = HH_LOAD(&entry->w);
        enum hh_state state = hh_w_state(w);
        if (hh_w_gen(w) != (block.word >> 32 & HH_GEN_MAX))
            return hh_fail(-ESTALE, "the block was freed");
        *place = hh_w_place(w);
        if (state == HH_LIVE) {
            if (*place - heap->place_first >= heap->place_count)
                return hh_fail(-EBADMSG, "an entry names a place outside the blocks");
            return 0;
        }
        if (state != HH_MOVING && state != HH_RESIZING)
            return hh_fail(-ESTALE, "the block was freed");
        if (HH_CAS(&entry->w, &w, hh_w(hh_w_gen(w), HH_LIVE, *place)))
            continue;
    }
    return hh_fail(-EBADMSG, "entry %u does not come to rest", (uint32_t)block.word);
}

static int known(struct hh_heap *heap, hh_handle block)
{
    if ((uint32_t)block.word >= heap->known)
        hh_refresh(heap);
    if (block.word >> HH_TAG_SHIFT != heap->map->tag ||
        (uint32_t)block.word >= heap->known)
        return hh_fail(-ESTALE, "the handle is not of this heap");
    return 0;
}

/* The cell for one more pin: the stack's next, a hole in it, or one of the list beyond.
 * Null: all are taken. *again: the block has that one already, which counts. */
static uint64_t *find_cell(struct hh_heap *heap, uint64_t handle, bool *again)
{
    struct hh_lane *lane = heap->lane;
    *again = false;
    if ((uint32_t)heap->held < HH_CELLS_FAST)
        return &lane->cell[(uint32_t)heap->held];
    uint32_t unused = HH_CELLS;
    for (uint32_t i = HH_CELLS_FAST; i < HH_CELLS; i++) {
        uint64_t in = HH_PEEK(&lane->cell[i]);
        if (in == handle) {
            *again = true;
            return &lane->cell[i];
        }
        if (!in && unused == HH_CELLS)
            unused = i;
        if (i >= HH_PEEK(&lane->cells_used))
            break;
    }
    if (unused == HH_CELLS)
        return NULL;
    if (unused >= HH_PEEK(&lane->cells_used))
        HH_STORE(&lane->cells_used, unused + 1);
    return &lane->cell[unused];
}

static int pin(struct hh_heap *heap, hh_handle block, void **out)
{
    bool again;
    uint64_t *cell = find_cell(heap, block.word, &again), place;
    if (!cell)
        return hh_fail(-EMFILE, "this door holds %u locks", HH_CELLS);
    if (!again)
        store_cell(heap, cell, block.word);
    int error = pinned_place(heap, block, &place);
    if (error) {
        if (!again)
            HH_STORE(cell, UINT64_C(0));
        return error;
    }
    if (cell < &heap->lane->cell[HH_CELLS_FAST]) {
        heap->held++;
    } else {
        heap->nest[cell - heap->lane->cell]++;
        heap->held += DEEP;
    }
    *out = heap->base + place * 16;
    return 0;
}

/* Follows who waits for whom from the owner on; true: it ends at this lane. */
static bool closes_circle(struct hh_heap *heap, uint32_t owner)
{
    struct hh_map *map = heap->map;
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t step = 0; step <= map->shape.lanes; step++) {
        if (owner == (uint32_t)heap->owner)
            return true;
        if (!owner || owner >> 12 >= lanes || owner >> 12 >= map->shape.lanes)
            return false;
        uint64_t wants = HH_LOAD(&hh_lane_at(map, owner >> 12)->wants);
        if (!wants || (uint32_t)wants >= hh_limit(map))
            return false;
        struct hh_entry *entry = hh_entry_at(map, (uint32_t)wants);
        if (hh_w_gen(HH_LOAD(&entry->w)) != (wants >> 32 & HH_GEN_MAX))
            return false;
        owner = (uint32_t)(HH_LOAD(&entry->m) >> HH_M_OWNER_SHIFT);
    }
    return false;
}

static int late(struct hh_heap *heap, uint32_t owner)
{
    uint32_t lane = owner >> 12, pid = 0;
    if (lane < heap->map->shape.lanes) {
        uint64_t state = HH_LOAD(&hh_lane_at(heap->map, lane)->state);
        uint32_t client = (uint32_t)(state >> 32) & 0xffff;
        if (client < HH_CLIENTS)
            pid = HH_PEEK(&heap->map->head->client_pid[client]);
    }
    return hh_fail(-ETIMEDOUT, "door %u of process %u holds the lock", lane, pid);
}

/* Waits a slice for the owner in `m` to let go. */
static int wait_for(struct hh_heap *heap, struct hh_entry *entry, uint64_t m,
                    int64_t deadline)
{
    uint32_t owner = (uint32_t)(m >> HH_M_OWNER_SHIFT);
    if (owner == (uint32_t)heap->owner)
        return hh_fail(-EDEADLK, "this door has the lock already");
    if (closes_circle(heap, owner))
        return hh_fail(-EDEADLK, "door %u waits for this one", owner >> 12);
    if (hh_owner_dead(heap->map, owner))
        (void)hh_recover_all(heap->map);
    int64_t now = hh_now();
    if (now >= deadline)
        return HH_LOAD(&entry->m) >> HH_M_OWNER_SHIFT ? late(heap, owner) : 0;
    if (!(m & HH_M_WAITERS) && !HH_CAS(&entry->m, &m, m | HH_M_WAITERS))
        return 0;
    int64_t slice = deadline - now < SLICE_NS ? deadline - now : SLICE_NS;
    hh_os_wait((uint32_t *)(void *)&entry->m + 1, (uint32_t)((m | HH_M_WAITERS) >> 32),
               slice);
    int64_t waited = hh_now() - now;
    HH_PUT(&heap->lane->wait_ns, HH_PEEK(&heap->lane->wait_ns) + (uint64_t)waited);
    return 0;
}

static int own(struct hh_heap *heap, hh_handle block, int64_t deadline, uint64_t *place)
{
    struct hh_entry *entry = hh_entry_at(heap->map, (uint32_t)block.word);
    bool waiting = false;
    for (;;) {
        int error = pinned_place(heap, block, place);
        if (error)
            return error;
        uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
        if (w != hh_w(block.word >> 32 & HH_GEN_MAX, HH_LIVE, *place))
            continue;
        if (!(m >> HH_M_OWNER_SHIFT)) {
            uint64_t mine = (m & ~HH_M_OWNERDEAD) | heap->owner << HH_M_OWNER_SHIFT;
            if (hh_cas_both(entry, w, m, w, mine))
                return m & HH_M_OWNERDEAD
                           ? hh_fail(-EOWNERDEAD, "the last owner died with the lock")
                           : 0;
            continue;
        }
        if (!waiting) {
            waiting = true;
            HH_PUT(&heap->lane->waits, HH_PEEK(&heap->lane->waits) + 1);
            __atomic_store_n(&heap->lane->wants, block.word, __ATOMIC_SEQ_CST);
        }
        error = wait_for(heap, entry, m, deadline);
        if (error)
            return error;
    }
}

static int lock_exclusive(struct hh_heap *heap, hh_handle block, int64_t deadline,
                          void **out)
{
    struct hh_lane *lane = heap->lane;
    uint64_t place;
    uint32_t i = 0;
    while (i < HH_EXCL && HH_PEEK(&lane->excl[i]))
        i++;
    if (i == HH_EXCL)
        return hh_fail(-EMFILE, "this door holds %u exclusive locks", HH_EXCL);
    if (i >= HH_PEEK(&lane->excl_used))
        HH_STORE(&lane->excl_used, i + 1);
    store_cell(heap, &lane->excl[i], block.word);
    uint64_t before = HH_PEEK(&lane->wait_ns);
    int error = own(heap, block, deadline, &place);
    HH_STORE(&lane->wants, UINT64_C(0));
    uint64_t waited = HH_PEEK(&lane->wait_ns) - before;
    if (waited)
        hh_count_ns(lane->wait_log2, (int64_t)waited);
    if (waited > HH_PEEK(&lane->wait_ns_max))
        HH_PUT(&lane->wait_ns_max, waited);
    if (error && error != -EOWNERDEAD) {
        HH_STORE(&lane->excl[i], UINT64_C(0));
        return error;
    }
    heap->held += DEEP;
    heap->excl_since[i] = ++heap->excl_count % 32 ? 0 : hh_now();
    *out = heap->base + place * 16;
    return error;
}

int hh_lock_slow(struct hh_heap *heap, hh_handle block, unsigned mode, int64_t deadline,
                 void **out)
{
    hh_why_clear();
    if (!heap || (mode != HH_PIN && mode != HH_EXCLUSIVE) || !hh_revive(heap))
        return -EINVAL;
    int error = known(heap, block);
    if (error)
        return error;
    return mode == HH_PIN ? pin(heap, block, out)
                          : lock_exclusive(heap, block, deadline, out);
}

/* Releases M if this lane owns it; nobody else changes the owner meanwhile. */
void hh_disown(struct hh_heap *heap, hh_handle block)
{
    struct hh_entry *entry = hh_entry_at(heap->map, (uint32_t)block.word);
    uint64_t m = HH_LOAD(&entry->m);
    while (m >> HH_M_OWNER_SHIFT == heap->owner) {
        uint64_t freed = m & ~(UINT64_MAX << HH_M_OWNER_SHIFT) & ~HH_M_WAITERS;
        if (!HH_CAS(&entry->m, &m, freed))
            continue;
        if (m & HH_M_WAITERS)
            hh_os_wake((uint32_t *)(void *)&entry->m + 1);
        return;
    }
}

int hh_unlock_slow(struct hh_heap *heap, hh_handle block)
{
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    int error = known(heap, block);
    if (error)
        return error;
    struct hh_lane *lane = heap->lane;
    uint32_t cells = HH_PEEK(&lane->cells_used), excl = HH_PEEK(&lane->excl_used);
    for (uint32_t i = cells < HH_CELLS ? cells : HH_CELLS; i-- > 0;) {
        if (HH_PEEK(&lane->cell[i]) != block.word)
            continue;
        heap->held -= i >= HH_CELLS_FAST ? DEEP : 0;
        if (i >= HH_CELLS_FAST && --heap->nest[i])
            return 0;
        HH_STORE(&lane->cell[i], UINT64_C(0));
        /* A cell is never moved to another: the mover would miss it in between. */
        while ((uint32_t)heap->held && !HH_PEEK(&lane->cell[(uint32_t)heap->held - 1]))
            heap->held--;
        return 0;
    }
    for (uint32_t i = excl < HH_EXCL ? excl : HH_EXCL; i-- > 0;) {
        if (HH_PEEK(&lane->excl[i]) != block.word)
            continue;
        heap->held -= DEEP;
        if (heap->excl_since[i])
            hh_count_ns(lane->hold_log2, hh_now() - heap->excl_since[i]);
        hh_disown(heap, block);
        HH_STORE(&lane->excl[i], UINT64_C(0));
        return 0;
    }
    return hh_fail(-EPERM, "this door has not locked the block");
}

int hh_look_up(struct hh_heap *heap, hh_handle block, uint64_t *w, uint64_t *m)
{
    hh_why_clear();
    if (!heap || !hh_revive(heap))
        return -EINVAL;
    int error = known(heap, block);
    if (error)
        return error;
    struct hh_entry *entry = hh_entry_at(heap->map, (uint32_t)block.word);
    *w = HH_LOAD(&entry->w);
    *m = HH_LOAD(&entry->m);
    enum hh_state state = hh_w_state(*w);
    if (hh_w_gen(*w) != (block.word >> 32 & HH_GEN_MAX) ||
        (state != HH_LIVE && state != HH_MOVING && state != HH_RESIZING))
        return hh_fail(-ESTALE, "the block was freed");
    return 0;
}

int hh_capacity(struct hh_map *map, uint64_t w, uint64_t m, size_t *out)
{
    uint32_t class_ = (uint32_t)(m >> HH_M_CLASS_SHIFT) & 255;
    if (class_ && class_ <= HH_CLASSES) {
        *out = map->classes[class_].bytes;
        return 0;
    }
    uint64_t page = hh_page_of(map, hh_w_place(w));
    if (class_ != HH_CLASS_LARGE || page >= hh_pages_known(map))
        return hh_fail(-EBADMSG, "an entry has class %u", class_);
    uint32_t pages = HH_PEEK(&hh_page_at(map, page)->pages);
    if (!pages || !hh_fits(map, page, pages))
        return hh_fail(-EBADMSG, "page %llu heads an impossible run",
                       (unsigned long long)page);
    *out = (size_t)pages * HH_PAGE;
    return 0;
}

/* The words of a block in use and its capacity, all of one moment. */
int hh_measure(struct hh_heap *heap, hh_handle block, uint64_t *w, uint64_t *m,
               size_t *capacity)
{
    int error = hh_look_up(heap, block, w, m);
    for (uint32_t turn = 0; !error && turn < 1u << 16; turn++) {
        uint64_t place = hh_w_place(*w);
        int found = hh_capacity(heap->map, *w, *m, capacity);
        error = hh_look_up(heap, block, w, m);
        if (!error && hh_w_place(*w) == place)
            return found;
    }
    return error ? error : hh_fail(-EBADMSG, "a block does not come to rest");
}

int hh_usable(struct hh_heap *heap, hh_handle block, size_t *out)
{
    uint64_t w, m;
    size_t capacity;
    int error = hh_measure(heap, block, &w, &m, &capacity);
    if (!error)
        *out = capacity;
    return error;
}

int hh_bytes(struct hh_heap *heap, hh_handle block, size_t *out)
{
    uint64_t w, m;
    size_t capacity;
    int error = hh_measure(heap, block, &w, &m, &capacity);
    if (!error)
        *out = hh_size(m, capacity);
    return error;
}

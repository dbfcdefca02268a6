// SPDX-License-Identifier: MIT
/*
 * mover.c - moves blocks together so that spans become empty.
 *
 * Built on: spans.c, pages.c, recover.c. Units: bytes of capacity, ns.
 * Concurrency: one mover at a time, by the role word; all others go on. A block on its
 * way is MOVING: whoever locks or frees it takes it back by CAS and the copy is thrown
 * away. One membarrier a batch makes every pin made before visible; after it, a locker
 * that had not yet read W finds MOVING. (Model: model/pin_move.pml.)
 * Why this way: the price of pins lies with the mover, once for 64 blocks.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct victim {
    uint32_t page, class_, used;
};

struct hh_mover {
    struct victim *victims;
    uint32_t room, count;
    uint32_t dest;   /* head page + 1 of the span that takes blocks of this class */
    uint32_t cursor; /* in it */
    uint32_t high;   /* next candidate for dest, from the full end */
    uint32_t low;    /* next victim */
    uint32_t below;  /* slide: fresh destinations start below this page; else 0 */
    uint32_t notes;
    uint64_t place[HH_BATCH]; /* of the notes: claimed slot */
    uint64_t w[HH_BATCH];     /* of the notes: as MOVING */
    bool pinned[HH_BATCH];
    uint64_t budget_bytes;
    int64_t end_ns;
    struct hh_policy policy;
    struct hh_moved done;
};

#if defined(__SANITIZE_THREAD__)
#define THREADS_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_CHECKED 1
#endif
#endif

/* Copies a block that may be written meanwhile by who has just aborted the move: such a
 * copy is thrown away, so the race is harmless; the race detector is not told of it. */
#ifdef THREADS_CHECKED
__attribute__((no_sanitize("thread"))) static void copy(void *to, const void *from,
                                                        size_t bytes)
{
    uint64_t *target = to;
    const uint64_t *source = from;
    for (size_t i = 0; i < bytes / 8; i++)
        __atomic_store_n(&target[i], __atomic_load_n(&source[i], __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
}
#else
static void copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif

static bool spent(struct hh_mover *mover)
{
    return (mover->budget_bytes && mover->done.bytes >= mover->budget_bytes) ||
           (mover->end_ns && hh_now() >= mover->end_ns);
}

/* --- the batch --- */

static void mark_pinned(struct hh_heap *heap, const uint64_t *cells, uint32_t count)
{
    struct hh_mover *mover = heap->mover;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t handle = HH_LOAD(&cells[i]);
        if (!handle)
            continue;
        for (uint32_t n = 0; n < mover->notes; n++) {
            if (heap->lane->note[n].index == (uint32_t)handle &&
                hh_w_gen(mover->w[n]) == (handle >> 32 & HH_GEN_MAX))
                mover->pinned[n] = true;
        }
    }
}

/* After the barrier: which blocks of the batch somebody has locked. */
static void scan_pins(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        uint32_t cells = HH_LOAD(&lane->cells_used), excl = HH_LOAD(&lane->excl_used);
        uint64_t busy = HH_LOAD(&lane->busy);
        for (uint32_t n = 0; busy && n < heap->mover->notes; n++)
            heap->mover->pinned[n] |= heap->lane->note[n].index + UINT64_C(1) == busy;
        mark_pinned(heap, lane->cell, cells < HH_CELLS ? cells : HH_CELLS);
        mark_pinned(heap, lane->excl, excl < HH_EXCL ? excl : HH_EXCL);
    }
}

/* A slot for one more block, in a fuller span, or (sliding) in a fresh lower one. */
static bool find_room(struct hh_heap *heap, uint32_t class_, uint32_t note)
{
    struct hh_mover *mover = heap->mover;
    uint64_t map_at;
    for (;;) {
        if (mover->dest) {
            if (hh_slot_claim(heap, mover->dest - 1, class_, &mover->cursor,
                              &mover->place[note], &map_at, &heap->lane->note[note], 0))
                return true;
            hh_span_leave(heap, mover->dest - 1);
            mover->dest = 0;
        }
        uint32_t page = UINT32_MAX;
        while (page == UINT32_MAX && mover->high > mover->low + 1) {
            struct victim *next = &mover->victims[--mover->high];
            struct hh_pageword *word = hh_page_at(heap->map, next->page);
            uint64_t d = hh_d(HH_PAGE_SPAN, class_, 0);
            if (HH_LOAD(&word->used) < heap->map->classes[class_].slots &&
                HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, heap->owner)))
                page = next->page;
        }
        if (page == UINT32_MAX &&
            (!mover->below || hh_span_new(heap, class_, mover->below, &page)))
            return false;
        mover->dest = page + 1;
        mover->cursor = 0;
    }
}

static void unmove(struct hh_heap *heap, uint32_t note)
{
    uint64_t w = heap->mover->w[note];
    enum hh_state state = hh_w_state(w) == HH_TAKEN ? HH_CACHED : HH_LIVE;
    (void)HH_CAS(&hh_entry_at(heap->map, heap->lane->note[note].index)->w, &w,
                 hh_w(hh_w_gen(w), state, hh_w_place(w)));
}

/* A cached block of the batch that its lane is not allocating: taken from the index. */
static void take_cached(struct hh_heap *heap, uint32_t n, uint32_t page)
{
    uint64_t w = heap->mover->w[n];
    uint64_t bare = hh_w_gen(w) == HH_GEN_MAX ? hh_w(HH_GEN_MAX, HH_RETIRED, 0)
                                              : hh_w(hh_w_gen(w) + 1, HH_BARE, 0);
    if (!HH_CAS(&hh_entry_at(heap->map, heap->lane->note[n].index)->w, &w, bare))
        return;
    (void)HH_ADD(&heap->map->head->strips, 1);
    hh_span_unuse(heap, page, 1);
}

/* One block of the batch to its new slot. */
static void move_one(struct hh_heap *heap, uint32_t n, uint32_t page, uint32_t class_)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    struct hh_note *note = &heap->lane->note[n];
    uint32_t bytes = map->classes[class_].bytes, owner = (uint32_t)heap->owner;
    uint64_t w = mover->w[n];
    if (mover->pinned[n]) {
        mover->done.pinned += hh_w_state(w) == HH_MOVING;
        unmove(heap, n);
    } else if (hh_w_state(w) == HH_TAKEN) {
        take_cached(heap, n, page);
    } else if (!find_room(heap, class_, n)) {
        unmove(heap, n);
    } else {
        copy(map->base + mover->place[n] * 16, map->base + note->from * 16, bytes);
        if (HH_CAS(&hh_entry_at(map, note->index)->w, &w,
                   hh_w(hh_w_gen(w), HH_LIVE, mover->place[n]))) {
            mover->done.blocks++;
            mover->done.bytes += bytes;
            (void)HH_ADD(&hh_page_at(map, mover->dest - 1)->used, 1);
            (void)HH_ADD(&hh_page_at(map, page)->used, -1u);
        } else {
            mover->done.cancelled++;
        }
        hh_slot_settle(map, owner, note->map_to, note->index, note->to);
    }
    hh_slot_settle(map, owner, note->map_from, note->index, note->from);
}

static void flush(struct hh_heap *heap, uint32_t page, uint32_t class_)
{
    struct hh_mover *mover = heap->mover;
    if (!mover->notes)
        return;
    memset(mover->pinned, 0, sizeof mover->pinned);
    if (hh_os_barrier())
        memset(mover->pinned, 1, sizeof mover->pinned);
    else
        scan_pins(heap);
    for (uint32_t n = 0; n < mover->notes; n++)
        move_one(heap, n, page, class_);
    mover->notes = 0;
    HH_STORE(&heap->lane->notes, 0u);
    (void)HH_ADD(&heap->map->head->batches, 1);
}

/* --- spans --- */

/* One slot of a victim: its block joins the batch, to be taken away or moved. */
static void take_slot(struct hh_heap *heap, uint64_t map_at, uint64_t place)
{
    struct hh_mover *mover = heap->mover;
    uint32_t *slot = hh_slot_at(heap->map, map_at), seen = HH_LOAD(slot);
    if (!seen || seen & HH_SLOT_CLAIM || seen - 1 >= hh_limit(heap->map))
        return;
    uint32_t index = seen - 1;
    struct hh_entry *entry = hh_entry_at(heap->map, index);
    uint64_t w = HH_LOAD(&entry->w);
    if (hh_w_place(w) != place)
        return;
    enum hh_state state = hh_w_state(w);
    if (state != HH_LIVE && state != HH_CACHED)
        return;
    uint32_t n = mover->notes;
    struct hh_note *note = &heap->lane->note[n];
    HH_PUT(&note->index, index);
    HH_PUT(&note->from, place);
    HH_PUT(&note->map_from, map_at);
    HH_PUT(&note->to, UINT64_C(0));
    HH_STORE(&heap->lane->notes, n + 1);
    if (!HH_CAS(slot, &seen, HH_SLOT_CLAIM | (uint32_t)heap->owner)) {
        HH_STORE(&heap->lane->notes, n);
        return;
    }
    uint64_t moving = hh_w(hh_w_gen(w), state == HH_LIVE ? HH_MOVING : HH_TAKEN, place);
    if (!HH_CAS(&entry->w, &w, moving)) {
        hh_slot_settle(heap->map, (uint32_t)heap->owner, map_at, index, place);
        HH_STORE(&heap->lane->notes, n);
        return;
    }
    mover->w[n] = moving;
    mover->notes = n + 1;
}

/* Closes a span and moves its blocks out; gives its pages back if none is left. */
static bool evacuate(struct hh_heap *heap, uint32_t page, uint32_t class_)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    const struct hh_class *info = &map->classes[class_];
    struct hh_pageword *word = hh_page_at(map, page);
    uint64_t d = HH_LOAD(&word->d), at = hh_slots_at(map, page, class_);
    if (hh_d_kind(d) != HH_PAGE_SPAN || hh_d_class(d) != class_ ||
        page + 1 == mover->dest ||
        !HH_CAS(&word->d, &d, hh_d(HH_PAGE_SPAN, class_, heap->owner)))
        return false;
    for (uint32_t i = 0; i < info->slots && !spent(mover); i++) {
        take_slot(heap, at + i * 4u,
                  hh_place_of(map, page) + (uint64_t)i * info->bytes / 16);
        if (mover->notes == mover->policy.batch)
            flush(heap, page, class_);
    }
    flush(heap, page, class_);
    if (!hh_span_dissolve(heap, page)) {
        hh_span_leave(heap, page);
        return false;
    }
    mover->done.returned_bytes += (uint64_t)info->pages * HH_PAGE;
    return true;
}

static int by_class_and_use(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    if (x->class_ != y->class_)
        return x->class_ < y->class_ ? -1 : 1;
    if (x->used != y->used)
        return x->used < y->used ? -1 : 1;
    /* Of equally full spans the higher goes first: blocks gather at the bottom. */
    return x->page > y->page ? -1 : x->page < y->page;
}

/* Notes the spans of [from, to), with `all` also those some lane takes slots from. */
static int gather(struct hh_heap *heap, uint64_t from, uint64_t to, bool all)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    mover->count = 0;
    for (uint64_t page = from; page < to;) {
        struct hh_pageword *word = hh_page_at(map, page);
        uint64_t d = HH_LOAD(&word->d);
        uint32_t class_ = hh_d_class(d), pages = HH_PEEK(&word->pages);
        bool head = hh_d_kind(d) == HH_PAGE_SPAN || hh_d_kind(d) == HH_PAGE_RUN;
        if (hh_d_kind(d) == HH_PAGE_SPAN && class_ && class_ <= HH_CLASSES &&
            (all || !hh_d_value(d))) {
            if (mover->count == mover->room) {
                uint32_t room = mover->room ? mover->room * 2 : 256;
                void *more = realloc(mover->victims, room * sizeof *mover->victims);
                if (!more)
                    return -ENOMEM;
                mover->victims = more;
                mover->room = room;
            }
            mover->victims[mover->count++] =
                (struct victim){(uint32_t)page, class_, HH_PEEK(&word->used)};
        }
        page += head && pages ? pages : 1;
    }
    if (mover->count)
        qsort(mover->victims, mover->count, sizeof *mover->victims, by_class_and_use);
    return 0;
}

/* Empties the sparse spans of one class, victims[low, high), into its fuller ones. */
static void merge_class(struct hh_heap *heap, uint32_t low, uint32_t high, bool hard)
{
    struct hh_mover *mover = heap->mover;
    uint32_t class_ = mover->victims[low].class_;
    uint32_t slots = heap->map->classes[class_].slots;
    uint64_t room = 0;
    mover->high = high;
    for (uint32_t i = low; i < high; i++) {
        uint32_t used = mover->victims[i].used;
        room += used < slots ? slots - used : 0;
    }
    for (mover->low = low; mover->low < mover->high && !spent(mover); mover->low++) {
        uint32_t used = mover->victims[mover->low].used;
        uint32_t own_room = used < slots ? slots - used : 0;
        if (!hard && used > slots * mover->policy.occupancy_max)
            break;
        /* Its blocks must fit into the holes of the others. */
        if (room - own_room < used && used)
            break;
        if (evacuate(heap, mover->victims[mover->low].page, class_))
            room -= slots;
        else
            room -= own_room < room ? own_room : room;
    }
    if (mover->dest)
        hh_span_leave(heap, mover->dest - 1);
    mover->dest = 0;
}

static void merge(struct hh_heap *heap, bool hard)
{
    struct hh_mover *mover = heap->mover;
    for (uint32_t low = 0, high; low < mover->count && !spent(mover); low = high) {
        for (high = low; high < mover->count &&
                         mover->victims[high].class_ == mover->victims[low].class_;)
            high++;
        merge_class(heap, low, high, hard);
    }
}

/* --- large blocks, and everything downwards --- */

/* Moves a large block to the lowest run that takes it, if that is lower. */
static void shift(struct hh_heap *heap, uint32_t page)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    uint32_t pages = HH_PEEK(&hh_page_at(map, page)->pages), to;
    uint64_t *word = &hh_page_at(map, page)->d, d = HH_LOAD(word);
    uint32_t index = hh_d_value(d), owner = (uint32_t)heap->owner;
    if (hh_d_kind(d) != HH_PAGE_RUN || index >= hh_limit(map) || !pages ||
        pages > map->at.pages - page || hh_pages_claim(heap, pages, page, &to))
        return;
    struct hh_intent *intent = &heap->lane->intent;
    struct hh_entry *entry = hh_entry_at(map, index);
    uint64_t from_place = hh_place_of(map, page), to_place = hh_place_of(map, to);
    HH_PUT(&intent->index, index);
    HH_PUT(&intent->place, from_place);
    HH_PUT(&intent->to_page, to);
    HH_PUT(&intent->page, page);
    HH_STORE(&intent->op, (uint32_t)HH_OP_SHIFT);
    hh_pages_commit(heap, to, pages, hh_d(HH_PAGE_CLAIMED, 1, owner));
    bool moved = false, ours = HH_CAS(word, &d, hh_d(HH_PAGE_CLAIMED, 1, owner));
    uint64_t w = HH_LOAD(&entry->w), moving = w ^ hh_w(0, HH_LIVE ^ HH_MOVING, 0);
    if (ours && hh_w_state(w) == HH_LIVE && hh_w_place(w) == from_place &&
        HH_CAS(&entry->w, &w, moving)) {
        heap->lane->note[0].index = index;
        mover->w[0] = moving;
        mover->notes = 1;
        mover->pinned[0] = hh_os_barrier() != 0;
        scan_pins(heap);
        mover->notes = 0;
        mover->done.pinned += mover->pinned[0];
        w = moving;
        if (mover->pinned[0]) {
            (void)HH_CAS(&entry->w, &w, moving ^ hh_w(0, HH_LIVE ^ HH_MOVING, 0));
        } else {
            copy(map->base + to_place * 16, map->base + from_place * 16,
                 (size_t)pages * HH_PAGE);
            moved = HH_CAS(&entry->w, &w, hh_w(hh_w_gen(w), HH_LIVE, to_place));
            mover->done.cancelled += !moved;
        }
    }
    /* Each run is the block's if W names it, else free: first what W may name. */
    uint32_t keep = moved ? to : page, leave = moved ? page : to;
    bool nameless = (moved || ours) && hh_run_settle(map, owner, index, keep);
    if (moved) {
        mover->done.blocks++;
        mover->done.bytes += (uint64_t)pages * HH_PAGE;
    }
    hh_pages_release(heap, leave, pages);
    if (nameless)
        hh_pages_release(heap, keep, pages);
}

/* From the top down: every run and span into lower room, so that free pages join. */
static void slide(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    struct hh_mover *mover = heap->mover;
    for (uint64_t page = hh_pages_known(map); page-- > 0 && !spent(mover);) {
        uint64_t d = HH_LOAD(&hh_page_at(map, page)->d);
        if (hh_d_kind(d) == HH_PAGE_RUN)
            shift(heap, (uint32_t)page);
        if (hh_d_kind(d) != HH_PAGE_SPAN || !hh_d_class(d) ||
            hh_d_class(d) > HH_CLASSES)
            continue;
        mover->below = (uint32_t)page;
        mover->low = mover->high = 0;
        uint32_t fresh;
        /* Only if a lower run is to be had at all. */
        if (!hh_span_new(heap, hh_d_class(d), page, &fresh)) {
            mover->dest = fresh + 1;
            mover->cursor = 0;
            (void)evacuate(heap, (uint32_t)page, hh_d_class(d));
            if (mover->dest) {
                uint32_t dest = mover->dest - 1;
                hh_span_leave(heap, dest);
                (void)hh_span_dissolve(heap, dest);
            }
            mover->dest = 0;
        }
        mover->below = 0;
    }
}

/* --- the role --- */

static int take_role(struct hh_heap *heap)
{
    uint64_t *role = &heap->map->head->mover;
    for (int turn = 0; turn < 2; turn++) {
        uint64_t holder = 0;
        if (HH_CAS(role, &holder, heap->owner))
            return 0;
        if (!hh_owner_dead(heap->map, (uint32_t)holder) || !hh_recover_all(heap->map))
            break;
    }
    return hh_fail(-EBUSY, "another door is moving blocks");
}

static int prepare(struct hh_heap *heap, uint64_t budget_bytes, int64_t budget_ns)
{
    if (!heap->mover) {
        heap->mover = calloc(1, sizeof *heap->mover);
        if (!heap->mover)
            return -ENOMEM;
    }
    struct hh_mover *mover = heap->mover;
    memset(&mover->done, 0, sizeof mover->done);
    hh_policy_read(heap->map, &mover->policy);
    mover->budget_bytes = budget_bytes;
    bool clock = budget_ns && !mover->policy.deterministic;
    mover->end_ns = clock ? hh_now() + budget_ns : 0;
    return take_role(heap);
}

static void finish(struct hh_heap *heap)
{
    struct hh_header *head = heap->map->head;
    struct hh_moved *done = &heap->mover->done;
    (void)HH_ADD(&head->moved_blocks, done->blocks);
    (void)HH_ADD(&head->moved_bytes, done->bytes);
    (void)HH_ADD(&head->moves_cancelled, done->cancelled);
    (void)HH_ADD(&head->moves_pinned, done->pinned);
    done->punched_bytes = hh_pages_trim(heap, heap->mover->policy.release_bytes);
    HH_STORE(&head->mover, UINT64_C(0));
}

/* One run of the mover; `hard` also takes spans in use and full ones.
 * Errors: -EBUSY another moves; -ENOMEM no private memory. */
int hh_move(struct hh_heap *heap, uint64_t budget_bytes, int64_t budget_ns, bool hard,
            struct hh_moved *out)
{
    int error = prepare(heap, budget_bytes, budget_ns);
    if (error)
        return error;
    error = gather(heap, 0, hh_pages_known(heap->map), hard);
    if (!error) {
        merge(heap, hard);
        if (hard)
            slide(heap);
    }
    finish(heap);
    if (!error)
        *out = heap->mover->done;
    return error;
}

/* The step that a call of alloc or free may contain, if the policy wants one now. */
void hh_move_step(struct hh_heap *heap)
{
    struct hh_map *map = heap->map;
    struct hh_header *head = map->head;
    struct hh_policy policy;
    uint64_t used = HH_PEEK(&head->used_pages) * HH_PAGE,
             live = HH_PEEK(&head->slot_bytes);
    hh_policy_read(map, &policy);
    if (policy.trigger != HH_TRIGGER_IN_CALL || heap->in_step ||
        used > map->shape.bytes || used < live || used - live < policy.min_waste_bytes)
        return;
    double ratio = (double)used / (double)(live ? live : 1);
    uint64_t active = HH_PEEK(&head->moving);
    if (ratio < (active ? policy.frag_stop : policy.frag_start)) {
        if (active)
            HH_PUT(&head->moving, UINT64_C(0));
        return;
    }
    int64_t start = policy.deterministic ? 0 : hh_now();
    if (start && (uint64_t)start < heap->since_ns)
        return;
    if (prepare(heap, policy.step_bytes, (int64_t)policy.step_ns))
        return;
    heap->in_step = 1;
    HH_PUT(&head->moving, UINT64_C(1));
    uint64_t known = hh_pages_known(map), from = HH_PEEK(&head->move_cursor);
    from = from < known ? from : 0;
    uint64_t to = from + 2048 < known ? from + 2048 : known;
    if (!gather(heap, from, to, false))
        merge(heap, false);
    HH_PUT(&head->move_cursor, to < known ? to : 0);
    finish(heap);
    (void)HH_ADD(&head->steps, 1);
    if (start) {
        uint64_t took = (uint64_t)(hh_now() - start);
        (void)HH_ADD(&head->step_ns, took);
        hh_max(&head->step_ns_max, took);
        /* Where steps bring nothing, ever less often, up to a second. */
        struct hh_moved *done = &heap->mover->done;
        bool useless = !done->bytes && !done->returned_bytes && !done->punched_bytes;
        heap->idle_ns = useless ? heap->idle_ns * 2 + 100000 : 0;
        heap->idle_ns = heap->idle_ns < 1000000000 ? heap->idle_ns : 1000000000;
        heap->since_ns = (uint64_t)start + took + heap->idle_ns +
                         (uint64_t)((double)took / policy.overhead_max);
    }
    heap->in_step = 0;
}

void hh_mover_free(struct hh_heap *heap)
{
    if (heap->mover)
        free(heap->mover->victims);
    free(heap->mover);
}

int hh_compact(struct hh_heap *heap, uint64_t budget_bytes, int64_t budget_ns,
               struct hh_moved *out)
{
    hh_why_clear();
    struct hh_moved done;
    if (!heap || budget_ns < 0 || !hh_revive(heap))
        return -EINVAL;
    /* Without a bound, cached blocks go too: they are free memory in the way. */
    if (!budget_bytes && !budget_ns)
        hh_caches_drop(heap);
    int error = hh_move(heap, budget_bytes, budget_ns, true, &done);
    if (!error && out)
        *out = done;
    return error;
}

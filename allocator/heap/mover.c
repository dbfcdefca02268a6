// SPDX-License-Identifier: MIT
/*
 * mover.c - which blocks to move, and when.
 *
 * Built on: batch.c, pages.c, recover.c. Units: bytes of capacity, ns.
 * Concurrency: one mover at a time holds the role word, within one call; a dead holder
 * is recovered by the next. Why this way: spans are emptied into fuller ones of their
 * class, sparsest first, because that frees most pages for the fewest bytes copied; a
 * full compaction then slides everything down, so that free pages join.
 */
#include "allocator/heap/mover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    mover->count = mover->next = 0;
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
/* Whether a span holds more than cached blocks. */
static bool any_live(struct hh_map *map, uint32_t page, uint32_t class_)
{
    uint64_t at = hh_slots_at(map, page, class_);
    for (uint32_t i = 0; i < map->classes[class_].slots; i++) {
        uint32_t seen = HH_LOAD(hh_slot_at(map, at + i * 4u));
        if (!seen || seen & HH_SLOT_CLAIM || seen - 1 >= hh_limit(map))
            continue;
        enum hh_state state = hh_w_state(HH_LOAD(&hh_entry_at(map, seen - 1)->w));
        if (state != HH_CACHED && state != HH_BARE)
            return true;
    }
    return false;
}

static void merge_class(struct hh_heap *heap, uint32_t low, uint32_t high, bool hard)
{
    struct hh_mover *mover = heap->mover;
    uint32_t class_ = mover->victims[low].class_;
    uint32_t slots = heap->map->classes[class_].slots;
    uint64_t room = 0;
    bool stopped = false;
    mover->high = high;
    for (uint32_t i = low; i < high; i++) {
        /* The list may be of an earlier call. */
        uint32_t used = HH_PEEK(&hh_page_at(heap->map, mover->victims[i].page)->used);
        mover->victims[i].used = used;
        room += used < slots ? slots - used : 0;
    }
    for (mover->low = low; mover->low < mover->high; mover->low++) {
        uint32_t used = mover->victims[mover->low].used;
        uint32_t own_room = used < slots ? slots - used : 0;
        stopped = hh_spent(mover);
        if (stopped || (!hard && used > slots * mover->policy.occupancy_max))
            break;
        /* Its blocks must fit into the holes of the others, but for cached ones. */
        if (room - own_room < used && used) {
            if (!hard)
                break;
            if (any_live(heap->map, mover->victims[mover->low].page, class_))
                continue;
        }
        if (hh_evacuate(heap, mover->victims[mover->low].page, class_)) {
            room -= slots;
            continue;
        }
        room -= own_room < room ? own_room : room;
        stopped = hh_spent(mover);
        if (stopped)
            break;
    }
    mover->next = stopped ? mover->low : high;
    hh_leave_dest(heap);
}

static void merge(struct hh_heap *heap, bool hard)
{
    struct hh_mover *mover = heap->mover;
    while (mover->next < mover->count && !hh_spent(mover)) {
        uint32_t low = mover->next, high = low;
        while (high < mover->count &&
               mover->victims[high].class_ == mover->victims[low].class_)
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
    HH_PUT(&intent->to_pages, pages);
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
        mover->pinned[0] = false;
        hh_os_settle();
        hh_scan_pins(heap);
        mover->notes = 0;
        mover->done.pinned += mover->pinned[0];
        w = moving;
        if (mover->pinned[0]) {
            (void)HH_CAS(&entry->w, &w, moving ^ hh_w(0, HH_LIVE ^ HH_MOVING, 0));
        } else {
            hh_copy(map->base + to_place * 16, map->base + from_place * 16,
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
    for (uint64_t page = hh_pages_known(map); page-- > 0 && !hh_spent(mover);) {
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
            (void)hh_evacuate(heap, (uint32_t)page, hh_d_class(d));
            uint32_t dest = mover->dest;
            hh_leave_dest(heap);
            if (dest)
                (void)hh_span_dissolve(heap, dest - 1);
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
    mover->start_ns = mover->policy.deterministic ? 0 : hh_now();
    mover->end_ns = budget_ns && mover->start_ns ? mover->start_ns + budget_ns : 0;
    return take_role(heap);
}

static void finish(struct hh_heap *heap, bool trim)
{
    struct hh_header *head = heap->map->head;
    struct hh_moved *done = &heap->mover->done;
    (void)HH_ADD(&head->moved_blocks, done->blocks);
    (void)HH_ADD(&head->moved_bytes, done->bytes);
    (void)HH_ADD(&head->moves_cancelled, done->cancelled);
    (void)HH_ADD(&head->moves_pinned, done->pinned);
    (void)HH_ADD(&head->mover_calls, 1);
    if (heap->mover->start_ns) {
        int64_t took = hh_now() - heap->mover->start_ns;
        (void)HH_ADD(&head->mover_ns, (uint64_t)took);
        hh_count_ns(head->mover_hold_log2, took);
    }
    if (trim)
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
    /* A bounded call goes on where the last one stopped; looking for what to move next
     * is not part of its budget, or it might never move anything. */
    struct hh_mover *mover = heap->mover;
    bool bounded = budget_bytes || budget_ns;
    if (!bounded || mover->next >= mover->count) {
        error = gather(heap, 0, hh_pages_known(heap->map), hard);
        mover->end_ns = mover->end_ns ? hh_now() + budget_ns : 0;
    }
    if (!error) {
        merge(heap, hard);
        if (hard && mover->next >= mover->count && !hh_spent(mover))
            slide(heap);
    }
    finish(heap, true);
    if (!error)
        *out = heap->mover->done;
    return error;
}

/* Gives idle pages back when there are twice as many as the policy keeps. */
static void trim_step(struct hh_heap *heap, const struct hh_policy *policy)
{
    uint64_t idle = HH_PEEK(&heap->map->head->idle_pages) * HH_PAGE;
    int64_t start = policy->deterministic ? 0 : hh_now();
    if (idle > heap->map->shape.bytes || idle / 2 <= policy->release_bytes ||
        (start && (uint64_t)start < heap->trim_ns))
        return;
    (void)hh_pages_trim(heap, policy->release_bytes);
    if (start)
        heap->trim_ns = (uint64_t)start +
                        (uint64_t)((double)(hh_now() - start) / policy->overhead_max);
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
    if (policy.trigger == HH_TRIGGER_IN_CALL && !heap->in_step)
        trim_step(heap, &policy);
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
    double credit =
        policy.credit * (double)heap->credit_bytes - (double)heap->moved_bytes;
    if (credit < HH_PAGE)
        return;
    uint64_t budget =
        credit < (double)policy.step_bytes ? (uint64_t)credit : policy.step_bytes;
    if (prepare(heap, budget, (int64_t)policy.step_ns))
        return;
    heap->in_step = 1;
    HH_PUT(&head->moving, UINT64_C(1));
    /* A step either looks for sparse spans, in 4 MiB, or empties some of those found.
     */
    struct hh_mover *mover = heap->mover;
    bool wrapped = false;
    if (mover->next < mover->count) {
        merge(heap, false);
    } else {
        uint64_t known = hh_pages_known(map), from = HH_PEEK(&head->move_cursor);
        from = from < known ? from : 0;
        uint64_t to = from + 1024 < known ? from + 1024 : known;
        (void)gather(heap, from, to, false);
        wrapped = to == known;
        HH_PUT(&head->move_cursor, wrapped ? 0 : to);
    }
    mover->pass_bytes += mover->done.bytes + mover->done.returned_bytes;
    heap->moved_bytes += mover->done.bytes;
    finish(heap, false);
    (void)HH_ADD(&head->steps, 1);
    if (start) {
        uint64_t took = (uint64_t)(hh_now() - start);
        (void)HH_ADD(&head->step_ns, took);
        hh_max(&head->step_ns_max, took);
        /* Where a pass over the heap brought nothing, a pause, ever longer to a second.
         */
        if (mover->pass_bytes || wrapped)
            heap->idle_ns = mover->pass_bytes ? 0 : heap->idle_ns * 2 + 100000;
        heap->idle_ns = heap->idle_ns < 1000000000 ? heap->idle_ns : 1000000000;
        mover->pass_bytes = wrapped ? 0 : mover->pass_bytes;
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

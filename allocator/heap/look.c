// SPDX-License-Identifier: MIT
/*
 * look.c - statistics and walks.
 *
 * Built on: layout.h. Concurrency: reads what others change; every figure is one
 * moment's. Why this way: counting from the table costs the fast paths nothing.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <sys/stat.h>

/* Which lanes have the block pinned or owned. */
static void count_locks(struct hh_map *map, struct hh_block *block)
{
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        uint32_t cells = HH_LOAD(&lane->cells_used), excl = HH_LOAD(&lane->excl_used);
        for (uint32_t n = 0; n < cells && n < HH_CELLS; n++)
            block->pins += HH_LOAD(&lane->cell[n]) == block->handle.word;
        for (uint32_t n = 0; n < excl && n < HH_EXCL; n++)
            block->pins += HH_LOAD(&lane->excl[n]) == block->handle.word;
    }
}

static bool in_use(uint64_t w)
{
    enum hh_state state = hh_w_state(w);
    return state == HH_LIVE || state == HH_MOVING || state == HH_RESIZING;
}

int hh_walk(struct hh_heap *heap,
            int (*visit)(const struct hh_block *block, void *context), void *context)
{
    hh_why_clear();
    if (!heap || !visit || !hh_revive(heap))
        return -EINVAL;
    struct hh_map *map = heap->map;
    uint32_t limit = hh_limit(map);
    for (uint32_t index = 0; index < limit; index++) {
        struct hh_entry *entry = hh_entry_at(map, index);
        uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
        struct hh_block block = {.offset = hh_w_place(w) * 16};
        if (!in_use(w) || hh_capacity(map, w, m, &block.usable) ||
            (m & HH_M_SIZE_MASK) > block.usable)
            continue;
        block.handle.word = heap->key | hh_w_gen(w) << 32 | index;
        block.bytes = hh_size(m, block.usable);
        block.exclusive = m >> HH_M_OWNER_SHIFT != 0;
        count_locks(map, &block);
        int result = visit(&block, context);
        if (result)
            return result;
    }
    return 0;
}

static void count_span(struct hh_map *map, uint32_t page, uint32_t class_,
                       struct hh_extent *out)
{
    const struct hh_class *info = &map->classes[class_];
    uint64_t at = hh_slots_at(map, page, class_),
             lanes = HH_LOAD(&map->head->lanes_used);
    out->block_bytes = info->bytes;
    out->slots = info->slots;
    for (uint32_t i = 0; i < info->slots; i++) {
        uint32_t seen = HH_LOAD(hh_slot_at(map, at + i * 4u));
        if (!seen || seen & HH_SLOT_CLAIM || seen - 1 >= hh_limit(map))
            continue;
        enum hh_state state = hh_w_state(HH_LOAD(&hh_entry_at(map, seen - 1)->w));
        out->cached += state == HH_CACHED || state == HH_TAKEN;
        out->moving += state == HH_MOVING;
        out->live += state == HH_LIVE || state == HH_MOVING || state == HH_RESIZING;
    }
    for (uint32_t n = 0; n < lanes && n < map->shape.lanes; n++) {
        struct hh_lane *lane = hh_lane_at(map, n);
        uint32_t cells = HH_LOAD(&lane->cells_used);
        for (uint32_t i = 0; i < cells && i < HH_CELLS; i++) {
            uint64_t handle = HH_LOAD(&lane->cell[i]);
            if (!handle || (uint32_t)handle >= hh_limit(map))
                continue;
            uint64_t place =
                hh_w_place(HH_LOAD(&hh_entry_at(map, (uint32_t)handle)->w)) * 16;
            out->pinned += place >= out->offset && place < out->offset + out->bytes;
        }
    }
}

int hh_walk_extents(struct hh_heap *heap,
                    int (*visit)(const struct hh_extent *extent, void *context),
                    void *context)
{
    hh_why_clear();
    if (!heap || !visit || !hh_revive(heap))
        return -EINVAL;
    struct hh_map *map = heap->map;
    uint64_t known = hh_pages_known(map);
    for (uint64_t page = 0, pages; page < map->at.pages; page += pages) {
        struct hh_extent extent = {.offset = map->at.area_at + page * HH_PAGE};
        uint64_t d = page < known ? HH_LOAD(&hh_page_at(map, page)->d) : 0;
        enum hh_page_kind kind = hh_d_kind(d);
        uint32_t class_ = hh_d_class(d);
        pages = page < known ? HH_PEEK(&hh_page_at(map, page)->pages) : 0;
        if (kind != HH_PAGE_SPAN && kind != HH_PAGE_RUN) {
            for (pages = 1; page + pages < known; pages++) {
                if (hh_d_kind(HH_LOAD(&hh_page_at(map, page + pages)->d)) != kind)
                    break;
            }
            if (kind == HH_PAGE_FREE && page + pages >= known)
                pages = map->at.pages - page;
        } else if (!pages || pages > map->at.pages - page) {
            return hh_fail(-EBADMSG, "page %llu heads an impossible run",
                           (unsigned long long)page);
        }
        extent.bytes = pages * HH_PAGE;
        extent.backed = kind != HH_PAGE_FREE;
        if (kind == HH_PAGE_RUN) {
            extent.kind = HH_EXTENT_LARGE;
            extent.block_bytes = (uint32_t)extent.bytes;
            extent.slots = extent.live = 1;
        } else if (kind == HH_PAGE_SPAN && class_ && class_ <= HH_CLASSES) {
            extent.kind = HH_EXTENT_SPAN;
            count_span(map, (uint32_t)page, class_, &extent);
        }
        int result = visit(&extent, context);
        if (result)
            return result;
    }
    return 0;
}

struct free_runs {
    uint64_t run, end;
    struct hh_stats *out;
};

static int add_extent(const struct hh_extent *extent, void *context)
{
    struct free_runs *runs = context;
    if (extent->kind != HH_EXTENT_FREE) {
        runs->out->used_bytes += extent->bytes;
        return 0;
    }
    runs->run = extent->offset == runs->end ? runs->run + extent->bytes : extent->bytes;
    runs->end = extent->offset + extent->bytes;
    runs->out->free_bytes += extent->bytes;
    if (runs->run > runs->out->largest_free_bytes)
        runs->out->largest_free_bytes = runs->run;
    return 0;
}

static void count_entries(struct hh_map *map, struct hh_stats *out)
{
    uint32_t limit = hh_limit(map);
    out->handles = map->shape.handles;
    for (uint32_t index = 0; index < limit; index++) {
        struct hh_entry *entry = hh_entry_at(map, index);
        uint64_t w = HH_LOAD(&entry->w), m = HH_LOAD(&entry->m);
        size_t capacity;
        enum hh_state state = hh_w_state(w);
        out->handles_used += w != 0;
        out->frees += hh_w_gen(w);
        if ((!in_use(w) && state != HH_CACHED && state != HH_TAKEN) ||
            hh_capacity(map, w, m, &capacity))
            continue;
        if (!in_use(w)) {
            out->cached_blocks++;
            out->cached_bytes += capacity;
            continue;
        }
        out->live_blocks++;
        out->live_bytes += capacity;
        out->requested_bytes += hh_size(m, capacity);
    }
}

static void count_lanes(struct hh_map *map, struct hh_stats *out)
{
    uint64_t lanes = HH_LOAD(&map->head->lanes_used);
    for (uint32_t i = 0; i < map->shape.clients; i++)
        out->clients += (HH_LOAD(&map->head->client[i]) & 255) == HH_CLIENT_USED;
    for (uint32_t i = 0; i < lanes && i < map->shape.lanes; i++) {
        struct hh_lane *lane = hh_lane_at(map, i);
        out->lanes += (uint32_t)(HH_LOAD(&lane->state) & 1);
        out->exclusive_waits += HH_PEEK(&lane->waits);
        out->exclusive_wait_ns += HH_PEEK(&lane->wait_ns);
        for (uint32_t n = 0; n < HH_LOG2; n++) {
            out->exclusive_wait_log2[n] += HH_PEEK(&lane->wait_log2[n]);
            out->exclusive_hold_log2[n] += HH_PEEK(&lane->hold_log2[n]);
        }
        if (HH_PEEK(&lane->wait_ns_max) > out->exclusive_wait_ns_max)
            out->exclusive_wait_ns_max = HH_PEEK(&lane->wait_ns_max);
    }
}

int hh_stats(struct hh_heap *heap, struct hh_stats *out)
{
    hh_why_clear();
    if (!heap || !out || !hh_revive(heap))
        return -EINVAL;
    struct hh_map *map = heap->map;
    struct hh_header *head = map->head;
    struct hh_stats stats = {.bytes = map->shape.bytes, .segment_bytes = map->at.total};
    struct free_runs runs = {.out = &stats};
    struct stat info;
    int error = hh_walk_extents(heap, add_extent, &runs);
    if (error)
        return error;
    if (map->foreign)
        stats.footprint_bytes = map->at.total;
    else if (map->fd >= 0 && !fstat(map->fd, &info))
        stats.footprint_bytes = (uint64_t)info.st_blocks * 512;
    count_entries(map, &stats);
    /* Every free takes a generation, and so does a block that is taken from its index.
     */
    uint64_t strips = HH_PEEK(&head->strips);
    stats.frees -= strips < stats.frees ? strips : stats.frees;
    stats.allocs = stats.frees + stats.live_blocks;
    count_lanes(map, &stats);
    uint64_t blocks =
        (HH_PEEK(&head->used_pages) + HH_PEEK(&head->idle_pages)) * HH_PAGE;
    stats.table_bytes =
        stats.footprint_bytes > blocks ? stats.footprint_bytes - blocks : 0;
    stats.moved_blocks = HH_PEEK(&head->moved_blocks);
    stats.moved_bytes = HH_PEEK(&head->moved_bytes);
    stats.moves_cancelled = HH_PEEK(&head->moves_cancelled);
    stats.moves_pinned = HH_PEEK(&head->moves_pinned);
    stats.batches = HH_PEEK(&head->batches);
    stats.mover_calls = HH_PEEK(&head->mover_calls);
    stats.mover_ns = HH_PEEK(&head->mover_ns);
    stats.steps = HH_PEEK(&head->steps);
    stats.step_ns = HH_PEEK(&head->step_ns);
    stats.step_ns_max = HH_PEEK(&head->step_ns_max);
    for (uint32_t n = 0; n < HH_LOG2; n++)
        stats.mover_hold_log2[n] = HH_PEEK(&head->mover_hold_log2[n]);
    stats.recoveries = HH_PEEK(&head->recoveries);
    stats.fragmentation =
        stats.live_bytes ? (double)stats.used_bytes / (double)stats.live_bytes : 1;
    *out = stats;
    return 0;
}

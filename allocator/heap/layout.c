// SPDX-License-Identifier: MIT
/*
 * layout.c - from the four numbers of a shape to every offset.
 *
 * Built on: layout.h. Concurrency: pure functions.
 * Why this way: opening a file repeats the computation instead of trusting offsets.
 */
#include "allocator/heap/internal.h"

#include <errno.h>

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + HH_PAGE - 1) / HH_PAGE * HH_PAGE;
}

/* Slot words that a map keeps for each page, by region: blocks of 16, 128, 1024 bytes
 * and more. Three, so that the words of neighbouring spans share pages. */
static const uint32_t region_words[3] = {256, 32, 4};

int hh_layout(const struct hh_shape *shape, struct hh_geometry *out)
{
    if (!shape->bytes || shape->bytes % HH_PAGE || !shape->handles || !shape->clients ||
        shape->clients > HH_CLIENTS || !shape->lanes || shape->lanes > HH_LANES_MAX)
        return -EINVAL;
    if (shape->bytes > UINT64_C(1) << 39 || shape->handles > UINT64_C(1) << 31)
        return -E2BIG;
    struct hh_geometry at = {0};
    at.pages = shape->bytes / HH_PAGE;
    at.bare_mags = (shape->handles + HH_MAG_ITEMS - 1) / HH_MAG_ITEMS;
    at.empty_mags = (uint64_t)shape->lanes * (2 * (HH_CLASSES + 1) + 4);
    at.bare_bits_at = page_up(sizeof(struct hh_header));
    uint64_t mags = at.bare_mags + at.empty_mags;
    at.empty_bits_at = at.bare_bits_at + page_up((mags + 63) / 64 * 8);
    at.page_bits_at = at.empty_bits_at + page_up((mags + 63) / 64 * 8);
    at.lanes_at = at.page_bits_at + page_up((at.pages + 63) / 64 * 8);
    at.pages_at = at.lanes_at + (uint64_t)shape->lanes * HH_LANE_BYTES;
    at.mags_at = at.pages_at + page_up(at.pages * sizeof(struct hh_pageword));
    at.table_at = at.mags_at + page_up(mags * sizeof(struct hh_mag));
    uint64_t end = at.table_at + page_up(shape->handles * sizeof(struct hh_entry));
    for (int i = 0; i < 3; i++) {
        at.map_at[i] = end;
        end += page_up(at.pages * region_words[i] * 4);
    }
    at.area_at = end;
    at.total = end + shape->bytes;
    *out = at;
    return 0;
}

/* Finds the largest room for blocks that a file of that length can have. */
int hh_layout_for_file(struct hh_shape *shape, uint64_t file_bytes,
                       struct hh_geometry *out)
{
    uint64_t low = 0, high = file_bytes / HH_PAGE;
    bool handles_follow = !shape->handles;
    struct hh_shape best = {0};
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        struct hh_shape try = *shape;
        struct hh_geometry at;
        try.bytes = middle * HH_PAGE;
        if (handles_follow)
            try.handles = try.bytes / 128 + 1024;
        int error = hh_layout(&try, &at);
        if (!error && at.total <= file_bytes) {
            low = middle;
            best = try;
            *out = at;
        } else {
            high = middle - 1;
        }
    }
    if (!best.bytes)
        return -ENOSPC;
    *shape = best;
    return 0;
}

/*
 * A span has about 32 blocks, within 16 to 128 KiB, and up to half as much again where
 * that wastes less of its last page. Below, a refill would take a new span too often;
 * above, a class with few blocks would hold too much memory.
 */
static void class_fill(struct hh_class *class_, uint32_t bytes)
{
    uint32_t least = bytes * 32 / HH_PAGE;
    least = least < 4 ? 4 : least > 32 ? 32 : least;
    uint32_t best = least, best_waste = UINT32_MAX;
    for (uint32_t pages = least; pages <= least + least / 2; pages++) {
        uint32_t waste = (pages * HH_PAGE) % bytes * 1024 / (pages * HH_PAGE);
        if (waste < best_waste) {
            best = pages;
            best_waste = waste;
        }
    }
    class_->bytes = bytes;
    class_->pages = best;
    class_->slots = best * HH_PAGE / bytes;
    class_->region = bytes < 128 ? 0 : bytes < 1024 ? 1 : 2;
}

void hh_layout_classes(struct hh_class classes[HH_CLASSES + 1])
{
    classes[0] = (struct hh_class){0};
    for (uint32_t i = 1; i <= HH_CLASSES; i++)
        class_fill(&classes[i], hh_class_bytes(i));
}

uint64_t hh_slots_at(struct hh_map *map, uint32_t page, uint32_t class_)
{
    uint32_t region = map->classes[class_].region;
    return map->at.map_at[region] + (uint64_t)page * region_words[region] * 4;
}

uint32_t hh_limit(struct hh_map *map)
{
    uint64_t limit = HH_LOAD(&map->head->bare_mags) * HH_MAG_ITEMS;
    return (uint32_t)(limit < map->shape.handles ? limit : map->shape.handles);
}

uint64_t hh_pages_known(struct hh_map *map)
{
    uint64_t known = HH_LOAD(&map->head->pages_backed) / sizeof(struct hh_pageword);
    return known < map->at.pages ? known : map->at.pages;
}

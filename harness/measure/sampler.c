// SPDX-License-Identifier: MIT
// Footprint and time line: see sampler.h.
#include "harness/measure/sampler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int sb_footprint_bytes(int fd, uint64_t *bytes)
{
    struct stat file;
    if (fstat(fd, &file) != 0) {
        return -errno;
    }
    *bytes = (uint64_t)file.st_blocks * 512; // the unit of st_blocks, whatever the disk
    return 0;
}

int sb_sampler_read(struct sb_sampler *sampler)
{
    int rc = sb_footprint_bytes(sampler->fd, &sampler->now_bytes);
    if (rc == 0 && sampler->now_bytes > sampler->peak_bytes) {
        sampler->peak_bytes = sampler->now_bytes;
    }
    return rc;
}

int sb_timeline_init(struct sb_timeline *timeline, size_t item_bytes, uint32_t capacity)
{
    if (item_bytes == 0 || capacity < 4 || capacity % 2 != 0) {
        return -EINVAL;
    }
    void *items = calloc(capacity, item_bytes);
    if (items == NULL) {
        return -ENOMEM;
    }
    *timeline = (struct sb_timeline){
        .items = items, .item_bytes = item_bytes, .capacity = capacity, .stride = 1};
    return 0;
}

void sb_timeline_free(struct sb_timeline *timeline)
{
    free(timeline->items);
    *timeline = (struct sb_timeline){0};
}

static void *item_at(struct sb_timeline *timeline, uint32_t index)
{
    return (char *)timeline->items + index * timeline->item_bytes;
}

// Keeps moments 0, 2, 4, ...: those whose number the doubled stride divides.
static void halve(struct sb_timeline *timeline)
{
    timeline->count = (timeline->count + 1) / 2;
    for (uint32_t i = 1; i < timeline->count; i++) {
        memcpy(item_at(timeline, i), item_at(timeline, 2 * i), timeline->item_bytes);
    }
    timeline->stride *= 2;
}

bool sb_timeline_add(struct sb_timeline *timeline, const void *item)
{
    uint64_t number = timeline->offered++;
    if (number % timeline->stride != 0) {
        return false;
    }
    // The capacity is even, so a moment that finds the line full is one of those that
    // the doubled stride keeps.
    sb_timeline_end(timeline, item);
    return true;
}

void sb_timeline_end(struct sb_timeline *timeline, const void *item)
{
    if (timeline->count == timeline->capacity) {
        halve(timeline);
    }
    memcpy(item_at(timeline, timeline->count++), item, timeline->item_bytes);
}

void sb_timeline_reset(struct sb_timeline *timeline)
{
    timeline->count = 0;
    timeline->stride = 1;
    timeline->offered = 0;
}

// SPDX-License-Identifier: MIT
// What a segment costs the system over time: its footprint, the peak, a time line.
//
// Built on: nothing. Units: in the names. Concurrency: one thread samples.
// Why this way: a segment is charged by the blocks its file holds, which is what all
//   processes together cost; adding up their resident sizes would count it once each.
//   The time line has a fixed size: when it is full, every second moment goes and only
//   every second one is taken from then on, so a trial of any length fits and its
//   moments stay evenly spaced.
#ifndef SB_MEASURE_SAMPLER_H
#define SB_MEASURE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of memory or disk that the file behind `fd` holds (holes are free). Cost: one
// fstat, about 0.3 us. Errors: errno.
int sb_footprint_bytes(int fd, uint64_t *bytes);

struct sb_sampler {
    int fd; // borrowed
    uint64_t now_bytes, peak_bytes;
};

// Reads the footprint and raises the peak. Errors: errno; both then stay.
int sb_sampler_read(struct sb_sampler *sampler);

// Items of any one type, added at even intervals.
struct sb_timeline {
    void *items; // `count` of item_bytes each
    size_t item_bytes;
    uint32_t count, capacity;
    uint64_t stride, offered; // one in `stride` of the offered is kept
};

// `capacity` is even and at least 4. Errors: -EINVAL, -ENOMEM.
int sb_timeline_init(struct sb_timeline *timeline, size_t item_bytes,
                     uint32_t capacity);
void sb_timeline_free(struct sb_timeline *timeline);
// Offers the next moment; whether it was kept. Cost: a copy; rarely one of the half.
bool sb_timeline_add(struct sb_timeline *timeline, const void *item);
// Adds the last moment, which is kept in any case.
void sb_timeline_end(struct sb_timeline *timeline, const void *item);
// Forgets all moments for the next trial.
void sb_timeline_reset(struct sb_timeline *timeline);

#endif

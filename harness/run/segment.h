// SPDX-License-Identifier: MIT
// The segment of one trial: where it lives, what it costs, and that it goes away.
//
// Built on: allocator/subject.h. Units: bytes. Concurrency: one thread.
// Why this way: the name carries the coordinator's pid and start time, so that a later
//   run can tell a leftover from a segment in use, whatever became of the coordinator.
#ifndef SB_RUN_SEGMENT_H
#define SB_RUN_SEGMENT_H

#include <stdint.h>

#include "allocator/subject.h"
#include "harness/base/error.h"

struct sb_segment {
    enum sb_medium medium; // 0: none (PRIVATE)
    uint64_t bytes;        // as granted
    int fd;                // memfd; else -1
    char name[64];
    char path[256]; // as workers open it
};

// Prepares a place for `bytes` on `medium`, of which `live_bytes` may really be used:
// a /dev/shm or disk with less room than `bytes` gets a smaller segment, one with less
// than twice `live_bytes` refuses. Only a memfd exists afterwards; others are made by
// the subject. Errors: -ENOSPC (error says what lacks), -EMFILE, -ENFILE, -ENOMEM.
int sb_segment_prepare(struct sb_segment *segment, enum sb_medium medium,
                       uint64_t bytes, uint64_t live_bytes, uint64_t number,
                       struct sb_error *error);
// Allocated blocks of the segment's file; 0 without one.
uint64_t sb_segment_footprint(const struct sb_segment *segment);
// Removes whatever is left of it; idempotent.
void sb_segment_remove(struct sb_segment *segment);

#endif

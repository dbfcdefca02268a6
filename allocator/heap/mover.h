// SPDX-License-Identifier: MIT
/*
 * mover.h - what the two halves of the mover share: batch.c moves blocks out of a span,
 * mover.c decides of which.
 *
 * Built on: internal.h. Concurrency: private to the door that has the role.
 */
#ifndef ALLOCATOR_HEAP_MOVER_H
#define ALLOCATOR_HEAP_MOVER_H

#include "allocator/heap/internal.h"

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
    uint32_t next;   /* victims from here on are still to be looked at */
    uint64_t
        pass_bytes; /* moved or returned since the last look at the whole heap began */
    uint32_t notes;
    uint32_t arrived,
        left; /* blocks that came to dest, left the victim; not counted yet */
    uint64_t place[HH_BATCH]; /* of the notes: claimed slot */
    uint64_t w[HH_BATCH];     /* of the notes: as MOVING */
    bool pinned[HH_BATCH], moved[HH_BATCH];
    uint64_t budget_bytes;
    int64_t start_ns, end_ns; /* 0: no clock is read, no end */
    struct hh_policy policy;
    struct hh_moved done;
};

void hh_leave_dest(struct hh_heap *heap);
bool hh_spent(struct hh_mover *mover);
void hh_copy(void *to, const void *from, size_t bytes);
void hh_scan_pins(struct hh_heap *heap);
bool hh_evacuate(struct hh_heap *heap, uint32_t page, uint32_t class_);

#endif

// SPDX-License-Identifier: MIT
// What a subject that never moves a block says of itself before it adds what it knows.
//
// Built on: allocator/subject.h. Concurrency: none.
#ifndef SB_SUBJECTS_USAGE_H
#define SB_SUBJECTS_USAGE_H

#include "allocator/subject.h"

// Moves, compactions and locks are none; all other figures are not kept.
static inline struct sb_usage sb_usage_unmoved(void)
{
    struct sb_usage usage = {
        .footprint_bytes = SB_UNKNOWN,
        .table_bytes = SB_UNKNOWN,
        .usable_bytes = SB_UNKNOWN,
        .live_blocks = SB_UNKNOWN,
        .returned_bytes = SB_UNKNOWN,
    };
    return usage;
}

#endif

// SPDX-License-Identifier: MIT
// What a workload draws before its first step, and the memory it keeps it in.
//
// Built on: base/distributions.h. Units: bytes. Concurrency: a table belongs to one
// worker.
// Why this way: a table has a power-of-two length, so that a step finds its entry with
// a mask; and each pass over it is rotated against the pass before, so that two tables
// walked side by side (places and sizes) do not repeat one short sequence of requests.
#ifndef SB_TABLES_H
#define SB_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/base/random.h"

enum {
    SB_TABLE_BITS = 16,
    SB_TABLE_LENGTH = 1 << SB_TABLE_BITS,
    SB_TABLE_ROTATE = 7919, // odd, so that all rotations occur
};

struct sb_table {
    uint32_t *entries; // SB_TABLE_LENGTH
};

// Sizes log-uniform in least .. most (each doubling as likely as any other); with most
// not above least all are `least`. Errors: -ENOMEM.
int sb_table_draw_sizes(struct sb_table *table, struct sb_random *random,
                        uint64_t least, uint64_t most);
// Uniform in 0 .. below-1. Errors: -ENOMEM.
int sb_table_draw_places(struct sb_table *table, struct sb_random *random,
                         uint64_t below);
// Gaps between arrivals, their mean in units of 1 / SB_SCHEDULE_UNIT: of a Poisson
// process, or all alike. Errors: -ENOMEM.
int sb_table_draw_gaps(struct sb_table *table, struct sb_random *random, bool poisson);
void sb_table_free(struct sb_table *table); // all zero: nothing

static inline uint32_t sb_table_at(const struct sb_table *table, uint64_t step)
{
    return table->entries[step & (SB_TABLE_LENGTH - 1)];
}

static inline uint32_t sb_table_rotated_at(const struct sb_table *table, uint64_t step)
{
    uint64_t pass = step >> SB_TABLE_BITS;
    return table->entries[(step + pass * SB_TABLE_ROTATE) & (SB_TABLE_LENGTH - 1)];
}

// The mean of the sizes that sb_table_draw_sizes draws.
double sb_sizes_mean(uint64_t least, uint64_t most);

// Memory straight from the system and present at once, so that a subject's heap,
// malloc's among them, holds nothing but what is measured. Zeroed. NULL: there is none.
void *sb_pages_map(uint64_t bytes);
void sb_pages_unmap(void *pages, uint64_t bytes); // NULL: nothing

#endif

// SPDX-License-Identifier: MIT
// Tables of sizes and places; the workloads' own memory.
//
// Built on: tables.h. Units: bytes. Concurrency: as tables.h.
#include "workloads/tables.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <sys/mman.h>

#include "harness/base/distributions.h"
#include "workloads/worker_view.h"

static int make(struct sb_table *table)
{
    table->entries = sb_pages_map(SB_TABLE_LENGTH * sizeof *table->entries);
    return table->entries == NULL ? -ENOMEM : 0;
}

int sb_table_draw_sizes(struct sb_table *table, struct sb_random *random,
                        uint64_t least, uint64_t most)
{
    int rc = make(table);
    for (uint32_t i = 0; rc == 0 && i < SB_TABLE_LENGTH; i++) {
        table->entries[i] =
            (uint32_t)(most > least ? sb_draw_log_uniform(random, least, most) : least);
    }
    return rc;
}

int sb_table_draw_places(struct sb_table *table, struct sb_random *random,
                         uint64_t below)
{
    int rc = make(table);
    for (uint32_t i = 0; rc == 0 && i < SB_TABLE_LENGTH; i++) {
        table->entries[i] = (uint32_t)sb_random_below(random, below);
    }
    return rc;
}

int sb_table_draw_gaps(struct sb_table *table, struct sb_random *random, bool poisson)
{
    int rc = make(table);
    for (uint32_t i = 0; rc == 0 && i < SB_TABLE_LENGTH; i++) {
        table->entries[i] =
            poisson ? (uint32_t)lround(sb_draw_exponential(random, SB_SCHEDULE_UNIT))
                    : SB_SCHEDULE_UNIT;
    }
    return rc;
}

void sb_table_free(struct sb_table *table)
{
    sb_pages_unmap(table->entries, SB_TABLE_LENGTH * sizeof *table->entries);
    table->entries = NULL;
}

double sb_sizes_mean(uint64_t least, uint64_t most)
{
    if (most <= least) {
        return (double)least;
    }
    return ((double)most - (double)least) / log((double)most / (double)least);
}

void *sb_pages_map(uint64_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void sb_pages_unmap(void *pages, uint64_t bytes)
{
    if (pages != NULL) {
        munmap(pages, bytes);
    }
}

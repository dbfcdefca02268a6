// SPDX-License-Identifier: MIT
// Which arm can do which cell, and in words why the others cannot.
//
// Built on: builder.h. Concurrency: one thread.
// Why this way: a pair that a subject cannot do is part of the record, with the reason;
//   it is decided here, before anything is measured, and nowhere else (what only a
//   trial can show, such as 'too slow', is added by the calibration).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/run/builder.h"

static const struct {
    uint32_t bit;
    const char *what;
} capabilities[] = {
    {SB_CAP_SHARE, "sharing between processes"},
    {SB_CAP_PIN, "locks that pin a block"},
    {SB_CAP_EXCLUSIVE, "locks that exclude others"},
    {SB_CAP_REALLOC, "realloc"},
    {SB_CAP_COMPACT, "compaction"},
    {SB_CAP_REPAIR, "repair"},
    {SB_CAP_CHECK, "a consistency check"},
    {SB_CAP_RESIZE, "resizing"},
};

int sb_pairing_obstacle(const struct sb_plan *plan, const struct sb_cell *cell,
                        const struct sb_arm *arm, char *reason, size_t bytes)
{
    uint32_t has = arm->subject->capabilities, needs = cell->workload->needs;
    bool processes = plan->settings.as == SB_AS_PROCESSES;
    if (arm->missing[0]) {
        snprintf(reason, bytes, "%s", arm->missing);
        return 1;
    }
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
        if (needs & ~has & capabilities[i].bit) {
            snprintf(reason, bytes, "needs %s, which %s does not have",
                     capabilities[i].what, arm->subject->name);
            return 1;
        }
    }
    // Sending a block back to its owner is how such subjects are used: it counts.
    if ((needs & SB_CAP_REMOTE_FREE) &&
        !(has & (SB_CAP_REMOTE_FREE | SB_CAP_OWNER_FREE))) {
        snprintf(reason, bytes, "needs free by another worker, which %s does not have",
                 arm->subject->name);
        return 1;
    }
    if ((needs & SB_NEED_CONTENTS) && (has & SB_CAP_FORGETS)) {
        snprintf(reason, bytes, "follows what it reads back, and %s keeps no contents",
                 arm->subject->name);
        return 1;
    }
    bool several = processes && cell->workers > 1;
    if (several && (has & SB_CAP_PRIVATE) && (needs & SB_NEED_EXCHANGE)) {
        snprintf(reason, bytes,
                 "blocks pass between processes, and a heap of %s is private to one",
                 arm->subject->name);
        return 1;
    }
    if (several && !(has & (SB_CAP_PRIVATE | SB_CAP_SHARE))) {
        snprintf(reason, bytes, "%s cannot be shared between processes",
                 arm->subject->name);
        return 1;
    }
    return 0;
}

int sb_builder_make_pairings(struct sb_builder *builder)
{
    struct sb_plan *plan = builder->plan;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        struct sb_cell *cell = &plan->cells[i];
        cell->pairings = calloc(plan->arms_count, sizeof *cell->pairings);
        if (!cell->pairings) {
            return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
        }
        for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
            struct sb_pairing *pairing = &cell->pairings[arm];
            pairing->work_scale = 1;
            pairing->na =
                sb_pairing_obstacle(plan, cell, &plan->arms[arm], pairing->reason,
                                    sizeof pairing->reason) != 0;
        }
    }
    return 0;
}

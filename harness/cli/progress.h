// SPDX-License-Identifier: MIT
// How far a run is: a bar with the time left on a terminal, a line a minute elsewhere.
//
// Built on: run/run.h, base/clock.h. Concurrency: one thread.
#ifndef SB_CLI_PROGRESS_H
#define SB_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "harness/run/run.h"

struct sb_progress_view {
    FILE *file; // NULL: say nothing
    bool terminal, shown;
    uint64_t next_ns; // not before
};

void sb_progress_start(struct sb_progress_view *view, FILE *file);
void sb_progress_show(struct sb_progress_view *view,
                      const struct sb_progress *progress);
// Takes the bar away.
void sb_progress_end(struct sb_progress_view *view);

#endif

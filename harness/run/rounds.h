// SPDX-License-Identifier: MIT
// The two halves of a run: calibration, then rounds; private to harness/run.
//
// Built on: trial.h, run.h. Concurrency: one thread.
#ifndef SB_RUN_ROUNDS_H
#define SB_RUN_ROUNDS_H

#include "harness/run/run.h"
#include "harness/run/trial.h"

struct sb_course {
    struct sb_plan *plan;
    struct sb_runner runner;
    const struct sb_run_hooks *hooks;
    struct sb_error *error;
    struct sb_progress progress;
};

// Hands an outcome to the caller and tells the progress. Returns what the hook does.
int sb_course_hand_out(struct sb_course *course, struct sb_outcome *outcome);
// Hands out a pairing that has no trial (n/a, or skipped after a failure).
int sb_course_hand_out_none(struct sb_course *course, const struct sb_cell *cell,
                            uint32_t arm, int32_t round, uint32_t position);

// Chooses the work of each cell by pilot trials; pairings that fail or are too slow are
// marked. Errors: as sb_run.
int sb_calibrate(struct sb_course *course);
// Cuts the plan's rounds to what the budget has left. Never below 3, or what was asked.
void sb_budget_apply(struct sb_plan *plan, uint64_t spent_ns);
// Carries out the rounds. Errors: as sb_run.
int sb_rounds(struct sb_course *course);

#endif

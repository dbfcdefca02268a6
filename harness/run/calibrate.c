// SPDX-License-Identifier: MIT
// How much work a trial of a cell does: chosen once, by pilot trials, for all arms
// alike.
//
// Built on: rounds.h, trial.h. Units: steps of one worker, ns.
// Concurrency: one thread.
// Why this way: work is fixed and not time, or slow arms would be measured over fewer
//   operations and other heap states than fast ones; the median arm decides, so that
//   neither the null subject nor the slowest one does.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/base/random.h"
#include "harness/run/builder.h"
#include "harness/run/rounds.h"
#include "harness/run/sizing.h"

enum {
    PILOT_STEPS_FIRST = 16,
    PILOT_GROWTH_MOST = 64, // a pilot, over the one before
    PILOTS_MOST = 6,
    SLOW_RATIO = 20,       // over the median arm: gets a share of the work
    SLOW_RATIO_SCALED = 4, // ... so that it takes about this much longer
};
static const double scale_least = 1.0 / 4096;
static const uint64_t too_slow_ns = 2000000000;

// What no single trial may take, in the measured step.
static uint64_t trial_limit_ns(const struct sb_plan *plan)
{
    uint64_t by_trial = 4 * plan->settings.trial_ns;
    return by_trial > too_slow_ns ? by_trial : too_slow_ns;
}

// Nor a pilot: one that takes long is tried again with less. Work that the job fixed is
// done whatever it takes.
static uint64_t pilot_limit_ns(const struct sb_plan *plan, const struct sb_cell *cell,
                               uint64_t steps)
{
    uint64_t limit_ns = trial_limit_ns(plan);
    if (cell->steps_fixed) {
        return 0;
    }
    return steps > 1 ? limit_ns / 4 : limit_ns;
}

static int pilot(struct sb_course *course, struct sb_cell *cell, uint32_t arm,
                 uint64_t steps, struct sb_outcome *outcome, bool *over)
{
    struct sb_trial_spec spec = {
        .cell = cell,
        .arm = arm,
        .seed = sb_random_derive(course->plan->settings.seed, 0),
        .steps = steps,
        .limit_ns = pilot_limit_ns(course->plan, cell, steps),
    };
    course->progress.cell = cell;
    course->progress.arm = &course->plan->arms[arm];
    int rc = sb_trial_run(&course->runner, &spec, outcome, over, course->error);
    if (rc != 0) {
        return rc;
    }
    outcome->round = -1;
    outcome->kept = false;
    snprintf(outcome->reason, sizeof outcome->reason, "pilot");
    struct sb_pairing *pairing = &cell->pairings[arm];
    if (outcome->status == SB_OK) {
        pairing->pilot_ns = (double)outcome->wall_ns;
        pairing->step_ns = pairing->pilot_ns / (double)steps;
        pairing->expected_ns = (double)outcome->total_ns;
    } else {
        pairing->na = outcome->status == SB_NA;
        pairing->failed = !pairing->na;
        snprintf(pairing->reason, sizeof pairing->reason, "%.199s", outcome->detail);
    }
    return sb_course_hand_out(course, outcome);
}

// The pilot just made took long: once more, and the quicker of the two counts, since an
// interruption of the machine can only lengthen one.
static int confirm(struct sb_course *course, struct sb_cell *cell, uint32_t arm,
                   uint64_t steps, struct sb_outcome *outcome)
{
    struct sb_pairing *pairing = &cell->pairings[arm];
    const struct sb_pairing first = *pairing;
    bool over;
    int rc = pilot(course, cell, arm, steps, outcome, &over);
    if (rc == 0 &&
        (pairing->na || (!pairing->failed && first.pilot_ns < pairing->pilot_ns))) {
        *pairing = first;
    }
    return rc;
}

// Pilots of one arm, growing until one takes a fair part of a trial. *steps is where to
// begin and becomes where the next arm should.
static int pilot_arm(struct sb_course *course, struct sb_cell *cell, uint32_t arm,
                     uint64_t *steps)
{
    const double wanted = (double)course->plan->settings.trial_ns;
    struct sb_pairing *pairing = &cell->pairings[arm];
    struct sb_outcome outcome;
    uint64_t now = *steps;
    for (uint32_t tries = 0; tries < PILOTS_MOST; tries++) {
        bool over;
        int rc = pilot(course, cell, arm, now, &outcome, &over);
        if (rc != 0 || pairing->failed) {
            return rc;
        }
        if (pairing->na) {
            // Too much at once for this arm; little enough may still do.
            if (!over || now <= 1) {
                return 0;
            }
            pairing->na = false;
            now = now > 256 ? now / 256 : 1;
            continue;
        }
        if (!cell->steps_fixed && pairing->pilot_ns > wanted / 8) {
            rc = confirm(course, cell, arm, now, &outcome);
            if (rc != 0 || pairing->failed) {
                return rc;
            }
        }
        if (cell->steps_fixed || pairing->pilot_ns > wanted / 8) {
            break;
        }
        double growth = wanted / 3 / (pairing->pilot_ns + 1);
        growth = growth > PILOT_GROWTH_MOST ? PILOT_GROWTH_MOST : growth;
        now = (uint64_t)ceil((double)now * growth);
    }
    // The next arm begins where this one took a twentieth of a trial.
    if (pairing->step_ns > 0) {
        double next = wanted / 20 / pairing->step_ns;
        *steps = next < 1 ? 1 : (uint64_t)next;
    }
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median_step_ns(const struct sb_plan *plan, const struct sb_cell *cell)
{
    double all[SB_ARMS_MAX];
    uint32_t count = 0;
    for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
        const struct sb_pairing *pairing = &cell->pairings[arm];
        if (!pairing->na && !pairing->failed && pairing->step_ns > 0) {
            all[count++] = pairing->step_ns;
        }
    }
    qsort(all, count, sizeof *all, by_value);
    return count ? all[count / 2] : 0; // of two in the middle, the slower
}

// The share of the work that an arm does, whether it is too slow even so, and what its
// trials will take.
static void judge(const struct sb_plan *plan, struct sb_cell *cell, uint32_t arm,
                  double median_ns)
{
    const double limit_ns = (double)trial_limit_ns(plan);
    struct sb_pairing *pairing = &cell->pairings[arm];
    double ratio = pairing->step_ns / median_ns;
    pairing->work_scale = 1;
    while (ratio > SLOW_RATIO && ratio * pairing->work_scale > SLOW_RATIO_SCALED &&
           pairing->work_scale > scale_least &&
           (double)cell->steps * pairing->work_scale >= 2) {
        pairing->work_scale /= 2;
    }
    double steps_ns = pairing->step_ns * (double)cell->steps * pairing->work_scale;
    pairing->expected_ns += steps_ns - pairing->pilot_ns;
    if (steps_ns > limit_ns && !cell->steps_fixed) {
        pairing->na = true;
        snprintf(pairing->reason, sizeof pairing->reason,
                 "too slow: %.3g us a step in the pilot, %.0f times the median, "
                 "%.1f s a trial",
                 pairing->step_ns * 1e-3, ratio, steps_ns * 1e-9);
    }
}

// A longer trial may cost more a step than the pilot did (a live set that leaves the
// cache): tries the chosen work once, on the arm that it was chosen by, and corrects.
static int refine(struct sb_course *course, struct sb_cell *cell, double *median_ns)
{
    for (uint32_t arm = 0; arm < course->plan->arms_count; arm++) {
        struct sb_pairing *pairing = &cell->pairings[arm];
        if (pairing->na || pairing->failed || pairing->step_ns < *median_ns ||
            pairing->step_ns > *median_ns) {
            continue;
        }
        struct sb_outcome outcome;
        bool over;
        int rc = pilot(course, cell, arm, cell->steps, &outcome, &over);
        double off = pairing->step_ns / *median_ns;
        if (rc == 0 && outcome.status == SB_OK && (off > 1.2 || off < 0.8)) {
            double fitting = (double)cell->steps / off;
            cell->steps = fitting < 1 ? 1 : (uint64_t)fitting;
            *median_ns = pairing->step_ns;
        }
        return rc;
    }
    return 0;
}

static int calibrate_cell(struct sb_course *course, struct sb_cell *cell)
{
    struct sb_plan *plan = course->plan;
    uint64_t steps = cell->steps_fixed ? cell->steps : PILOT_STEPS_FIRST;
    for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
        if (cell->pairings[arm].na || cell->pairings[arm].failed) {
            continue;
        }
        int rc = pilot_arm(course, cell, arm, &steps);
        if (rc != 0) {
            return rc;
        }
        if (cell->steps_fixed) {
            steps = cell->steps;
        }
        course->progress.done++;
    }
    double median_ns = median_step_ns(plan, cell);
    if (!cell->steps_fixed) {
        double fitting =
            median_ns > 0 ? (double)plan->settings.trial_ns / median_ns : 1;
        cell->steps = fitting < 1 ? 1 : (uint64_t)fitting;
        int rc = median_ns > 0 ? refine(course, cell, &median_ns) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    uint64_t live, shared;
    sb_cell_sizes(plan, cell, cell->steps, &live, &cell->segment_bytes, &shared);
    for (uint32_t arm = 0; arm < plan->arms_count && median_ns > 0; arm++) {
        if (!cell->pairings[arm].na && !cell->pairings[arm].failed) {
            judge(plan, cell, arm, median_ns);
        }
    }
    return 0;
}

int sb_calibrate(struct sb_course *course)
{
    course->progress.phase = "calibrate";
    for (uint32_t i = 0; i < course->plan->cells_count; i++) {
        for (uint32_t arm = 0; arm < course->plan->arms_count; arm++) {
            course->progress.total += !course->plan->cells[i].pairings[arm].na;
        }
    }
    for (uint32_t i = 0; i < course->plan->cells_count; i++) {
        int rc = calibrate_cell(course, &course->plan->cells[i]);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

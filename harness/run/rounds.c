// SPDX-License-Identifier: MIT
// The rounds of a run: every arm of every cell once a round, in balanced order.
//
// Built on: rounds.h, order.h. Units: ns. Concurrency: one thread.
// Why this way: rounds are the outer loop, so that a machine that changes its mood
//   changes it for all cells and arms alike, and so that a run which is stopped or runs
//   out of budget has whole rounds to show.
#include "harness/run/rounds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/random.h"
#include "harness/run/builder.h"
#include "harness/run/gather.h"
#include "harness/run/order.h"

enum { ROUNDS_LEAST = 3 };

// Expected time of one round of untimed trials.
static double round_expect_ns(const struct sb_plan *plan)
{
    double ns = 0;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
            ns += sb_pairing_expect_ns(plan, &plan->cells[i], arm);
        }
    }
    return ns;
}

int sb_course_hand_out(struct sb_course *course, struct sb_outcome *outcome)
{
    struct sb_progress *progress = &course->progress;
    progress->elapsed_ns = sb_now_ns() - course->runner.started_ns;
    if (course->hooks->progress) {
        course->hooks->progress(course->hooks->context, progress);
    }
    return course->hooks->outcome
               ? course->hooks->outcome(course->hooks->context, outcome)
               : 0;
}

int sb_course_hand_out_none(struct sb_course *course, const struct sb_cell *cell,
                            uint32_t arm, int32_t round, uint32_t position)
{
    const struct sb_pairing *pairing = &cell->pairings[arm];
    struct sb_trial_spec spec = {.cell = cell, .arm = arm, .steps = cell->steps};
    struct sb_outcome outcome;
    sb_outcome_init(&outcome, &course->runner, &spec);
    outcome.status = pairing->na ? SB_NA : SB_SKIPPED;
    outcome.round = round;
    outcome.position = position;
    snprintf(outcome.detail, sizeof outcome.detail, "%s%s",
             pairing->na ? "" : "failed before: ", pairing->reason);
    snprintf(outcome.reason, sizeof outcome.reason, "not measured");
    course->runner.trials++;
    return sb_course_hand_out(course, &outcome);
}

void sb_budget_apply(struct sb_plan *plan, uint64_t spent_ns)
{
    struct sb_settings *settings = &plan->settings;
    double one = round_expect_ns(plan);
    if (settings->budget_ns == 0 || one <= 0) {
        return;
    }
    double left =
        settings->budget_ns > spent_ns ? (double)(settings->budget_ns - spent_ns) : 0;
    // In units of an untimed round; round 0 is part of it.
    double fitting = left / one - 1;
    double asked =
        (double)(settings->rounds + SB_TIMED_COST * settings->latency_rounds);
    if (fitting >= asked) {
        return;
    }
    // Latency rounds keep their share, and one at least if any were asked for.
    double share = fitting > 0 ? fitting / asked : 0;
    uint64_t latency = (uint64_t)((double)settings->latency_rounds * share);
    if (latency == 0 && settings->latency_rounds > 0) {
        latency = 1;
    }
    double rest = fitting - (double)(SB_TIMED_COST * latency);
    uint64_t rounds = rest > ROUNDS_LEAST ? (uint64_t)rest : ROUNDS_LEAST;
    settings->rounds = rounds < settings->rounds ? rounds : settings->rounds;
    settings->latency_rounds = latency;
}

static uint64_t scaled_steps(const struct sb_cell *cell, uint32_t arm)
{
    double steps = (double)cell->steps * cell->pairings[arm].work_scale;
    return steps < 1 ? 1 : (uint64_t)steps;
}

static int run_one(struct sb_course *course, struct sb_cell *cell, uint32_t arm,
                   uint64_t round, uint32_t position)
{
    const struct sb_settings *settings = &course->plan->settings;
    struct sb_pairing *pairing = &cell->pairings[arm];
    struct sb_trial_spec spec = {
        .cell = cell,
        .arm = arm,
        .seed = sb_random_derive(settings->seed, round),
        .steps = scaled_steps(cell, arm),
        .timed = round > settings->rounds,
    };
    struct sb_outcome outcome;
    course->progress.cell = cell;
    course->progress.arm = &course->plan->arms[arm];
    int rc = sb_trial_run(&course->runner, &spec, &outcome, NULL, course->error);
    if (rc != 0) {
        return rc;
    }
    if (outcome.status == SB_OK && !spec.timed) {
        pairing->expected_ns = (double)outcome.total_ns;
    }
    outcome.round = (int32_t)round;
    outcome.position = position;
    outcome.kept = round > 0 && outcome.status == SB_OK;
    if (round == 0) {
        snprintf(outcome.reason, sizeof outcome.reason, "round 0 warms up");
    } else if (outcome.status != SB_OK) {
        snprintf(outcome.reason, sizeof outcome.reason, "%s",
                 sb_status_names[outcome.status]);
    }
    if (outcome.status != SB_OK) {
        pairing->na = outcome.status == SB_NA;
        pairing->failed = !pairing->na;
        snprintf(pairing->reason, sizeof pairing->reason, "%.199s", outcome.detail);
    }
    course->progress.done++;
    return sb_course_hand_out(course, &outcome);
}

static int run_cell(struct sb_course *course, uint32_t index, uint64_t round)
{
    struct sb_plan *plan = course->plan;
    struct sb_cell *cell = &plan->cells[index];
    uint32_t order[SB_ARMS_MAX], active[SB_ARMS_MAX], count = 0;
    for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
        const struct sb_pairing *pairing = &cell->pairings[arm];
        if (pairing->na || pairing->failed) {
            continue;
        }
        active[count++] = arm;
    }
    if (count == 0) {
        return 0;
    }
    sb_order_make(sb_random_derive(plan->settings.seed ^ 0x6f72646572, index), round,
                  order, count);
    int rc = 0;
    for (uint32_t position = 0; position < count && rc == 0; position++) {
        if (sb_runner_stopped(&course->runner)) {
            return sb_fail(course->error, -EINTR, "stopped");
        }
        rc = run_one(course, cell, active[order[position]], round, position);
    }
    return rc;
}

// Pairings without a trial are recorded once, before the rounds.
static int hand_out_na(struct sb_course *course)
{
    struct sb_plan *plan = course->plan;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
            const struct sb_pairing *pairing = &plan->cells[i].pairings[arm];
            if (!pairing->na && !pairing->failed) {
                continue;
            }
            int rc = sb_course_hand_out_none(course, &plan->cells[i], arm, 0, 0);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

// Would the throughput round `round` take the run over its budget? Those that must be
// done in any case are never refused.
static bool over_budget(const struct sb_course *course, uint64_t round)
{
    const struct sb_settings *settings = &course->plan->settings;
    if (settings->budget_ns == 0 || round <= ROUNDS_LEAST) {
        return false;
    }
    double elapsed = (double)(sb_now_ns() - course->runner.started_ns);
    double rest = round_expect_ns(course->plan) *
                  (double)(1 + SB_TIMED_COST * settings->latency_rounds);
    return elapsed + rest > (double)settings->budget_ns;
}

int sb_rounds(struct sb_course *course)
{
    struct sb_plan *plan = course->plan;
    struct sb_settings *settings = &plan->settings;
    uint64_t trials, expected_ns;
    sb_plan_expect(plan, &trials, &expected_ns);
    uint64_t began = sb_now_ns();
    course->progress = (struct sb_progress){.phase = "measure", .total = trials};
    int rc = hand_out_na(course);
    for (uint64_t round = 0;
         rc == 0 && round <= settings->rounds + settings->latency_rounds; round++) {
        if (round <= settings->rounds && over_budget(course, round)) {
            // The expectation was too good: what was measured so far are the rounds.
            settings->rounds = round - 1;
            sb_plan_expect(plan, &course->progress.total, &expected_ns);
        }
        for (uint32_t i = 0; i < plan->cells_count && rc == 0; i++) {
            uint64_t spent = sb_now_ns() - began;
            course->progress.left_ns =
                course->progress.done
                    ? (uint64_t)((double)spent / (double)course->progress.done *
                                 (double)(course->progress.total -
                                          course->progress.done))
                    : expected_ns;
            rc = run_cell(course, i, round);
        }
    }
    return rc;
}

int sb_run(struct sb_plan *plan, const struct sb_run_hooks *hooks,
           const volatile sig_atomic_t *stop, struct sb_error *error)
{
    static const struct sb_run_hooks none;
    struct sb_error unread = {{0}};
    struct sb_course course = {
        .plan = plan,
        .hooks = hooks ? hooks : &none,
        .error = error ? error : &unread,
    };
    int rc = sb_runner_start(&course.runner, plan, stop, course.error);
    if (rc != 0) {
        return rc;
    }
    rc = sb_calibrate(&course);
    if (rc == 0) {
        sb_budget_apply(plan, sb_now_ns() - course.runner.started_ns);
        rc = course.hooks->calibrated
                 ? course.hooks->calibrated(course.hooks->context, plan)
                 : 0;
    }
    if (rc == 0) {
        rc = sb_rounds(&course);
    }
    sb_runner_end(&course.runner);
    return rc;
}

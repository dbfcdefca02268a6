// SPDX-License-Identifier: MIT
// A whole run: calibration, rounds, what is handed out in which order, and budgets.
//
// Built on: run.h, rounds.h, broken.h.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "harness/run/broken.h"
#include "harness/run/rounds.h"

enum { OUTCOMES_MAX = 400 };

struct note {
    int32_t round;
    uint32_t position, cell, arm;
    bool timed, kept;
    enum sb_status status;
    uint64_t seed, steps, trial_id, allocs;
    char detail[200];
};

struct log {
    struct note notes[OUTCOMES_MAX];
    uint32_t count, calibrated_at, stop_after, fail_after;
    volatile sig_atomic_t stop;
};

static int on_calibrated(void *context, const struct sb_plan *plan)
{
    struct log *log = context;
    log->calibrated_at = log->count;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        assert_true(plan->cells[i].steps > 0);
    }
    return 0;
}

static int on_outcome(void *context, const struct sb_outcome *outcome)
{
    struct log *log = context;
    assert_true(log->count < OUTCOMES_MAX);
    struct note *note = &log->notes[log->count++];
    *note = (struct note){
        .round = outcome->round,
        .position = outcome->position,
        .cell = (uint32_t)(outcome->cell - outcome->plan->cells),
        .arm = (uint32_t)(outcome->arm - outcome->plan->arms),
        .timed = outcome->timed,
        .kept = outcome->kept,
        .status = outcome->status,
        .seed = outcome->seed,
        .steps = outcome->steps,
        .trial_id = outcome->trial_id,
        .allocs = outcome->hist[SB_OP_ALLOC] ? outcome->hist[SB_OP_ALLOC]->count : 0,
    };
    snprintf(note->detail, sizeof note->detail, "%.199s", outcome->detail);
    if (log->count == log->stop_after) {
        log->stop = 1;
    }
    return log->count == log->fail_after ? -EIO : 0;
}

static struct sb_plan *plan_of(const char *subjects, const char *workloads,
                               const char *const *settings, uint32_t count)
{
    struct sb_request request = {.subjects = subjects,
                                 .workloads = workloads,
                                 .settings = settings,
                                 .settings_count = count};
    struct sb_plan *plan;
    struct sb_error error;
    int rc = sb_plan_make(&request, &plan, &error);
    if (rc != 0) {
        fail_msg("%s", error.text);
    }
    return plan;
}

static int run(struct sb_plan *plan, struct log *log, struct sb_error *error)
{
    struct sb_run_hooks hooks = {
        .context = log, .calibrated = on_calibrated, .outcome = on_outcome};
    int rc = sb_run(plan, &hooks, &log->stop, error);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    return rc;
}

static const char *const brief[] = {"rounds=4", "latency_rounds=2", "trial=2ms"};

static void test_rounds(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan = plan_of("null,malloc", "pair,article_demo", brief, 3);
    struct sb_error error;
    assert_int_equal(run(plan, &log, &error), 0);
    uint32_t na = 0, first_places[8] = {0};
    uint64_t seeds[7] = {0};
    assert_true(log.calibrated_at >= 2);
    for (uint32_t i = 0; i < log.count; i++) {
        const struct note *note = &log.notes[i];
        assert_int_equal(note->trial_id, i);
        if (i < log.calibrated_at) {
            assert_int_equal(note->round, -1);
            assert_false(note->kept);
            continue;
        }
        if (note->status == SB_NA) {
            assert_true(note->detail[0] != '\0');
            assert_int_equal(plan->cells[note->cell].workers, 3);
            na++;
            continue;
        }
        assert_int_equal(note->status, SB_OK);
        assert_int_equal(note->kept, note->round > 0);
        assert_int_equal(note->timed, note->round > 4);
        // A busy machine may make either arm look slow: the share is then recorded.
        double scale = plan->cells[0].pairings[note->arm].work_scale;
        assert_int_equal(note->steps, (uint64_t)((double)plan->cells[0].steps * scale));
        assert_int_equal(note->allocs, note->timed ? 2 * note->steps : 0);
        if (note->position == 0) {
            assert_int_equal(seeds[note->round], 0);
            seeds[note->round] = note->seed;
            first_places[note->arm] += note->round > 0;
        } else {
            assert_int_equal(seeds[note->round], note->seed); // same for all arms
        }
    }
    assert_int_equal(na, 2); // article_demo: no sharing, no contents
    assert_int_equal(log.count - log.calibrated_at, na + 2 * 7);
    assert_true(first_places[0] >= 2 && first_places[1] >= 2);
    for (uint32_t i = 0; i < 7; i++) {
        for (uint32_t j = 0; j < i; j++) {
            assert_true(seeds[i] != seeds[j]);
        }
    }
    sb_plan_free(plan);
}

static void test_stop_between_trials(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan = plan_of("null,malloc", "pair", brief, 3);
    struct sb_error error;
    log.stop_after = 12;
    assert_int_equal(run(plan, &log, &error), -EINTR);
    assert_int_equal(log.count, 12);
    sb_plan_free(plan);
}

static void test_hook_ends_the_run(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan = plan_of("null", "pair", brief, 3);
    struct sb_error error;
    log.fail_after = 3;
    assert_int_equal(run(plan, &log, &error), -EIO);
    assert_int_equal(log.count, 3);
    sb_plan_free(plan);
}

static void test_failed_pilot_is_skipped_later(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan = plan_of("null,malloc", "pair", brief, 3);
    struct sb_arm *arm = &plan->arms[1];
    arm->subject = &broken_tight;
    snprintf(arm->source, sizeof arm->source, "tight");
    struct sb_error error;
    assert_int_equal(run(plan, &log, &error), 0);
    uint32_t failed = 0, skipped = 0;
    for (uint32_t i = 0; i < log.count; i++) {
        failed += log.notes[i].status == SB_FAILED;
        skipped += log.notes[i].status == SB_SKIPPED;
    }
    assert_int_equal(failed, 1);
    assert_int_equal(skipped, 1);
    sb_plan_free(plan);
}

// An arm far slower than the others does a recorded share of the work; one that even so
// takes too long is n/a, with its pilot's figure.
static void test_slow_arms(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan =
        plan_of("null,malloc,jemalloc,mimalloc,boost_shm", "pair", brief, 3);
    const struct sb_subject *slow[] = {&broken_slow, &broken_stuck,
                                       plan->arms[1].subject};
    for (uint32_t i = 0; i < 3; i++) {
        struct sb_arm *arm = &plan->arms[2 + i];
        arm->subject = slow[i];
        arm->medium = 0;
        plan->cells[0].pairings[2 + i].na = false; // whatever was there in its place
        snprintf(arm->source, sizeof arm->source, "%s", slow[i]->name);
    }
    struct sb_error error;
    assert_int_equal(run(plan, &log, &error), 0);
    const struct sb_pairing *pairings = plan->cells[0].pairings;
    assert_true(!pairings[2].na && pairings[2].work_scale < 1);
    assert_true(pairings[3].na);
    assert_non_null(strstr(pairings[3].reason, "too slow"));
    uint64_t scaled = (uint64_t)((double)plan->cells[0].steps * pairings[2].work_scale);
    for (uint32_t i = log.calibrated_at; i < log.count; i++) {
        const struct note *note = &log.notes[i];
        if (note->arm == 2) {
            assert_int_equal(note->status, SB_OK);
            assert_int_equal(note->steps, scaled);
        } else if (note->arm == 3) {
            assert_int_equal(note->status, SB_NA);
        }
    }
    sb_plan_free(plan);
}

static void test_steps_of_the_job_are_kept(void **state)
{
    (void)state;
    static struct log log;
    memset(&log, 0, sizeof log);
    struct sb_plan *plan = plan_of("null,malloc", "pair", brief, 3);
    plan->cells[0].steps = 777;
    plan->cells[0].steps_fixed = true;
    struct sb_error error;
    assert_int_equal(run(plan, &log, &error), 0);
    for (uint32_t i = 0; i < log.count; i++) {
        assert_int_equal(log.notes[i].steps, 777);
    }
    sb_plan_free(plan);
}

static void test_budget(void **state)
{
    (void)state;
    static const struct {
        uint64_t rounds, latency_rounds, budget_ms, spent_ms;
        uint64_t rounds_left, latency_left;
    } rows[] = {
        // One round of the plan below takes 200 ms, a latency round twice that.
        {9, 3, 0, 5000, 9, 3},     // no budget
        {9, 3, 100000, 0, 9, 3},   // plenty
        {9, 3, 4000, 800, 9, 3},   // 1 + 9 + 2 * 3 = 16 rounds: just fits
        {9, 3, 4000, 2000, 7, 1},  // 10 rounds: 1 + 7 + 2 * 1
        {9, 3, 4000, 3900, 3, 1},  // nothing fits: the least there is
        {9, 0, 2000, 0, 9, 0},     // exactly
        {9, 0, 1000, 0, 4, 0},     //
        {2, 1, 100, 0, 2, 1},      // never more than asked for
        {100, 3, 1000, 5000, 3, 1} // spent already
    };
    struct sb_plan *plan = plan_of("null,malloc", "pair", NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sb_settings *settings = &plan->settings;
        settings->rounds = rows[i].rounds;
        settings->latency_rounds = rows[i].latency_rounds;
        settings->budget_ns = rows[i].budget_ms * 1000000;
        for (uint32_t arm = 0; arm < 2; arm++) {
            plan->cells[0].pairings[arm].expected_ns = 100e6;
        }
        sb_budget_apply(plan, rows[i].spent_ms * 1000000);
        if (settings->rounds != rows[i].rounds_left ||
            settings->latency_rounds != rows[i].latency_left) {
            fail_msg("row %zu: %llu and %llu rounds", i,
                     (unsigned long long)settings->rounds,
                     (unsigned long long)settings->latency_rounds);
        }
    }
    sb_plan_free(plan);
}

int main(void)
{
    setenv("SB_WORKER", SB_TEST_WORKER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_stop_between_trials),
        cmocka_unit_test(test_hook_ends_the_run),
        cmocka_unit_test(test_failed_pilot_is_skipped_later),
        cmocka_unit_test(test_slow_arms),
        cmocka_unit_test(test_steps_of_the_job_are_kept),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

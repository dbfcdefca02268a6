// SPDX-License-Identifier: MIT
// Every workload on real subjects, as threads.
//
// Built on: setup.h, spy.h, all subjects that are installed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "workloads/setup.h"
#include "workloads/spy.h"
#include "workloads/workloads.h"

// `ways`: 1 plain, 2 and verified, 3 and timed.
static void every_workload_on(const struct sb_subject *on, uint32_t ways)
{
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        const struct sb_workload *each = sb_workloads[i];
        if (!setup_suits(each, on)) {
            continue;
        }
        // Uneven numbers of workers, slices and steps; with and without stamps, checks.
        for (uint32_t workers = each->workers_least; workers <= 5; workers += 2) {
            for (uint32_t way = 0; way < ways; way++) {
                struct bed_setup setup = {.workload = each,
                                          .subject = on,
                                          .workers = workers,
                                          .steps = 1501,
                                          .verify = way > 0,
                                          .timed = way > 1};
                struct bed_result result;
                setup_shrink(&setup);
                bed_run(&setup, &result);
                setup_assert_ran(&setup, &result);
                for (uint32_t op = 0; op < SB_OPS; op++) {
                    assert_int_equal(result.recorded[op],
                                     setup.timed ? result.counters.ops[op] : 0);
                }
                bool forgets = (on->capabilities & SB_CAP_FORGETS) != 0;
                assert_int_equal(forgets && result.counters.verified_bytes != 0, 0);
            }
        }
    }
}

static void runs_on_null(void **state)
{
    (void)state;
    assert_non_null(setup_subject("null"));
    every_workload_on(setup_subject("null"), 3);
}

static void runs_on_malloc(void **state)
{
    (void)state;
    assert_non_null(setup_subject("malloc"));
    every_workload_on(setup_subject("malloc"), 3);
}

// hh and whatever else is installed, as far as it can be run by threads.
static void runs_on_the_others(void **state)
{
    (void)state;
    uint32_t ran = 0;
    for (uint32_t i = 0; sb_subjects[i] != NULL; i++) {
        const struct sb_subject *on = sb_subjects[i];
        if (setup_subject(on->name) != NULL && strcmp(on->name, "null") != 0 &&
            strcmp(on->name, "malloc") != 0) {
            every_workload_on(on, strcmp(on->name, "hh") == 0 ? 3 : 2);
            ran++;
        }
    }
    if (ran == 0) {
        skip();
    }
}

// The operations of a step are what the table says: no more, no fewer.
static void counts_its_operations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t workers;
        uint64_t allocs, frees, accesses, locks; // a step of all workers
    } rows[] = {{"pair", 1, 1, 1, 1, 0},    {"pair", 3, 3, 3, 3, 0},
                {"mix", 2, 2, 2, 2, 0},     {"prodcon", 2, 1, 1, 2, 0},
                {"prodcon", 5, 2, 2, 4, 0}, {"lock_sweep", 2, 0, 0, 0, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (uint32_t verify = 0; verify < 2; verify++) {
            struct bed_setup setup = {.workload = setup_workload(rows[i].name),
                                      .subject = setup_subject("malloc"),
                                      .workers = rows[i].workers,
                                      .steps = 1000,
                                      .verify = verify != 0};
            struct bed_result result;
            setup_shrink(&setup);
            bed_run(&setup, &result);
            setup_assert_ran(&setup, &result);
            const uint64_t *ops = result.counters.ops;
            assert_int_equal(ops[SB_OP_ALLOC], rows[i].allocs * 1000);
            assert_int_equal(ops[SB_OP_FREE], rows[i].frees * 1000);
            assert_int_equal(ops[SB_OP_ACCESS], rows[i].accesses * 1000);
            assert_int_equal(ops[SB_OP_LOCK], rows[i].locks * 1000);
            assert_int_equal(ops[SB_OP_UNLOCK], rows[i].locks * 1000);
        }
    }
}

// A full heap is counted and gone on from, and nothing is lost or left.
static void full_heap_is_survived(void **state)
{
    (void)state;
    static const char *const names[] = {"pair", "mix", "prodcon", "article_demo",
                                        "frag_aging"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        spy_on(setup_subject("malloc"));
        struct bed_setup setup = {.workload = setup_workload(names[i]),
                                  .subject = &spy_subject,
                                  .workers = 3,
                                  .steps = 2000,
                                  .verify = true};
        struct bed_result result;
        setup_shrink(&setup);
        spy_refuse_allocs(1600, 400); // mix fills 1500 slots before its first step
        bed_run(&setup, &result);
        assert_int_equal(result.rc, 0);
        assert_int_equal(result.counters.failures, 400);
    }
}

// Of 4 MiB about half is freed, and nothing above 300,000 bytes can be had.
static void largest_block_is_found(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers += 2) {
        spy_on(setup_subject("malloc"));
        spy_limit(4 << 20, 300000);
        struct bed_setup setup = {.workload = setup_workload("frag_then_big"),
                                  .subject = &spy_subject,
                                  .workers = workers,
                                  .steps = 2,
                                  .verify = true,
                                  .timed = true};
        struct bed_result result;
        setup_shrink(&setup);
        setup.sets[3] = "most=512";
        bed_run(&setup, &result);
        setup_assert_ran(&setup, &result);
        double expected = 300000.0 / (2 << 20);
        assert_true(result.figures[0] <= expected * 1.001);
        assert_true(result.figures[0] >= expected - 1.1 / 128);
        assert_true(result.figures[1] > 0.999 && result.figures[1] <= 1);
        // Where nothing fragments, all that was given back can be had as one.
        spy_on(setup_subject("malloc"));
        spy_limit(4 << 20, 4 << 20);
        bed_run(&setup, &result);
        setup_assert_ran(&setup, &result);
        assert_true(result.figures[0] > 0.999 && result.figures[0] <= 1);
    }
}

// 5000 requests are due within the half second in which one alloc stalls: it is one
// slow alloc, but nearly all of them responded to late.
static void stall_is_charged_to_all_it_delays(void **state)
{
    (void)state;
    static const char *const arrivals[] = {"arrivals=fixed", "arrivals=poisson"};
    for (uint32_t i = 0; i < 2; i++) {
        spy_on(setup_subject("malloc"));
        spy_stall_alloc(600, 500000000); // begin allocates about 250
        struct bed_setup setup = {.workload = setup_workload("compact_online"),
                                  .subject = &spy_subject,
                                  .workers = 2,
                                  .steps = 6000,
                                  .timed = true};
        struct bed_result result;
        setup_shrink(&setup);
        setup.sets[2] = "compaction=off";
        setup.sets[3] = "rate=10000";
        setup.sets[4] = arrivals[i];
        bed_run(&setup, &result);
        setup_assert_ran(&setup, &result);
        assert_int_equal(result.counters.ops[SB_OP_RESPONSE], setup.steps);
        assert_true(result.slow[SB_OP_ALLOC] >= 1);
        assert_true(result.slow[SB_OP_RESPONSE] > 3500);
        assert_true(result.figures[0] > 9990 && result.figures[0] < 10010);
    }
}

// A step draws nothing and allocates nothing but the subject's blocks: every call of
// malloc (by the subject) is one alloc of the workload. See the wrappers in spy_test.c.
static void steps_are_pure(void **state)
{
    (void)state;
    const struct sb_subject *on = setup_subject("malloc");
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        if (!setup_suits(sb_workloads[i], on)) {
            continue;
        }
        struct bed_setup setup = {
            .workload = sb_workloads[i], .subject = on, .workers = 3, .steps = 3000};
        struct bed_result result;
        setup_shrink(&setup);
        spy_private_calls = 0;
        bed_run(&setup, &result);
        setup_assert_ran(&setup, &result);
        assert_int_equal(spy_private_calls, result.counters.ops[SB_OP_ALLOC]);
    }
}

static void descriptors_are_whole(void **state)
{
    (void)state;
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        const struct sb_workload *each = sb_workloads[i];
        assert_non_null(each->summary);
        assert_non_null(each->source);
        assert_non_null(each->stresses);
        assert_non_null(each->not_shown);
        assert_non_null(each->begin);
        assert_non_null(each->step);
        assert_non_null(each->verify);
        assert_non_null(each->end);
        assert_non_null(each->live_bytes);
        assert_true(each->workers_least >= 1);
        for (const struct sb_option *row = each->options; row->name != NULL; row++) {
            struct sb_error error;
            uint64_t values[32] = {0};
            assert_true(each->options_bytes <= sizeof values);
            int rc =
                sb_option_set(each->options, values, row->name, row->initial, &error);
            assert_int_equal(rc, 0);
        }
    }
}

static void names_are_found(void **state)
{
    (void)state;
    const struct sb_workload *found = NULL;
    struct sb_error error = {0};
    assert_int_equal(sb_workload_find("mix", &found, &error), 0);
    assert_string_equal(found->name, "mix");
    found = NULL;
    assert_int_equal(sb_workload_find("prodcom", &found, &error), -ENOENT);
    assert_null(found);
    assert_non_null(strstr(error.text, "prodcon"));
}

int main(void)
{
    sb_clock_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_whole),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(runs_on_null),
        cmocka_unit_test(runs_on_malloc),
        cmocka_unit_test(runs_on_the_others),
        cmocka_unit_test(counts_its_operations),
        cmocka_unit_test(full_heap_is_survived),
        cmocka_unit_test(largest_block_is_found),
        cmocka_unit_test(stall_is_charged_to_all_it_delays),
        cmocka_unit_test(steps_are_pure),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    spy_on(setup_subject("malloc")); // frees what the spoiled trials left
    return failed;
}

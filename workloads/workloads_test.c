// SPDX-License-Identifier: MIT
// Every workload on real subjects, as threads; and that planted damage is found.
//
// Built on: bed.h, spy.h, the subjects null, malloc and (where built) hh.
// Why this way: damage is planted beneath the workload, in what a real subject returns,
// so that each test shows the check that users rely on at work.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "workloads/bed.h"
#include "workloads/spy.h"
#include "workloads/workloads.h"

static const struct sb_subject *subject(const char *name)
{
    const struct sb_subject *found = NULL;
    char text[256];
    if (sb_subject_find(name, &found, NULL) != 0 ||
        found->probe(text, sizeof text) != 0) {
        return NULL;
    }
    return found;
}

static const struct sb_workload *workload(const char *name)
{
    const struct sb_workload *found = NULL;
    assert_int_equal(sb_workload_find(name, &found, NULL), 0);
    return found;
}

static bool suits(const struct sb_workload *each, const struct sb_subject *on)
{
    uint32_t needs = each->needs & ~(uint32_t)(SB_NEED_EXCHANGE | SB_NEED_CONTENTS);
    bool forgets = (on->capabilities & SB_CAP_FORGETS) != 0;
    return (needs & ~on->capabilities) == 0 &&
           !((each->needs & SB_NEED_CONTENTS) != 0 && forgets);
}

// Small enough for a test, with every option that shapes the work in use.
static void shrink(struct bed_setup *setup)
{
    const char *name = setup->workload->name;
    if (strcmp(name, "mix") == 0) {
        setup->sets[0] = "live=500";
    } else if (strcmp(name, "prodcon") == 0) {
        setup->sets[0] = "batch=64";
        setup->sets[1] = "most=2048";
    } else if (strcmp(name, "article_demo") == 0) {
        setup->sets[0] = "list=50";
    } else if (strcmp(name, "lock_sweep") == 0) {
        setup->sets[0] = "hot=3";
        setup->sets[1] = "hold=200ns";
        setup->sets[2] = "think=100ns";
    } else if (strcmp(name, "compact_cost") == 0) {
        setup->sets[0] = "fill=256K";
        setup->sets[1] = "least=64";
        setup->sets[2] = "pinned=10%";
        setup->steps = setup->steps < 8 ? setup->steps : 8;
    } else if (strcmp(name, "frag_aging") == 0) {
        setup->sets[0] = "live=64K";
        setup->sets[1] = "spread=50%";
        setup->sets[2] = "phases=3";
        setup->sets[3] = "final_compact=yes";
        setup->steps = setup->steps < 8 ? setup->steps : 8;
    } else if (strcmp(name, "frag_then_big") == 0) {
        setup->sets[0] = "heap=4M";
        setup->sets[1] = "least=512";
        setup->sets[2] = "compact=yes";
        setup->steps = setup->steps < 2 ? setup->steps : 2;
    }
}

static void assert_ran(const struct bed_setup *setup, const struct bed_result *result)
{
    if (result->rc != 0) {
        print_error("%s on %s, %u workers: %s: %s (%d)\n", setup->workload->name,
                    setup->subject->name, setup->workers, result->phase,
                    result->error.text, result->rc);
    }
    assert_int_equal(result->rc, 0);
    assert_int_equal(result->counters.steps, setup->steps * setup->workers);
    // A workload that sizes its segment is about a full one.
    bool full = setup->workload->segment_bytes != NULL;
    assert_int_equal(result->counters.failures != 0, full);
    const char *const *figures = setup->workload->figures;
    for (uint32_t i = 0; figures != NULL && figures[i] != NULL; i++) {
        assert_true((result->figures_set & 1u << i) != 0);
    }
}

// `ways`: 1 plain, 2 and verified, 3 and timed.
static void every_workload_on(const struct sb_subject *on, uint32_t ways)
{
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        const struct sb_workload *each = sb_workloads[i];
        if (!suits(each, on)) {
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
                shrink(&setup);
                bed_run(&setup, &result);
                assert_ran(&setup, &result);
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
    assert_non_null(subject("null"));
    every_workload_on(subject("null"), 3);
}

static void runs_on_malloc(void **state)
{
    (void)state;
    assert_non_null(subject("malloc"));
    every_workload_on(subject("malloc"), 3);
}

// hh and whatever else is installed, as far as it can be run by threads.
static void runs_on_the_others(void **state)
{
    (void)state;
    uint32_t ran = 0;
    for (uint32_t i = 0; sb_subjects[i] != NULL; i++) {
        const struct sb_subject *on = sb_subjects[i];
        if (subject(on->name) != NULL && strcmp(on->name, "null") != 0 &&
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
            struct bed_setup setup = {.workload = workload(rows[i].name),
                                      .subject = subject("malloc"),
                                      .workers = rows[i].workers,
                                      .steps = 1000,
                                      .verify = verify != 0};
            struct bed_result result;
            shrink(&setup);
            bed_run(&setup, &result);
            assert_ran(&setup, &result);
            const uint64_t *ops = result.counters.ops;
            assert_int_equal(ops[SB_OP_ALLOC], rows[i].allocs * 1000);
            assert_int_equal(ops[SB_OP_FREE], rows[i].frees * 1000);
            assert_int_equal(ops[SB_OP_ACCESS], rows[i].accesses * 1000);
            assert_int_equal(ops[SB_OP_LOCK], rows[i].locks * 1000);
            assert_int_equal(ops[SB_OP_UNLOCK], rows[i].locks * 1000);
        }
    }
}

// What a spoiled trial must end with: -EBADMSG in `phase`, and a text that says `what`.
static void assert_found(struct bed_setup *setup, const char *phase, const char *what)
{
    struct bed_result result;
    shrink(setup);
    bed_run(setup, &result);
    if (result.rc != -EBADMSG || strcmp(result.phase, phase) != 0 ||
        strstr(result.error.text, what) == NULL) {
        print_error("%s: rc %d in %s: '%s'\n", setup->workload->name, result.rc,
                    result.phase != NULL ? result.phase : "-", result.error.text);
    }
    assert_int_equal(result.rc, -EBADMSG);
    assert_string_equal(result.phase, phase);
    assert_non_null(strstr(result.error.text, what));
}

static void damage_in_a_step_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t workers, who;
        uint64_t nth; // time that worker `who` reaches a block: spoiled then
        const char *what;
    } rows[] = {{"pair", 1, 0, 20, "byte at offset 5 of 64 is"},
                {"pair", 2, 1, 400, "byte at offset 5 of 64 is"},
                {"mix", 1, 0, 701, "byte at offset 5 of"},
                {"prodcon", 2, 1, 99, "byte at offset 5 of"},
                {"prodcon", 5, 3, 7, "byte at offset 5 of"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spy_on(subject("malloc"));
        spy_spoil_reach(rows[i].who, rows[i].nth, 5);
        struct bed_setup setup = {.workload = workload(rows[i].name),
                                  .subject = &spy_subject,
                                  .workers = rows[i].workers,
                                  .steps = 2000,
                                  .verify = true};
        assert_found(&setup, "step", rows[i].what);
    }
}

// One worker fills 273 blocks of 240 B, then evicts one, puts one, evicts one, ...
static void damage_found_by_eviction(void **state)
{
    (void)state;
    spy_on(subject("malloc"));
    spy_spoil_reach(0, 273 + 2 * 10 + 1, 5);
    struct bed_setup setup = {.workload = workload("frag_aging"),
                              .subject = &spy_subject,
                              .workers = 1,
                              .steps = 3,
                              .verify = true};
    setup.sets[4] = "spread=0";
    setup.sets[5] = "phases=1";
    assert_found(&setup, "step", "evicted block");
}

// A block, then a node of the list in the heap, damaged between producer and consumer;
// article_demo checks both with and without --verify.
static void damaged_list_is_found(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        bool node = i % 2 != 0;
        spy_on(subject("malloc"));
        // Worker 0 allocates the anchor, then block, node, block, node.
        spy_spoil_block(0, node ? 101 : 100, 2, node ? 29 : 5);
        struct bed_setup setup = {.workload = workload("article_demo"),
                                  .subject = &spy_subject,
                                  .workers = 3,
                                  .steps = 500,
                                  .verify = i / 2 != 0};
        assert_found(&setup, "step",
                     node ? "that cannot come next" : "byte at offset 5 of");
    }
}

static void flip_byte_9(struct sb_worker *workers, uint32_t count)
{
    (void)count;
    spy_flip_live(&workers[0], 9);
}

static void damage_after_the_steps_is_found(void **state)
{
    (void)state;
    static const char *const names[] = {"mix", "frag_aging"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        spy_on(subject("malloc"));
        struct bed_setup setup = {.workload = workload(names[i]),
                                  .subject = &spy_subject,
                                  .workers = 2,
                                  .steps = 1000,
                                  .verify = true,
                                  .spoil = flip_byte_9};
        assert_found(&setup, "verify", "byte at offset 9 of");
    }
}

static void damage_by_compaction_is_found(void **state)
{
    (void)state;
    if (subject("hh") == NULL) {
        skip();
    }
    spy_on(subject("hh"));
    struct bed_setup after = {.workload = workload("compact_cost"),
                              .subject = &spy_subject,
                              .workers = 2,
                              .steps = 3,
                              .verify = true,
                              .spoil = flip_byte_9};
    assert_found(&after, "verify", "byte at offset 9 of");
    spy_on(subject("hh"));
    struct bed_setup big = after;
    big.workload = workload("frag_then_big");
    assert_found(&big, "verify", "survivor");
    // Worker 1 fills 128 blocks and pins 6 of 64; then it reads while worker 0
    // compacts.
    spy_on(subject("hh"));
    spy_spoil_reach(1, 2048 + 102 + 1, 0);
    struct bed_setup during = {.workload = workload("compact_cost"),
                               .subject = &spy_subject,
                               .workers = 2,
                               .steps = 3,
                               .verify = true};
    during.sets[3] = "most=64";
    assert_found(&during, "step", "expected");
}

static void flip_counter(struct sb_worker *workers, uint32_t count)
{
    (void)count;
    spy_flip_live(&workers[0], 0);
}

static void lost_update_is_found(void **state)
{
    (void)state;
    static const char *const modes[] = {"mode=exclusive", "mode=pin"};
    for (uint32_t i = 0; i < 2; i++) {
        spy_on(subject("malloc"));
        struct bed_setup setup = {.workload = workload("lock_sweep"),
                                  .subject = &spy_subject,
                                  .workers = 2,
                                  .steps = 100,
                                  .verify = true,
                                  .spoil = flip_counter};
        setup.sets[3] = modes[i];
        assert_found(&setup, "verify", "updates were lost");
    }
}

// The first word of what prodcon and article_demo share is a figure of worker 0's.
static void lose_one_in_prodcon(struct sb_worker *workers, uint32_t count)
{
    uint64_t *tally =
        (uint64_t *)((unsigned char *)workers[0].shared + (size_t)(count - 1) * 64);
    tally[0]--;
}

// A cache line of frag_aging's board, then the balance of worker 0.
static void lose_a_byte_in_aging(struct sb_worker *workers, uint32_t count)
{
    (void)count;
    ((uint64_t *)workers[0].shared)[64 / sizeof(uint64_t)]--;
}

static void lost_block_is_found(void **state)
{
    (void)state;
    struct bed_setup prodcon = {.workload = workload("prodcon"),
                                .subject = subject("malloc"),
                                .workers = 3,
                                .steps = 1000,
                                .verify = true,
                                .spoil = lose_one_in_prodcon};
    assert_found(&prodcon, "verify", "999 arrived");
    struct bed_setup aging = {.workload = workload("frag_aging"),
                              .subject = subject("malloc"),
                              .workers = 3,
                              .steps = 3,
                              .verify = true,
                              .spoil = lose_a_byte_in_aging};
    assert_found(&aging, "verify", "bytes are in the table");
}

static void leaked_block_is_found(void **state)
{
    (void)state;
    spy_on(subject("malloc"));
    spy_leak_free(77);
    struct bed_setup demo = {.workload = workload("article_demo"),
                             .subject = &spy_subject,
                             .workers = 3,
                             .steps = 300,
                             .verify = true};
    assert_found(&demo, "verify", "2 blocks are live, 1");
}

// A full heap is counted and gone on from, and nothing is lost or left.
static void full_heap_is_survived(void **state)
{
    (void)state;
    static const char *const names[] = {"pair", "mix", "prodcon", "article_demo",
                                        "frag_aging"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        spy_on(subject("malloc"));
        struct bed_setup setup = {.workload = workload(names[i]),
                                  .subject = &spy_subject,
                                  .workers = 3,
                                  .steps = 2000,
                                  .verify = true};
        struct bed_result result;
        shrink(&setup);
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
        spy_on(subject("malloc"));
        spy_limit(4 << 20, 300000);
        struct bed_setup setup = {.workload = workload("frag_then_big"),
                                  .subject = &spy_subject,
                                  .workers = workers,
                                  .steps = 2,
                                  .verify = true,
                                  .timed = true};
        struct bed_result result;
        shrink(&setup);
        setup.sets[3] = "most=512";
        bed_run(&setup, &result);
        assert_ran(&setup, &result);
        double expected = 300000.0 / (2 << 20);
        assert_true(result.figures[0] <= expected * 1.001);
        assert_true(result.figures[0] >= expected - 1.1 / 128);
        assert_true(result.figures[1] > 0.999 && result.figures[1] <= 1);
        // Where nothing fragments, all that was given back can be had as one.
        spy_on(subject("malloc"));
        spy_limit(4 << 20, 4 << 20);
        bed_run(&setup, &result);
        assert_ran(&setup, &result);
        assert_true(result.figures[0] > 0.999 && result.figures[0] <= 1);
    }
}

// A step draws nothing and allocates nothing but the subject's blocks: every call of
// malloc (by the subject) is one alloc of the workload. See the wrappers in spy_test.c.
static void steps_are_pure(void **state)
{
    (void)state;
    const struct sb_subject *on = subject("malloc");
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        if (!suits(sb_workloads[i], on)) {
            continue;
        }
        struct bed_setup setup = {
            .workload = sb_workloads[i], .subject = on, .workers = 3, .steps = 3000};
        struct bed_result result;
        shrink(&setup);
        spy_private_calls = 0;
        bed_run(&setup, &result);
        assert_ran(&setup, &result);
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
        cmocka_unit_test(damage_in_a_step_is_found),
        cmocka_unit_test(damaged_list_is_found),
        cmocka_unit_test(damage_found_by_eviction),
        cmocka_unit_test(damage_after_the_steps_is_found),
        cmocka_unit_test(damage_by_compaction_is_found),
        cmocka_unit_test(lost_update_is_found),
        cmocka_unit_test(lost_block_is_found),
        cmocka_unit_test(leaked_block_is_found),
        cmocka_unit_test(full_heap_is_survived),
        cmocka_unit_test(largest_block_is_found),
        cmocka_unit_test(steps_are_pure),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    spy_on(subject("malloc")); // frees what the spoiled trials left
    return failed;
}

// SPDX-License-Identifier: MIT
// That planted damage is found: in contents, in a list, in counts, by every workload
// that can.
//
// Built on: setup.h, spy.h, the subjects malloc and hh.
// Why this way: damage is planted beneath the workload, in what a real subject returns,
// so that each test shows the check that users rely on at work.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "workloads/setup.h"
#include "workloads/spy.h"

// What a spoiled trial must end with: -EBADMSG in `phase`, and a text that says `what`.
static void assert_found(struct bed_setup *setup, const char *phase, const char *what)
{
    struct bed_result result;
    setup_shrink(setup);
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
        spy_on(setup_subject("malloc"));
        spy_spoil_reach(rows[i].who, rows[i].nth, 5);
        struct bed_setup setup = {.workload = setup_workload(rows[i].name),
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
    spy_on(setup_subject("malloc"));
    spy_spoil_reach(0, 273 + 2 * 10 + 1, 5);
    struct bed_setup setup = {.workload = setup_workload("frag_aging"),
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
        spy_on(setup_subject("malloc"));
        // Worker 0 allocates the anchor, then block, node, block, node.
        spy_spoil_block(0, node ? 101 : 100, 2, node ? 29 : 5);
        struct bed_setup setup = {.workload = setup_workload("article_demo"),
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
        spy_on(setup_subject("malloc"));
        struct bed_setup setup = {.workload = setup_workload(names[i]),
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
    if (setup_subject("hh") == NULL) {
        skip();
    }
    spy_on(setup_subject("hh"));
    struct bed_setup after = {.workload = setup_workload("compact_cost"),
                              .subject = &spy_subject,
                              .workers = 2,
                              .steps = 3,
                              .verify = true,
                              .spoil = flip_byte_9};
    assert_found(&after, "verify", "byte at offset 9 of");
    spy_on(setup_subject("hh"));
    struct bed_setup big = after;
    big.workload = setup_workload("frag_then_big");
    assert_found(&big, "verify", "survivor");
    spy_on(setup_subject("hh"));
    struct bed_setup online = {.workload = setup_workload("compact_online"),
                               .subject = &spy_subject,
                               .workers = 2,
                               .steps = 300,
                               .verify = true,
                               .spoil = flip_byte_9};
    assert_found(&online, "verify", "byte at offset 9 of");
    // Worker 1 fills about 250 slots; nearly all later times it reaches one to read.
    spy_on(setup_subject("hh"));
    spy_spoil_reach(1, 600, 0);
    online.sets[2] = "reads=100%";
    online.spoil = NULL;
    assert_found(&online, "begin", "expected");
    // Worker 1 fills 128 blocks and pins 6 of 64; then it reads while worker 0
    // compacts.
    spy_on(setup_subject("hh"));
    spy_spoil_reach(1, 2048 + 102 + 1, 0);
    struct bed_setup during = {.workload = setup_workload("compact_cost"),
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
        spy_on(setup_subject("malloc"));
        struct bed_setup setup = {.workload = setup_workload("lock_sweep"),
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
    struct bed_setup prodcon = {.workload = setup_workload("prodcon"),
                                .subject = setup_subject("malloc"),
                                .workers = 3,
                                .steps = 1000,
                                .verify = true,
                                .spoil = lose_one_in_prodcon};
    assert_found(&prodcon, "verify", "999 arrived");
    struct bed_setup aging = {.workload = setup_workload("frag_aging"),
                              .subject = setup_subject("malloc"),
                              .workers = 3,
                              .steps = 3,
                              .verify = true,
                              .spoil = lose_a_byte_in_aging};
    assert_found(&aging, "verify", "bytes are in the table");
}

static void leaked_block_is_found(void **state)
{
    (void)state;
    spy_on(setup_subject("malloc"));
    spy_leak_free(77);
    struct bed_setup demo = {.workload = setup_workload("article_demo"),
                             .subject = &spy_subject,
                             .workers = 3,
                             .steps = 300,
                             .verify = true};
    assert_found(&demo, "verify", "2 blocks are live, 1");
}

int main(void)
{
    sb_clock_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_in_a_step_is_found),
        cmocka_unit_test(damaged_list_is_found),
        cmocka_unit_test(damage_found_by_eviction),
        cmocka_unit_test(damage_after_the_steps_is_found),
        cmocka_unit_test(damage_by_compaction_is_found),
        cmocka_unit_test(lost_update_is_found),
        cmocka_unit_test(lost_block_is_found),
        cmocka_unit_test(leaked_block_is_found),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    spy_on(setup_subject("malloc")); // frees what the spoiled trials left
    return failed;
}

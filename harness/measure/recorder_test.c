// SPDX-License-Identifier: MIT
// Tests of recorder.h.
#include "harness/measure/recorder.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void operations_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < SB_OPS; i++) {
        assert_non_null(sb_op_names[i]);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(sb_op_names[i], sb_op_names[j]);
        }
    }
    assert_null(sb_op_names[SB_OPS]);
}

static void stamps_are_chained(void **state)
{
    (void)state;
    sb_clock_start();
    struct sb_record *record = calloc(1, sizeof(*record));
    assert_non_null(record);
    struct sb_recorder recorder = {.record = record, .timed = true};
    uint64_t before = sb_ticks();
    sb_recorder_mark(&recorder);
    uint64_t first = recorder.last_ticks;
    for (int i = 0; i < 100; i++) {
        sb_recorder_end(&recorder, i % 2 == 0 ? SB_OP_ALLOC : SB_OP_FREE);
    }
    uint64_t after = sb_ticks();
    assert_int_equal(record->counters.ops[SB_OP_ALLOC], 50);
    assert_int_equal(record->counters.ops[SB_OP_FREE], 50);
    // No tick between the first mark and the last end is lost or charged twice.
    assert_int_equal(record->hist[SB_OP_ALLOC].sum + record->hist[SB_OP_FREE].sum,
                     recorder.last_ticks - first);
    assert_true(before <= first && recorder.last_ticks <= after);

    recorder.timed = false;
    sb_recorder_mark(&recorder);
    sb_recorder_end(&recorder, SB_OP_ALLOC);
    assert_int_equal(record->counters.ops[SB_OP_ALLOC], 51);
    assert_int_equal(record->hist[SB_OP_ALLOC].count, 50);
    free(record);
}

enum { ADDS = 100000 };

static void *count_up(void *record)
{
    struct sb_recorder recorder = {.record = record};
    for (int i = 0; i < ADDS; i++) {
        sb_recorder_end(&recorder, SB_OP_ALLOC);
    }
    return NULL;
}

static void counters_may_be_read_meanwhile(void **state)
{
    (void)state;
    struct sb_record *record = calloc(1, sizeof(*record));
    assert_non_null(record);
    const uint64_t *counter = &record->counters.ops[SB_OP_ALLOC];
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, count_up, record), 0);
    uint64_t last = 0;
    while (last < ADDS) {
        uint64_t now = sb_counter_read(counter);
        assert_true(now >= last);
        last = now;
    }
    pthread_join(worker, NULL);
    assert_int_equal(sb_counter_read(counter), ADDS);
    free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_have_names),
        cmocka_unit_test(stamps_are_chained),
        cmocka_unit_test(counters_may_be_read_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// Tests of clock.h. No timing is held against another: bounds are those of the calls.
#include "harness/base/clock.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static uint64_t raw_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void ticks_follow_the_raw_clock(void **state)
{
    (void)state;
    sb_clock_start();
    assert_true(sb_clock.ns_per_tick > 0);
    // The inner span by ticks lies within the outer one by the raw clock, and the other
    // way round, whatever interrupts it; 1 in 1000 is for the rate.
    uint64_t outer_raw = raw_ns(), outer = sb_ticks();
    uint64_t inner_raw = raw_ns(), inner = sb_ticks();
    sb_spin_ns(5000000);
    uint64_t inner_end = sb_ticks(), inner_raw_end = raw_ns();
    uint64_t outer_end = sb_ticks(), outer_raw_end = raw_ns();
    assert_true(sb_ticks_ns(inner_end - inner) >= 5000000 * 0.999);
    assert_true(sb_ticks_ns(inner_end - inner) <=
                (double)(outer_raw_end - outer_raw) * 1.001);
    assert_true((double)(inner_raw_end - inner_raw) <=
                sb_ticks_ns(outer_end - outer) * 1.001);
}

static void slow_ticks_are_nanoseconds(void **state)
{
    (void)state;
    struct sb_clock found = sb_clock, slow = {.tsc = false, .ns_per_tick = 1.0};
    sb_clock_adopt(&slow);
    uint64_t before = raw_ns(), ticks = sb_ticks(), after = raw_ns();
    assert_in_range(ticks, before, after);
    assert_true(sb_ticks_ns(12345) == 12345.0);
    assert_true(sb_clock_stamp_ns() > 0);
    sb_clock_adopt(&found);
    assert_int_equal(sb_clock.tsc, found.tsc);
    assert_true(sb_clock.ns_per_tick == found.ns_per_tick);
}

static void a_stamp_has_a_price(void **state)
{
    (void)state;
    double stamp_ns = sb_clock_stamp_ns();
    assert_true(isfinite(stamp_ns) && stamp_ns > 0);
}

static void pauses_are_not_short(void **state)
{
    (void)state;
    uint64_t before = sb_now_ns();
    sb_sleep_ns(2000000);
    assert_true(sb_now_ns() - before >= 2000000);
    sb_sleep_ns(0);
    sb_spin_ns(0);
}

static void wall_time_is_the_epochs(void **state)
{
    (void)state;
    double before = (double)time(NULL), wall = sb_wall_s();
    assert_true(wall >= before);
    assert_true(wall <= (double)time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_follow_the_raw_clock),
        cmocka_unit_test(slow_ticks_are_nanoseconds),
        cmocka_unit_test(a_stamp_has_a_price),
        cmocka_unit_test(pauses_are_not_short),
        cmocka_unit_test(wall_time_is_the_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// The order of arms is a permutation, balanced in position and in neighbours.
//
// Built on: order.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "harness/run/order.h"

enum { ARMS_MOST = 12 };

static void check_design(uint64_t seed, uint32_t arms, uint32_t rounds)
{
    uint32_t at[ARMS_MOST][ARMS_MOST] = {{0}}, after[ARMS_MOST][ARMS_MOST] = {{0}};
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t order[ARMS_MOST], seen = 0;
        sb_order_make(seed, round, order, arms);
        for (uint32_t position = 0; position < arms; position++) {
            assert_true(order[position] < arms);
            seen |= 1u << order[position];
            at[order[position]][position]++;
            if (position > 0) {
                after[order[position - 1]][order[position]]++;
            }
        }
        assert_int_equal(seen, (1u << arms) - 1);
    }
    for (uint32_t a = 0; a < arms; a++) {
        for (uint32_t b = 0; b < arms; b++) {
            assert_int_equal(at[a][b], rounds / arms);
            if (a != b && rounds % (2 * arms) == 0) {
                assert_int_equal(after[a][b], rounds / arms);
            }
        }
    }
}

static void test_balance(void **state)
{
    (void)state;
    for (uint32_t arms = 1; arms <= ARMS_MOST; arms++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            check_design(seed, arms, arms);
            check_design(seed, arms, 4 * arms);
        }
    }
}

static void test_orders_differ(void **state)
{
    (void)state;
    uint32_t differing = 0;
    for (uint64_t seed = 0; seed < 32; seed++) {
        uint32_t one[8], other[8], again[8];
        sb_order_make(seed, 0, one, 8);
        sb_order_make(seed + 1, 0, other, 8);
        sb_order_make(seed, 0, again, 8);
        assert_memory_equal(one, again, sizeof one);
        differing += memcmp(one, other, sizeof one) != 0;
    }
    assert_true(differing >= 30); // chance of one pair being alike: 1 in 40320
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_orders_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

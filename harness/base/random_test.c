// SPDX-License-Identifier: MIT
// Tests of random.h against the published algorithms, written out a second time.
#include "harness/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void seeding_is_splitmix64(void **state)
{
    (void)state;
    // The first outputs of splitmix64 for seed 1234567, as published with it.
    static const uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                         9817491932198370423u, 4593380528125082431u};
    struct sb_random random;
    sb_random_seed(&random, 1234567);
    assert_memory_equal(random.state, published, sizeof(published));
}

static void outputs_are_xoshiro256starstar(void **state)
{
    (void)state;
    // Small enough to work out by hand from the paper's definition: the first output
    // is rotl(2 * 5, 7) * 9, the next state's second word is 2 ^ 3 ^ 1 = 0.
    struct sb_random random = {{1, 2, 3, 4}};
    assert_int_equal(sb_random_next(&random), 11520);
    assert_int_equal(sb_random_next(&random), 0);
    assert_int_equal(sb_random_next(&random), 1509978240);
    assert_int_equal(sb_random_next(&random), 1215971899390074240);

    // And against the recurrence, with all right-hand sides of one step taken from the
    // old state.
    sb_random_seed(&random, 42);
    uint64_t a = random.state[0], b = random.state[1];
    uint64_t c = random.state[2], d = random.state[3];
    for (int i = 0; i < 1000; i++) {
        uint64_t fives = b + (b << 2);
        uint64_t turned = (fives << 7) + (fives >> 57);
        assert_int_equal(sb_random_next(&random), turned + (turned << 3));
        uint64_t next_a = a ^ b ^ d, next_b = a ^ b ^ c;
        uint64_t next_c = a ^ c ^ (b << 17), mixed = b ^ d;
        a = next_a;
        b = next_b;
        c = next_c;
        d = (mixed << 45) + (mixed >> 19);
    }
}

static void below_is_even(void **state)
{
    (void)state;
    struct sb_random random;
    sb_random_seed(&random, 1);
    uint64_t seen[7] = {0};
    enum { DRAWS = 70000 };
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = sb_random_below(&random, 7);
        assert_true(value < 7);
        seen[value]++;
    }
    double chi = 0;
    for (int i = 0; i < 7; i++) {
        double off = (double)seen[i] - DRAWS / 7.0;
        chi += off * off / (DRAWS / 7.0);
    }
    assert_true(chi < 22.5); // 6 degrees of freedom: one seed in a thousand is above
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sb_random_below(&random, 1), 0);
        assert_true(sb_random_below(&random, UINT64_MAX) < UINT64_MAX);
    }
}

static void below_rejects_what_would_be_biased(void **state)
{
    (void)state;
    // For 3 * 2^62, plain multiplication would give every third result twice as often.
    struct sb_random random;
    sb_random_seed(&random, 5);
    uint64_t below = UINT64_C(3) << 62, thirds[3] = {0};
    for (int i = 0; i < 30000; i++) {
        thirds[sb_random_below(&random, below) % 3]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(thirds[i], 9600, 10400);
    }
}

static void unit_lies_in_its_half_open_interval(void **state)
{
    (void)state;
    struct sb_random random;
    sb_random_seed(&random, 3);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double unit = sb_random_unit(&random);
        assert_true(unit >= 0 && unit < 1);
        sum += unit;
    }
    assert_true(sum > 49500 && sum < 50500);
}

static void derived_seeds_do_not_meet(void **state)
{
    (void)state;
    // Neighbouring seeds and indexes, the very ones in use, among each other.
    enum { SEEDS = 40, PARTS = 40, ALL = SEEDS * PARTS };
    static uint64_t all[ALL];
    for (uint64_t s = 0; s < SEEDS; s++) {
        for (uint64_t p = 0; p < PARTS; p++) {
            all[s * PARTS + p] = sb_random_derive(s, p);
        }
    }
    for (size_t i = 0; i < ALL; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(all[i] != all[j]);
        }
    }
    assert_int_equal(sb_random_derive(9, 4), sb_random_derive(9, 4));
}

static void permutations_are_fair(void **state)
{
    (void)state;
    struct sb_random random;
    sb_random_seed(&random, 11);
    uint32_t seen[3][3] = {{0}};
    for (int i = 0; i < 6000; i++) {
        uint32_t order[3];
        sb_random_permute(&random, order, 3);
        assert_int_equal(1u << order[0] | 1u << order[1] | 1u << order[2], 7);
        for (int place = 0; place < 3; place++) {
            seen[place][order[place]]++;
        }
    }
    for (int place = 0; place < 3; place++) {
        for (int value = 0; value < 3; value++) {
            assert_in_range(seen[place][value], 1850, 2150);
        }
    }
    uint32_t one = 9;
    sb_random_permute(&random, &one, 0);
    assert_int_equal(one, 9);
    sb_random_permute(&random, &one, 1);
    assert_int_equal(one, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeding_is_splitmix64),
        cmocka_unit_test(outputs_are_xoshiro256starstar),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(below_rejects_what_would_be_biased),
        cmocka_unit_test(unit_lies_in_its_half_open_interval),
        cmocka_unit_test(derived_seeds_do_not_meet),
        cmocka_unit_test(permutations_are_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

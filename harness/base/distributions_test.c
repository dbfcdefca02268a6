// SPDX-License-Identifier: MIT
// Tests of distributions.h: observed shares against the exact ones, by chi-square.
#include "harness/base/distributions.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { DRAWS = 200000, CELLS = 64 };

// Sum of (seen - expected)^2 / expected over values least .. least + CELLS - 1. With 63
// degrees of freedom one seed in a thousand exceeds 104; the seed here is fixed.
static double chi_square(const uint64_t *seen, const double *share)
{
    double chi = 0;
    for (int i = 0; i < CELLS; i++) {
        double expected = share[i] * DRAWS, off = (double)seen[i] - expected;
        chi += off * off / expected;
    }
    return chi;
}

static void normalise(double *share)
{
    double sum = 0;
    for (int i = 0; i < CELLS; i++) {
        sum += share[i];
    }
    for (int i = 0; i < CELLS; i++) {
        share[i] /= sum;
    }
}

enum kind { UNIFORM, LOG_UNIFORM, INVERSE_SQUARE, PARETO };
enum { LEAST = 3 };

static void check_kind(enum kind kind)
{
    uint64_t seen[CELLS] = {0};
    double share[CELLS];
    struct sb_random random;
    sb_random_seed(&random, 20240101 + (uint64_t)kind);
    uint64_t most = LEAST + CELLS - 1;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value =
            kind == UNIFORM          ? sb_draw_uniform(&random, LEAST, most)
            : kind == LOG_UNIFORM    ? sb_draw_log_uniform(&random, LEAST, most)
            : kind == INVERSE_SQUARE ? sb_draw_inverse_square(&random, LEAST, most)
                                     : sb_draw_pareto(&random, 1.5, LEAST, most);
        assert_in_range(value, LEAST, most);
        seen[value - LEAST]++;
    }
    for (int i = 0; i < CELLS; i++) {
        // The density's integral over [x, x + 1).
        double x = LEAST + i;
        share[i] = kind == UNIFORM          ? 1
                   : kind == LOG_UNIFORM    ? log((x + 1) / x)
                   : kind == INVERSE_SQUARE ? 1 / x - 1 / (x + 1)
                                            : pow(x, -1.5) - pow(x + 1, -1.5);
    }
    normalise(share);
    double chi = chi_square(seen, share);
    if (chi > 104) {
        fail_msg("kind %d: chi-square %.1f", (int)kind, chi);
    }
}

static void sizes_follow_their_densities(void **state)
{
    (void)state;
    check_kind(UNIFORM);
    check_kind(LOG_UNIFORM);
    check_kind(INVERSE_SQUARE);
    check_kind(PARETO);
}

static void bounds_are_kept_at_the_edges(void **state)
{
    (void)state;
    struct sb_random random;
    sb_random_seed(&random, 4);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sb_draw_log_uniform(&random, 9, 9), 9);
        assert_int_equal(sb_draw_uniform(&random, 9, 9), 9);
        assert_int_equal(sb_draw_inverse_square(&random, 9, 9), 9);
        assert_int_equal(sb_draw_pareto(&random, 2, 9, 9), 9);
        uint64_t large = UINT64_MAX - 1000;
        assert_true(sb_draw_uniform(&random, large, UINT64_MAX) >= large);
        assert_true(sb_draw_log_uniform(&random, large, UINT64_MAX) >= large);
        (void)sb_draw_uniform(&random, 0, UINT64_MAX);
    }
}

static void exponential_has_its_mean_and_tail(void **state)
{
    (void)state;
    struct sb_random random;
    sb_random_seed(&random, 8);
    double sum = 0;
    uint64_t beyond = 0;
    for (int i = 0; i < DRAWS; i++) {
        double gap = sb_draw_exponential(&random, 250);
        assert_true(gap >= 0 && isfinite(gap));
        sum += gap;
        beyond += gap > 500; // twice the mean: a share of exp(-2)
    }
    // Four standard errors either side.
    double error = 4 / sqrt(DRAWS);
    assert_true(fabs(sum / DRAWS / 250 - 1) < error);
    double share = exp(-2.0);
    assert_true(fabs((double)beyond / DRAWS - share) <
                4 * sqrt(share * (1 - share) / DRAWS));
}

static void zipf_follows_its_law(void **state)
{
    (void)state;
    static const double thetas[] = {0, 0.5, 0.99, 1, 1.0000001, 2, 3.5};
    for (size_t t = 0; t < sizeof(thetas) / sizeof(thetas[0]); t++) {
        uint64_t seen[CELLS] = {0};
        double share[CELLS];
        struct sb_random random;
        struct sb_zipf zipf;
        sb_random_seed(&random, 77 + t);
        sb_zipf_init(&zipf, CELLS, thetas[t]);
        for (int i = 0; i < DRAWS; i++) {
            uint64_t value = sb_zipf_draw(&zipf, &random);
            assert_true(value < CELLS);
            seen[value]++;
        }
        for (int i = 0; i < CELLS; i++) {
            share[i] = pow(i + 1, -thetas[t]);
        }
        normalise(share);
        double chi = chi_square(seen, share);
        if (chi > 104) {
            fail_msg("theta %g: chi-square %.1f", thetas[t], chi);
        }
    }
}

static void zipf_reaches_from_one_to_very_many(void **state)
{
    (void)state;
    struct sb_random random;
    struct sb_zipf zipf;
    sb_random_seed(&random, 2);
    sb_zipf_init(&zipf, 1, 0.99);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sb_zipf_draw(&zipf, &random), 0);
    }
    sb_zipf_init(&zipf, 1000000000, 0.99);
    uint64_t first = 0, large = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = sb_zipf_draw(&zipf, &random);
        assert_true(value < 1000000000);
        first += value == 0;
        large += value >= 1000000;
    }
    // Shares of zeta(0.99) cut at 10^9, by Euler and Maclaurin: the first rank has
    // 1 / H(10^9), ranks beyond 10^6 have 1 - H(10^6) / H(10^9).
    double all = (pow(1e9, 0.01) - 1) / 0.01 + 0.57771;
    double million = (pow(1e6, 0.01) - 1) / 0.01 + 0.57771;
    assert_true(fabs((double)first / DRAWS - 1 / all) < 0.002);
    assert_true(fabs((double)large / DRAWS - (1 - million / all)) < 0.006);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_follow_their_densities),
        cmocka_unit_test(bounds_are_kept_at_the_edges),
        cmocka_unit_test(exponential_has_its_mean_and_tail),
        cmocka_unit_test(zipf_follows_its_law),
        cmocka_unit_test(zipf_reaches_from_one_to_very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// Tests of tally.h and merged.h: a run summed up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/random.h"
#include "harness/store/fixture.h"
#include "harness/store/tally.h"

static void merging_equals_adding_whole_histograms(void **state)
{
    (void)state;
    struct sb_hist *whole = calloc(1, sizeof *whole), *part = calloc(1, sizeof *part);
    assert_non_null(whole);
    assert_non_null(part);
    struct sb_merged merged = {0};
    struct sb_random random;
    sb_random_seed(&random, 3);
    for (int round = 0; round < 5; round++) {
        memset(part, 0, sizeof *part);
        for (int i = 0; i < 2000; i++) {
            sb_hist_record(part,
                           sb_random_next(&random) >> sb_random_below(&random, 64));
        }
        assert_int_equal(sb_merged_add(&merged, part), 0);
        sb_hist_merge(whole, part);
    }
    memset(part, 0xff, sizeof *part);
    sb_merged_expand(&merged, part);
    assert_memory_equal(part, whole, sizeof *part);
    for (double q = 0.01; q < 1; q += 0.01) {
        uint64_t left = 1, right = 1;
        assert_int_equal(sb_merged_quantile(&merged, q, &left),
                         sb_hist_quantile(whole, q, &right));
        right = right < whole->max ? right : whole->max;
        assert_int_equal(left, right);
    }
    uint64_t untouched = 42;
    assert_int_equal(sb_merged_quantile(&merged, 0.9999, &untouched), -ENODATA);
    assert_int_equal(untouched, 42);
    sb_merged_free(&merged);
    free(whole);
    free(part);
}

static void only_kept_trials_without_stamps_count_for_throughput(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    struct sb_tally *tally;
    sb_fixture_make(&fixture);
    assert_int_equal(sb_tally_make(&fixture.plan, &tally), 0);
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    sb_fixture_time(&fixture, true);
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    sb_fixture_time(&fixture, false);
    fixture.outcome.kept = false;
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    fixture.outcome.status = SB_HUNG;
    strcpy(fixture.outcome.detail, "no progress");
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);

    const struct sb_tally_entry *entry = sb_tally_at(tally, 0, 0);
    assert_int_equal(entry->trials_count, 1);
    // 100 us x 2 workers / 1000 steps.
    assert_true(fabs(entry->trials[0].step_ns - 200) < 1e-9);
    assert_true(fabs(entry->trials[0].footprint_ratio - 1.5) < 1e-9);
    assert_true(fabs(entry->trials[0].lock_wait_share - 0.1) < 1e-9);
    assert_true(fabs(entry->trials[0].moved_bytes - 4096) < 1e-9);
    assert_int_equal(entry->latency[SB_OP_ALLOC].count, 1000);
    assert_int_equal(entry->latency[SB_OP_FREE].count, 0);
    assert_int_equal(entry->refused, 6); // both kept ones
    assert_int_equal(entry->hung, 1);
    assert_string_equal(entry->detail, "no progress");
    assert_int_equal(tally->trials, 4);
    assert_int_equal(tally->kept, 2);
    assert_int_equal(tally->measured, 3);
    assert_int_equal(tally->failed, 1);
    sb_tally_free(tally);
    sb_fixture_free(&fixture);
}

static void what_a_subject_cannot_tell_is_no_figure(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    struct sb_tally *tally;
    sb_fixture_make(&fixture);
    fixture.outcome.usage.moved_bytes = SB_UNKNOWN;
    fixture.outcome.usage.locks[0].wait_ns = SB_UNKNOWN;
    fixture.outcome.requested_bytes = 64; // too little to divide by
    assert_int_equal(sb_tally_make(&fixture.plan, &tally), 0);
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    const struct sb_tally_entry *entry = sb_tally_at(tally, 0, 0);
    assert_true(isnan(
        sb_tally_quantile(entry, offsetof(struct sb_tally_trial, moved_bytes), 0.5)));
    assert_true(isnan(entry->trials[0].lock_wait_share));
    assert_true(isnan(entry->trials[0].footprint_ratio));
    assert_true(entry->trials[0].step_ns > 0);
    sb_tally_free(tally);
    sb_fixture_free(&fixture);
}

static void ratios_are_paired_by_round(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    struct sb_tally *tally;
    // Round 3 is slow for both: unpaired medians would say 5, the pairs say 2. Round 9
    // has no partner.
    static const uint64_t left[] = {1000, 2000, 100000},
                          right[] = {2000, 10000, 200000};
    sb_fixture_make(&fixture);
    assert_int_equal(sb_tally_make(&fixture.plan, &tally), 0);
    for (int i = 2; i >= 0; i--) { // the order of arrival does not matter
        fixture.outcome.round = i + 1;
        fixture.outcome.wall_ns = left[i];
        assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    }
    fixture.outcome.arm = &fixture.arms[1];
    for (int i = 0; i < 3; i++) {
        fixture.outcome.round = i + 1;
        fixture.outcome.wall_ns = right[i];
        assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    }
    fixture.outcome.round = 9;
    fixture.outcome.wall_ns = 1;
    assert_int_equal(sb_tally_add(tally, &fixture.outcome), 0);
    const struct sb_tally_entry *base = sb_tally_at(tally, 0, 0);
    assert_true(fabs(sb_tally_ratio(sb_tally_at(tally, 0, 1), base) - 2) < 1e-9);
    assert_true(fabs(sb_tally_ratio(base, base) - 1) < 1e-9);
    assert_true(isnan(sb_tally_ratio(sb_tally_at(tally, 1, 1), base)));
    // Quartiles between 2, 4, 200: interpolated.
    double quartile =
        sb_tally_quantile(base, offsetof(struct sb_tally_trial, step_ns), 0.25);
    assert_true(fabs(quartile - 3) < 1e-9);
    sb_tally_free(tally);
    sb_fixture_free(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_equals_adding_whole_histograms),
        cmocka_unit_test(only_kept_trials_without_stamps_count_for_throughput),
        cmocka_unit_test(what_a_subject_cannot_tell_is_no_figure),
        cmocka_unit_test(ratios_are_paired_by_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

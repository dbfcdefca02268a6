// SPDX-License-Identifier: MIT
// Tests of histogram.h and hist_text.h.
#include "harness/measure/histogram.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/base/random.h"
#include "harness/measure/hist_text.h"

static struct sb_hist hist, other;

static int start_empty(void **state)
{
    (void)state;
    memset(&hist, 0, sizeof(hist));
    memset(&other, 0, sizeof(other));
    return 0;
}

static void values_fall_into_known_slots(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        uint32_t slot;
        uint64_t least, most;
    } known[] = {
        {0, 0, 0, 0},
        {1, 1, 1, 1},
        {2047, 2047, 2047, 2047},
        {2048, 2048, 2048, 2049},
        {2049, 2048, 2048, 2049},
        {4095, 3071, 4094, 4095},
        {4096, 3072, 4096, 4099},
        {1000000, 9 * 1024 + 1953, 999936, 1000447},
        {(UINT64_C(1) << 42) - 1, SB_HIST_SLOTS - 1,
         (UINT64_C(1) << 42) - (UINT64_C(1) << 31), (UINT64_C(1) << 42) - 1},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_int_equal(sb_hist_slot(known[i].value), known[i].slot);
        assert_int_equal(sb_hist_slot_least(known[i].slot), known[i].least);
        assert_int_equal(sb_hist_slot_most(known[i].slot), known[i].most);
    }
}

static void slots_tile_the_range(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (uint32_t slot = 0; slot < SB_HIST_SLOTS; slot++) {
        uint64_t least = sb_hist_slot_least(slot), most = sb_hist_slot_most(slot);
        assert_int_equal(least, next);
        assert_int_equal(sb_hist_slot(least), slot);
        assert_int_equal(sb_hist_slot(most), slot);
        assert_true((double)(most - least) <= (double)least / 1024);
        next = most + 1;
    }
    assert_int_equal(next, UINT64_C(1) << SB_HIST_TOP_BITS);
}

static void everything_is_counted(void **state)
{
    (void)state;
    sb_hist_record(&hist, 0);
    sb_hist_record(&hist, (UINT64_C(1) << 42) - 1);
    sb_hist_record(&hist, UINT64_C(1) << 42);
    sb_hist_record(&hist, UINT64_C(1) << 50);
    assert_int_equal(hist.count, 4);
    assert_int_equal(hist.overflow, 2);
    assert_int_equal(hist.slots[0], 1);
    assert_int_equal(hist.slots[SB_HIST_SLOTS - 1], 1);
    assert_int_equal(hist.max, UINT64_C(1) << 50);
    assert_int_equal(hist.sum, (UINT64_C(1) << 43) - 1 + (UINT64_C(1) << 50));
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_agree_with_sorted_records(void **state)
{
    (void)state;
    enum { RECORDS = 30011 };
    static uint64_t values[RECORDS];
    static const double quantiles[] = {0.0001, 0.07, 0.25, 0.5, 0.9, 0.99, 0.999};
    struct sb_random random;
    sb_random_seed(&random, 6);
    for (int i = 0; i < RECORDS; i++) {
        // Over the whole range, each doubling alike.
        values[i] = sb_random_next(&random) >> (22 + sb_random_below(&random, 42));
        sb_hist_record(&hist, values[i]);
    }
    qsort(values, RECORDS, sizeof(values[0]), compare);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        uint64_t rank = (uint64_t)ceil(quantiles[i] * RECORDS), value;
        uint64_t exact = values[rank - 1];
        assert_int_equal(sb_hist_quantile(&hist, quantiles[i], &value), 0);
        assert_int_equal(sb_hist_slot(value), sb_hist_slot(exact));
        assert_true(value >= exact);
    }
}

static void a_quantile_needs_ten_records_beyond(void **state)
{
    (void)state;
    uint64_t value = 77;
    assert_int_equal(sb_hist_quantile(&hist, 0.5, &value), -ENODATA);
    for (uint64_t i = 1; i <= 19; i++) {
        sb_hist_record(&hist, i);
    }
    assert_int_equal(sb_hist_quantile(&hist, 0.5, &value), -ENODATA);
    assert_int_equal(value, 77);
    sb_hist_record(&hist, 20);
    assert_int_equal(sb_hist_quantile(&hist, 0.5, &value), 0);
    assert_int_equal(value, 10);
    assert_int_equal(sb_hist_quantile(&hist, 0.51, &value), -ENODATA);
    assert_int_equal(sb_hist_quantile(&hist, 1, &value), -ENODATA);
    assert_int_equal(sb_hist_quantile(&hist, 0, &value), -EINVAL);
    assert_int_equal(sb_hist_quantile(&hist, 1.01, &value), -EINVAL);
    assert_int_equal(sb_hist_quantile(&hist, (double)NAN, &value), -EINVAL);
    assert_int_equal(value, 10);
}

static void binary_fractions_do_not_shift_the_rank(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100; i++) {
        sb_hist_record(&hist, i);
    }
    for (uint64_t percent = 1; percent <= 90; percent++) {
        uint64_t value;
        assert_int_equal(sb_hist_quantile(&hist, (double)percent / 100, &value), 0);
        assert_int_equal(value, percent);
        assert_int_equal(sb_hist_quantile(&hist, (double)percent * 0.01, &value), 0);
        assert_int_equal(value, percent);
    }
}

static void a_quantile_never_exceeds_the_maximum(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        sb_hist_record(&hist, 1000000);
    }
    uint64_t value;
    assert_int_equal(sb_hist_quantile(&hist, 0.5, &value), 0);
    assert_int_equal(value, 1000000); // its slot reaches to 1000447
    for (int i = 0; i < 40; i++) {
        sb_hist_record(&hist, UINT64_C(1) << 45);
    }
    assert_int_equal(sb_hist_quantile(&hist, 0.5, &value), 0);
    assert_int_equal(value, UINT64_C(1) << 45);
}

static void merging_is_addition(void **state)
{
    (void)state;
    static struct sb_hist both;
    memset(&both, 0, sizeof(both));
    struct sb_random random;
    sb_random_seed(&random, 9);
    for (int i = 0; i < 5000; i++) {
        uint64_t value = sb_random_next(&random) >> (15 + sb_random_below(&random, 40));
        sb_hist_record(i % 3 == 0 ? &hist : &other, value);
        sb_hist_record(&both, value);
    }
    sb_hist_merge(&hist, &other);
    assert_memory_equal(&hist, &both, sizeof(both));
}

static void slots_in_use_are_found(void **state)
{
    (void)state;
    uint32_t slot = 0;
    assert_int_equal(sb_hist_next(&hist, &slot), -ENOENT);
    assert_int_equal(slot, 0);
    sb_hist_record(&hist, 3);
    sb_hist_record(&hist, (UINT64_C(1) << 42) - 1);
    assert_int_equal(sb_hist_next(&hist, &slot), 0);
    assert_int_equal(slot, 3);
    slot++;
    assert_int_equal(sb_hist_next(&hist, &slot), 0);
    assert_int_equal(slot, SB_HIST_SLOTS - 1);
    slot++;
    assert_int_equal(sb_hist_next(&hist, &slot), -ENOENT);
}

static char *text_of(const struct sb_hist *of, double scale)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    assert_int_equal(sb_hist_write_hgrm(file, of, scale), 0);
    fclose(file);
    return text;
}

static void percentile_text_is_hdr_histograms(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 4; i++) {
        sb_hist_record(&hist, i * 10);
    }
    char *text = text_of(&hist, 0.5);
    assert_string_equal(text,
                        "       Value     Percentile TotalCount 1/(1-Percentile)\n"
                        "\n"
                        "       5.000 0.000000000000          1           1.00\n"
                        "       5.000 0.100000000000          1           1.11\n"
                        "       5.000 0.200000000000          1           1.25\n"
                        "      10.000 0.300000000000          2           1.43\n"
                        "      10.000 0.400000000000          2           1.67\n"
                        "      10.000 0.500000000000          2           2.00\n"
                        "      15.000 0.550000000000          3           2.22\n"
                        "      15.000 0.600000000000          3           2.50\n"
                        "      15.000 0.650000000000          3           2.86\n"
                        "      15.000 0.700000000000          3           3.33\n"
                        "      15.000 0.750000000000          3           4.00\n"
                        "      20.000 1.000000000000          4\n"
                        "#[Mean    =       12.500, StdDeviation   =        5.590]\n"
                        "#[Max     =       20.000, Total count    =            4]\n"
                        "#[Buckets =           32, SubBuckets     =         2048]\n");
    free(text);
}

static void percentile_text_of_nothing_and_of_overflow(void **state)
{
    (void)state;
    char *text = text_of(&hist, 1);
    assert_non_null(strstr(text, "Total count    =            0]"));
    assert_null(strstr(text, "1.000000000000"));
    free(text);
    sb_hist_record(&hist, UINT64_C(1) << 43);
    text = text_of(&hist, 1);
    assert_non_null(strstr(text, "8796093022208.000 1.000000000000          1\n"));
    free(text);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "we");
    if (full == NULL) {
        skip();
    }
    assert_int_equal(sb_hist_write_hgrm(full, &hist, 1), -ENOSPC);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fall_into_known_slots),
        cmocka_unit_test(slots_tile_the_range),
        cmocka_unit_test_setup(everything_is_counted, start_empty),
        cmocka_unit_test_setup(quantiles_agree_with_sorted_records, start_empty),
        cmocka_unit_test_setup(a_quantile_needs_ten_records_beyond, start_empty),
        cmocka_unit_test_setup(binary_fractions_do_not_shift_the_rank, start_empty),
        cmocka_unit_test_setup(a_quantile_never_exceeds_the_maximum, start_empty),
        cmocka_unit_test_setup(merging_is_addition, start_empty),
        cmocka_unit_test_setup(slots_in_use_are_found, start_empty),
        cmocka_unit_test_setup(percentile_text_is_hdr_histograms, start_empty),
        cmocka_unit_test_setup(percentile_text_of_nothing_and_of_overflow, start_empty),
        cmocka_unit_test_setup(a_full_disk_is_told, start_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

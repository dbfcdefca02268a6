// SPDX-License-Identifier: MIT
// Tests of option.h and number.h.
#include "harness/base/option.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "harness/base/number.h"

struct values {
    uint64_t count, seed, bytes, hold_ns;
    double share;
    bool touch;
    uint32_t lock;
};

static const char *const locks[] = {"robust", "plain", NULL};

#define AT(field) offsetof(struct values, field)
static const struct sb_option table[] = {
    {"count", "how many", SB_COUNT, AT(count), "10", 1, 1e6, NULL, SB_LOG},
    {"seed", "any", SB_COUNT, AT(seed), "0x10", 0, 0x1p64, NULL, SB_FIXED},
    {"bytes", "size", SB_BYTES, AT(bytes), "64", 16, 0x1p30, NULL, SB_LOG},
    {"hold", "hold time", SB_NS, AT(hold_ns), "1us", 0, 1e9, NULL, SB_LOG},
    {"share", "of all", SB_RATIO, AT(share), "12%", -1, 1, NULL, SB_LINEAR},
    {"touch", "write it", SB_FLAG, AT(touch), "yes", 0, 0, NULL, SB_FIXED},
    {"lock", "kind", SB_CHOICE, AT(lock), "plain", 0, 0, locks, SB_FIXED},
    {0},
};

static void defaults_are_the_initial_values(void **state)
{
    (void)state;
    struct values v;
    memset(&v, 0xff, sizeof(v));
    sb_options_default(table, &v);
    assert_int_equal(v.count, 10);
    assert_int_equal(v.seed, 16);
    assert_int_equal(v.bytes, 64);
    assert_int_equal(v.hold_ns, 1000);
    assert_true(v.share == 0.12);
    assert_true(v.touch);
    assert_int_equal(v.lock, 1);
    struct values checked;
    memset(&checked, 0xff, sizeof(checked));
    assert_int_equal(sb_options_check(table, &checked, NULL), 0);
    assert_memory_equal(&v, &checked, sizeof(v));
}

// What each text leaves behind, or the error and a piece of its line.
static const struct {
    const char *name, *text;
    int rc;
    const char *result; // as sb_option_text writes it, or part of the complaint
} cases[] = {
    {"count", "1", 0, "1"},
    {"count", "+7", 0, "7"},
    {"count", "10k", 0, "10000"},
    {"count", "1.5k", 0, "1500"},
    {"count", "1M", 0, "1000000"},
    {"count", "0x1F", 0, "31"},
    {"count", "0", -ERANGE, "1 to 1000000 (count)"},
    {"count", "1000001", -ERANGE, "count=1000001: out of range"},
    {"count", "-5", -ERANGE, "out of range"},
    {"count", "99999999999999999999999999999999999999999999", -ERANGE, "out of range"},
    {"count", "18446744073709551616", -ERANGE, "out of range"},
    {"count", "1.5", -EINVAL, "not a whole number"},
    {"count", "", -EINVAL, "not a count"},
    {"count", " 1", -EINVAL, "not a count"},
    {"count", "1 ", -EINVAL, "not a count"},
    {"count", "ten", -EINVAL, "not a count"},
    {"count", "1K", -EINVAL, "not a count"},
    {"count", "1kk", -EINVAL, "not a count"},
    {"count", "1..5k", -EINVAL, "not a count"},
    {"count", ".", -EINVAL, "not a count"},
    {"count", "-", -EINVAL, "not a count"},
    {"count", "--1", -EINVAL, "not a count"},
    {"count", "0x", -EINVAL, "not a count"},
    {"count", "0x1k", -EINVAL, "not a count"},
    {"count", "1e3", -EINVAL, "not a count"},
    {"count", "1.00000000000000001k", -EINVAL, "not a count"},
    {"seed", "18446744073709551615", 0, "18446744073709551615"},
    {"seed", "9007199254740993", 0, "9007199254740993"}, // no double holds this
    {"seed", "0xffffffffffffffff", 0, "18446744073709551615"},
    {"seed", "0x10000000000000000", -ERANGE, "out of range"},
    {"bytes", "4096", 0, "4K"},
    {"bytes", "4K", 0, "4K"},
    {"bytes", "4k", 0, "4K"},
    {"bytes", "4KiB", 0, "4K"},
    {"bytes", "100B", 0, "100"},
    {"bytes", "0.5M", 0, "512K"},
    {"bytes", "1G", 0, "1G"},
    {"bytes", "1T", -ERANGE, "16 to 1G (bytes)"},
    {"bytes", "15", -ERANGE, "out of range"},
    {"bytes", "99999999T", -ERANGE, "out of range"},
    {"bytes", "4KB", -EINVAL, "not bytes"},
    {"bytes", "4K4", -EINVAL, "not bytes"},
    {"bytes", "0x10", -EINVAL, "not bytes"},
    {"bytes", "0.3K", -EINVAL, "not a whole number"},
    {"hold", "0", 0, "0ns"},
    {"hold", "250", 0, "250ns"},
    {"hold", "0.5us", 0, "500ns"},
    {"hold", "20us", 0, "20us"},
    {"hold", "1000us", 0, "1ms"},
    {"hold", "1s", 0, "1s"},
    {"hold", "1min", -ERANGE, "0ns to 1s (ns)"},
    {"hold", "1h", -ERANGE, "out of range"},
    {"hold", "1m", -EINVAL, "not a time"},
    {"hold", "1 us", -EINVAL, "not a time"},
    {"hold", "0.1ns", -EINVAL, "not a whole number"},
    {"share", "0.25", 0, "0.25"},
    {"share", "50%", 0, "0.5"},
    {"share", "-1", 0, "-1"},
    {"share", "1e-3", 0, "0.001"},
    {"share", "0.1", 0, "0.1"},
    {"share", "1.01", -ERANGE, "-1 to 1 (ratio)"},
    {"share", "101%", -ERANGE, "out of range"},
    {"share", "1e999", -ERANGE, "out of range"},
    {"share", "nan", -EINVAL, "not a ratio"},
    {"share", "inf", -EINVAL, "not a ratio"},
    {"share", "0x1p-1", -EINVAL, "not a ratio"},
    {"share", "", -EINVAL, "not a ratio"},
    {"share", "%", -EINVAL, "not a ratio"},
    {"share", "1%%", -EINVAL, "not a ratio"},
    {"share", "1.2.3", -EINVAL, "not a ratio"},
    {"touch", "no", 0, "no"},
    {"touch", "on", 0, "yes"},
    {"touch", "true", 0, "yes"},
    {"touch", "0", 0, "no"},
    {"touch", "maybe", -EINVAL, "not yes or no"},
    {"touch", "", -EINVAL, "not yes or no"},
    {"lock", "robust", 0, "robust"},
    {"lock", "rubust", -EINVAL, "lock: no choice 'rubust', did you mean 'robust'"},
    {"lock", "", -EINVAL, "robust, plain"},
    {"bites", "1", -ENOENT, "no option 'bites', did you mean 'bytes'"},
    {"", "1", -ENOENT, "count, seed, bytes, hold, share, touch, lock"},
};

static void texts_are_parsed_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct values v, before;
        memset(&v, 0, sizeof(v));
        sb_options_default(table, &v);
        before = v;
        struct sb_error error = {""};
        int rc = sb_option_set(table, &v, cases[i].name, cases[i].text, &error);
        if (rc != cases[i].rc) {
            fail_msg("%s='%s' returned %d: %s", cases[i].name, cases[i].text, rc,
                     error.text);
        }
        if (rc != 0) {
            if (strstr(error.text, cases[i].result) == NULL) {
                fail_msg("%s='%s' said: %s", cases[i].name, cases[i].text, error.text);
            }
            assert_memory_equal(&v, &before, sizeof(v));
            continue;
        }
        char text[64];
        const struct sb_option *row = sb_option_find(table, cases[i].name);
        assert_non_null(row);
        sb_option_text(row, &v, text, sizeof(text));
        assert_string_equal(text, cases[i].result);
        struct values again = before;
        assert_int_equal(sb_option_set(table, &again, cases[i].name, text, NULL), 0);
        assert_memory_equal(&again, &v, sizeof(v));
    }
}

static void a_table_may_be_empty_or_absent(void **state)
{
    (void)state;
    struct sb_error error;
    int value = 7;
    sb_options_default(NULL, &value);
    sb_options_default(&table[7], &value);
    assert_int_equal(value, 7);
    assert_null(sb_option_find(NULL, "x"));
    assert_int_equal(sb_option_set(NULL, &value, "x", "1", &error), -ENOENT);
    assert_string_equal(error.text, "no option 'x': there is none");
    assert_int_equal(sb_options_check(NULL, &value, &error), 0);
}

static void unsound_tables_are_found(void **state)
{
    (void)state;
    struct values v;
    struct sb_error error;
    struct sb_option twice[] = {table[0], table[0], {0}};
    assert_int_equal(sb_options_check(twice, &v, &error), -EEXIST);
    struct sb_option outside[] = {table[0], {0}};
    outside[0].initial = "0";
    assert_int_equal(sb_options_check(outside, &v, &error), -ERANGE);
    outside[0].initial = NULL;
    assert_int_equal(sb_options_check(outside, &v, &error), -EINVAL);
    struct sb_option choiceless[] = {table[6], {0}};
    choiceless[0].choices = NULL;
    assert_int_equal(sb_options_check(choiceless, &v, &error), -EINVAL);
}

static void numbers_parse_without_a_row(void **state)
{
    (void)state;
    double value = -1;
    struct sb_error error;
    assert_int_equal(sb_parse_number(SB_BYTES, "64M", &value, &error), 0);
    assert_true(value == 0x1p26);
    assert_int_equal(sb_parse_number(SB_NS, "90s", &value, &error), 0);
    assert_true(value == 90e9);
    assert_int_equal(sb_parse_number(SB_NS, "10min", &value, &error), 0);
    assert_true(value == 600e9);
    assert_int_equal(sb_parse_number(SB_COUNT, "-1", &value, &error), -ERANGE);
    assert_int_equal(sb_parse_number(SB_FLAG, "1", &value, &error), -EINVAL);
    assert_true(value == 600e9);
}

static void every_double_comes_back(void **state)
{
    (void)state;
    static const double ratios[] = {0,    1.0 / 3, 0.1 + 0.2,   1e-300,   1e300,
                                    -0.5, 2e-7,    123456789.0, 0x1p-1074};
    for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
        union sb_number number = {.ratio = ratios[i]}, back;
        char text[SB_NUMBER_BYTES];
        sb_number_text(SB_RATIO, number, text, sizeof(text));
        assert_int_equal(sb_number_parse(SB_RATIO, text, &back, NULL), 0);
        assert_true(back.ratio == ratios[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_initial_values),
        cmocka_unit_test(texts_are_parsed_or_refused),
        cmocka_unit_test(a_table_may_be_empty_or_absent),
        cmocka_unit_test(unsound_tables_are_found),
        cmocka_unit_test(numbers_parse_without_a_row),
        cmocka_unit_test(every_double_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

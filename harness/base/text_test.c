// SPDX-License-Identifier: MIT
// Tests of error.h and text.h.
#include "harness/base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void failure_keeps_one_line(void **state)
{
    (void)state;
    struct sb_error error = {""};
    assert_int_equal(sb_fail(&error, -EINVAL, "bad '%s'", "a\nb\x7f"), -EINVAL);
    assert_string_equal(error.text, "bad 'a?b?'");
    // The old text may be an argument of the new one.
    assert_int_equal(sb_fail(&error, -EIO, "again: %s", error.text), -EIO);
    assert_string_equal(error.text, "again: bad 'a?b?'");
    assert_int_equal(sb_fail_in(&error, -EIO, "job.ini:%d", 7), -EIO);
    assert_string_equal(error.text, "job.ini:7: again: bad 'a?b?'");
    assert_int_equal(sb_fail(NULL, -EIO, "nobody reads this"), -EIO);
    assert_int_equal(sb_fail_in(NULL, -EIO, "nor this"), -EIO);
}

static void failure_cuts_long_lines(void **state)
{
    (void)state;
    struct sb_error error;
    char text[2 * sizeof(error.text)];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sb_fail(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
    sb_fail_in(&error, -EINVAL, "before");
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
    assert_memory_equal(error.text, "before: xxx", 11);
    sb_fail_in(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

static void figures_have_three_digits(void **state)
{
    (void)state;
    char text[SB_FORMAT_BYTES];
    assert_string_equal(sb_format_bytes(0, text, sizeof(text)), "0 B");
    assert_string_equal(sb_format_bytes(1000, text, sizeof(text)), "1000 B");
    assert_string_equal(sb_format_bytes(1536, text, sizeof(text)), "1.50 KiB");
    assert_string_equal(sb_format_bytes(64 << 20, text, sizeof(text)), "64.0 MiB");
    assert_string_equal(sb_format_bytes(0x1p64, text, sizeof(text)), "16777216 TiB");
    assert_string_equal(sb_format_ns(0.25, text, sizeof(text)), "0.25 ns");
    assert_string_equal(sb_format_ns(9.4, text, sizeof(text)), "9.40 ns");
    assert_string_equal(sb_format_ns(999.9, text, sizeof(text)), "1.00 us");
    assert_string_equal(sb_format_ns(12345, text, sizeof(text)), "12.3 us");
    assert_string_equal(sb_format_ns(5e9, text, sizeof(text)), "5.00 s");
    assert_string_equal(sb_format_count(7, text, sizeof(text)), "7");
    assert_string_equal(sb_format_count(340000, text, sizeof(text)), "340 k");
    assert_string_equal(sb_format_count(-1.5e6, text, sizeof(text)), "-1.50 M");
}

static void distance_counts_edits(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        uint32_t distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"kitten", "sitting", 3},
        {"mix", "MIX", 0},
        {"form", "from", 1},
        {"jemaloc", "jemalloc", 1},
        {"pair", "prodcon", 6},
        {"ab", "ba", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sb_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(sb_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static const char *const subjects[] = {"null", "malloc",    "jemalloc",
                                       "hh",   "boost_shm", NULL};

static void nearest_suggests_only_near_names(void **state)
{
    (void)state;
    assert_string_equal(sb_nearest("jemaloc", subjects), "jemalloc");
    assert_string_equal(sb_nearest("boost", subjects), "boost_shm");
    assert_string_equal(
        sb_nearest("h", (const char *const[]){"hh", NULL}) == NULL ? "none" : "some",
        "none");
    assert_null(sb_nearest("tcmalloc_minimal", subjects));
    assert_null(sb_nearest("", subjects));
    assert_null(sb_nearest("xyz", (const char *const[]){NULL}));
}

static void unknown_lists_and_suggests(void **state)
{
    (void)state;
    struct sb_error error;
    assert_int_equal(sb_unknown(&error, "subject", "maloc", subjects), -ENOENT);
    assert_string_equal(error.text, "no subject 'maloc', did you mean 'malloc'? "
                                    "there is: null, malloc, jemalloc, hh, boost_shm");
    assert_int_equal(sb_unknown(&error, "subject", "zzzz", subjects), -ENOENT);
    assert_null(strstr(error.text, "did you mean"));
    assert_int_equal(sb_unknown(&error, "option", "x", subjects + 5), -ENOENT);
    assert_string_equal(error.text, "no option 'x': there is none");

    const char *many[101];
    for (int i = 0; i < 100; i++) {
        many[i] = "some_name";
    }
    many[100] = NULL;
    assert_int_equal(sb_unknown(&error, "name", "q", many), -ENOENT);
    assert_string_equal(error.text + strlen(error.text) - 5, ", ...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_keeps_one_line),
        cmocka_unit_test(failure_cuts_long_lines),
        cmocka_unit_test(figures_have_three_digits),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(nearest_suggests_only_near_names),
        cmocka_unit_test(unknown_lists_and_suggests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

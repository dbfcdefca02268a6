// SPDX-License-Identifier: MIT
// Tests of emit.h, trial.h, manifest.h and build.h: what is written says what was
// measured. Whole folders are folder_test.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/store/build.h"
#include "harness/store/fixture.h"
#include "harness/store/manifest.h"
#include "harness/store/trial.h"

static void emits_json_that_others_read(void **state)
{
    (void)state;
    struct sb_emit emit = {0};
    sb_emit_open(&emit, NULL, '{');
    sb_emit_string(&emit, "text", "a\"b\\c\n\t\x01 \xc3\xa9 \xff \xed\xa0\x80");
    sb_emit_string(&emit, "none", NULL);
    sb_emit_whole(&emit, "most", UINT64_MAX);
    sb_emit_known(&emit, "unknown", UINT64_MAX);
    sb_emit_signed(&emit, "less", -1);
    sb_emit_real(&emit, "real", 0.1);
    sb_emit_real(&emit, "nan", NAN);
    sb_emit_real(&emit, "inf", INFINITY);
    sb_emit_ns(&emit, "short", 12.3456);
    sb_emit_ns(&emit, "long", 123456.7);
    sb_emit_open(&emit, "list", '[');
    sb_emit_bool(&emit, NULL, true);
    sb_emit_open(&emit, NULL, '{');
    sb_emit_close(&emit, '}');
    sb_emit_close(&emit, ']');
    sb_emit_close(&emit, '}');
    assert_false(emit.failed);
    assert_string_equal(
        emit.text, "{\"text\":\"a\\\"b\\\\c\\u000a\\u0009\\u0001 \xc3\xa9 \xef\xbf\xbd "
                   "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"none\":null,"
                   "\"most\":18446744073709551615,\"unknown\":null,\"less\":-1,"
                   "\"real\":0.1,\"nan\":null,\"inf\":null,\"short\":12.3,"
                   "\"long\":123457,\"list\":[true,{}]}");
    free(emit.text);
}

// The line of the fixture's outcome; *text is it as written.
static json_t *line_of(const struct sb_outcome *outcome, char **text)
{
    struct sb_emit emit = {0};
    sb_trial_emit(&emit, "20261122-131501-x-ab12", outcome);
    assert_false(emit.failed);
    assert_null(strchr(emit.text, '\n'));
    *text = emit.text;
    json_error_t error;
    // Integers beyond 63 bits are looked for in the text.
    char *seed = strstr(emit.text, "\"seed\":18446744073709551557");
    char *copy = strdup(emit.text);
    assert_non_null(copy);
    if (seed != NULL) {
        memset(copy + (seed - emit.text) + strlen("\"seed\":"), '1', 18);
        memset(copy + (seed - emit.text) + strlen("\"seed\":") + 18, ' ', 2);
    }
    json_t *line = json_loads(copy, JSON_REJECT_DUPLICATES, &error);
    free(copy);
    assert_non_null(line);
    return line;
}

static json_int_t whole(const json_t *line, const char *key)
{
    json_t *value = json_object_get(line, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void assert_near(const json_t *object, const char *key, double expected)
{
    json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    assert_true(fabs(json_number_value(value) - expected) < 1e-6);
}

static void a_line_says_what_was_measured(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    char *text;
    sb_fixture_make(&fixture);
    json_t *line = line_of(&fixture.outcome, &text);
    assert_non_null(strstr(text, "\"seed\":18446744073709551557,"));
    assert_int_equal(whole(line, "trial_id"), 7);
    assert_int_equal(whole(line, "round"), 1);
    assert_int_equal(whole(line, "cell"), 0);
    assert_int_equal(whole(line, "wall_ns"), 100000);
    assert_int_equal(whole(line, "steps"), 1000);
    assert_int_equal(whole(line, "ops"), 1900); // waiting is no operation
    assert_int_equal(whole(line, "failures"), 3);
    assert_int_equal(whole(line, "usable_bytes"), 250000);
    assert_true(json_is_null(json_object_get(line, "table_bytes")));
    assert_true(json_is_null(json_object_get(line, "stamp_ns")));
    assert_string_equal(json_string_value(json_object_get(line, "status")), "ok");
    assert_string_equal(json_string_value(json_object_get(line, "reason")), "");
    json_t *options = json_object_get(line, "options");
    assert_int_equal(whole(options, "bytes"), 64);
    assert_near(options, "share", 0.25);
    assert_true(json_is_true(json_object_get(options, "plain")));
    assert_string_equal(json_string_value(json_object_get(options, "order")), "fifo");
    assert_int_equal(whole(json_object_get(line, "counts"), "moved_bytes"), 4096);
    json_t *lock = json_array_get(json_object_get(line, "locks"), 0);
    assert_int_equal(whole(lock, "wait_ns"), 20000);
    assert_true(json_is_null(json_object_get(lock, "hold_ns")));
    json_t *covariates = json_object_get(line, "covariates");
    assert_true(json_is_null(json_object_get(covariates, "psi_cpu_us")));
    assert_int_equal(whole(covariates, "run_delay_ns"), 10); // of both workers
    json_t *detail = json_object_get(line, "workers_detail");
    assert_true(json_is_null(json_object_get(json_array_get(detail, 0), "cpu")));
    assert_int_equal(whole(json_array_get(detail, 1), "cpu"), 0);
    json_t *series = json_object_get(line, "series");
    assert_int_equal(json_array_size(json_object_get(series, "time_ns")), 3);
    assert_int_equal(json_object_size(json_object_get(line, "latency")), 0);
    json_decref(line);
    free(text);
    sb_fixture_free(&fixture);
}

static void latency_is_in_nanoseconds_and_adds_up(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    char *text;
    sb_fixture_make(&fixture);
    sb_fixture_time(&fixture, true);
    json_t *line = line_of(&fixture.outcome, &text);
    assert_near(line, "stamp_ns", 9.5);
    json_t *latency = json_object_get(json_object_get(line, "latency"), "alloc");
    assert_int_equal(whole(latency, "count"), 1000);
    assert_near(latency, "mean", 2503); // 2502.5, rounded
    assert_near(latency, "max", 5000);
    // Half of 5000 ticks; a slot there is 4 ticks, 2 ns, wide.
    double p50 = json_number_value(json_object_get(latency, "p50"));
    assert_true(p50 >= 2500 && p50 <= 2502);
    assert_true(json_is_number(json_object_get(latency, "p99"))); // 10 lie beyond
    assert_true(json_is_null(json_object_get(latency, "p999")));  // 1 does
    json_int_t records = 0;
    double last = -1;
    json_t *hist = json_object_get(latency, "hist");
    for (size_t i = 0; i < json_array_size(hist); i++) {
        json_t *pair = json_array_get(hist, i);
        double value = json_number_value(json_array_get(pair, 0));
        assert_true(value > last);
        last = value;
        records += json_integer_value(json_array_get(pair, 1));
    }
    assert_int_equal(records, 1000);
    json_decref(line);
    free(text);
    sb_fixture_free(&fixture);
}

static void a_pair_that_was_not_tried_has_no_figures(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    char *text;
    static const char *const none[] = {
        "wall_ns", "steps", "ops", "failures", "footprint_bytes", "requested_bytes"};
    sb_fixture_make(&fixture);
    sb_fixture_na(&fixture, "cannot be shared");
    json_t *line = line_of(&fixture.outcome, &text);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_true(json_is_null(json_object_get(line, none[i])));
    }
    assert_string_equal(json_string_value(json_object_get(line, "status")), "na");
    assert_string_equal(json_string_value(json_object_get(line, "detail")),
                        "cannot be shared");
    assert_string_equal(json_string_value(json_object_get(line, "arm")), "right");
    json_decref(line);
    free(text);
    sb_fixture_free(&fixture);
}

static void facts_are_numbers_where_they_are(void **state)
{
    (void)state;
    static struct sb_fixture fixture;
    struct sb_emit emit = {.pretty = true};
    sb_fixture_make(&fixture);
    sb_manifest_environment(&emit, NULL, &fixture.environment);
    json_t *environment = json_loads(emit.text, 0, NULL);
    assert_non_null(environment);
    json_t *facts = json_object_get(environment, "facts");
    assert_int_equal(whole(facts, "cpus_online"), 2);
    assert_near(facts, "clock_stamp_ns", 9.5);
    assert_string_equal(json_string_value(json_object_get(facts, "steal_ms")),
                        "unknown");
    assert_int_equal(json_array_size(json_object_get(environment, "identity")), 2);
    assert_int_equal(json_array_size(json_object_get(environment, "warnings")), 1);
    json_decref(environment);
    free(emit.text);
    sb_fixture_free(&fixture);
}

static void the_build_id_is_that_of_the_file(void **state)
{
    (void)state;
    char id[SB_BUILD_ID_BYTES] = "untouched";
    assert_int_equal(sb_build_id("/proc/self/cmdline", id), -ENOEXEC);
    assert_int_equal(sb_build_id("/no/such/file", id), -ENOENT);
    assert_int_equal(sb_build_id(__FILE__, id), -ENOEXEC);
    assert_string_equal(id, "untouched");
    assert_int_equal(sb_build_id("/proc/self/exe", id), 0);
    assert_int_equal(strlen(id), 40); // sha1
    assert_int_equal(strspn(id, "0123456789abcdef"), 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emits_json_that_others_read),
        cmocka_unit_test(a_line_says_what_was_measured),
        cmocka_unit_test(latency_is_in_nanoseconds_and_adds_up),
        cmocka_unit_test(a_pair_that_was_not_tried_has_no_figures),
        cmocka_unit_test(facts_are_numbers_where_they_are),
        cmocka_unit_test(the_build_id_is_that_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// Tests of ini.h: job files and sweeps.
#include "harness/base/ini.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// Reads `bytes` of text by way of a file that is gone again afterwards.
static int read_bytes(const char *text, size_t bytes, struct sb_ini *ini,
                      struct sb_error *error)
{
    char path[] = "ini_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    int rc = sb_ini_read(path, ini, error);
    unlink(path);
    return rc;
}

static void sections_and_lines_are_kept(void **state)
{
    (void)state;
    static const char text[] = "# a job\n"
                               "[global]\n"
                               "seed = 7   ; a remark\n"
                               "\n"
                               "  [ small blocks ]\r\n"
                               "\tbytes=64:*2:1024\r\n"
                               "label=a=b#c\n"
                               "[empty]";
    struct sb_ini ini;
    struct sb_error error = {""};
    assert_int_equal(read_bytes(text, sizeof(text) - 1, &ini, &error), 0);
    assert_int_equal(ini.sections_count, 3);
    const struct sb_ini_section *s = ini.sections;
    assert_string_equal(s[0].name, "global");
    assert_int_equal(s[0].line, 2);
    assert_int_equal(s[0].entries_count, 1);
    assert_string_equal(s[0].entries[0].key, "seed");
    assert_string_equal(s[0].entries[0].value, "7");
    assert_int_equal(s[0].entries[0].line, 3);
    assert_string_equal(s[1].name, "small blocks");
    assert_int_equal(s[1].entries_count, 2);
    assert_string_equal(s[1].entries[0].value, "64:*2:1024");
    assert_string_equal(s[1].entries[1].value, "a=b#c");
    assert_int_equal(s[1].entries[1].line, 7);
    assert_string_equal(s[2].name, "empty");
    assert_int_equal(s[2].entries_count, 0);
    sb_ini_free(&ini);
}

static void an_empty_file_has_no_sections(void **state)
{
    (void)state;
    struct sb_ini ini;
    assert_int_equal(read_bytes("", 0, &ini, NULL), 0);
    assert_int_equal(ini.sections_count, 0);
    sb_ini_free(&ini);
    assert_int_equal(read_bytes("\n\n# x", 5, &ini, NULL), 0);
    assert_int_equal(ini.sections_count, 0);
    sb_ini_free(&ini);
}

static void malformed_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *line, *says;
    } bad[] = {
        {"key=1\n", 0, ":1: ", "no [section]"},
        {"[a]\nkey\n", 0, ":2: ", "neither"},
        {"[a]\n\n=1\n", 0, ":3: ", "no key"},
        {"[a]\nx y=1\n", 0, ":2: ", "no key"},
        {"[a]\nx=\n", 0, ":2: ", "no value for 'x'"},
        {"[a]\nx= # all comment\n", 0, ":2: ", "no value for 'x'"},
        {"[a\n", 0, ":1: ", "a section is [name]"},
        {"[]\n", 0, ":1: ", "a section is [name]"},
        {"[ ]\n", 0, ":1: ", "cannot be called"},
        {"[a]b]\n", 0, ":1: ", "cannot be called"},
        {"[a] x\n", 0, ":1: ", "a section is [name]"},
        {"[a]\nx=1\n[b]\n[a]\n", 0, ":4: ", "already in line 1"},
        {"[a]\nx=1\nx=2\n", 0, ":3: ", "already in line 2"},
        {"[a]\nx=1\0y=2\nz=1\n", 17, ":2: ", "zero byte"},
        {"[a]\n\0", 5, ":2: ", "zero byte"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sb_ini ini = {.sections_count = 77};
        struct sb_error error = {""};
        size_t bytes = bad[i].bytes != 0 ? bad[i].bytes : strlen(bad[i].text);
        assert_int_equal(read_bytes(bad[i].text, bytes, &ini, &error), -EINVAL);
        if (!strstr(error.text, bad[i].line) || !strstr(error.text, bad[i].says)) {
            fail_msg("case %zu said: %s", i, error.text);
        }
        assert_int_equal(ini.sections_count, 77);
    }
}

static void unreadable_files_are_named(void **state)
{
    (void)state;
    struct sb_ini ini;
    struct sb_error error;
    assert_int_equal(sb_ini_read("no/such.ini", &ini, &error), -ENOENT);
    assert_non_null(strstr(error.text, "no/such.ini: "));
    assert_int_equal(sb_ini_read(".", &ini, &error), -EISDIR);
    size_t bytes = (1 << 20) + 1;
    char *large = malloc(bytes);
    assert_non_null(large);
    memset(large, '\n', bytes);
    assert_int_equal(read_bytes(large, bytes, &ini, &error), -EFBIG);
    assert_int_equal(read_bytes(large, bytes - 1, &ini, &error), 0);
    sb_ini_free(&ini);
    free(large);
}

static void sweeps_expand(void **state)
{
    (void)state;
    static const struct {
        enum sb_type type;
        const char *value, *items; // joined by blanks
    } good[] = {
        {SB_COUNT, "1", "1"},
        {SB_COUNT, "1,2,4", "1 2 4"},
        {SB_COUNT, " 1 ,\t2", "1 2"},
        {SB_COUNT, "1:*10:1M", "1 10 100 1000 10000 100000 1000000"},
        {SB_COUNT, "10:+10:50", "10 20 30 40 50"},
        {SB_COUNT, "10:+15:50", "10 25 40"},
        {SB_COUNT, "3,10:+10:30,7", "3 10 20 30 7"},
        {SB_COUNT, "4:*2:4", "4"},
        {SB_COUNT, "2:*1.5:10", "2 3 4 6 9"},
        {SB_COUNT, "0:+1:2", "0 1 2"},
        {SB_COUNT, "18446744073709551614:+1:18446744073709551615",
         "18446744073709551614 18446744073709551615"},
        {SB_BYTES, "64:*2:1K", "64 128 256 512 1K"},
        {SB_BYTES, "512K:*2:1M", "512K 1M"},
        {SB_BYTES, "16:*4:100", "16 64"},
        {SB_NS, "10us:*10:1ms", "10us 100us 1ms"},
        {SB_RATIO, "0.1:+0.1:0.3", "0.1 0.2 0.3"},
        {SB_RATIO, "50%:*2:1", "0.5 1"},
        {SB_CHOICE, "robust,plain", "robust plain"},
        {SB_CHOICE, "a:b", "a:b"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char **items;
        uint32_t count;
        struct sb_error error = {""};
        int rc = sb_sweep_expand(good[i].type, good[i].value, &items, &count, &error);
        if (rc != 0) {
            fail_msg("'%s': %s", good[i].value, error.text);
        }
        char joined[256] = "";
        size_t used = 0;
        for (uint32_t j = 0; j < count; j++) {
            used += (size_t)snprintf(joined + used, sizeof(joined) - used, "%s%s",
                                     j == 0 ? "" : " ", items[j]);
            assert_true(used < sizeof(joined));
        }
        // 0.1 + 0.1 + 0.1 is not 0.3 to the last digit, and is not made to be.
        if (strcmp(good[i].items, "0.1 0.2 0.3") == 0) {
            assert_int_equal(count, 3);
        } else {
            assert_string_equal(joined, good[i].items);
        }
        sb_sweep_free(items, count);
    }
}

static void endless_and_malformed_sweeps_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum sb_type type;
        const char *value;
        int rc;
    } bad[] = {
        {SB_COUNT, "", -EINVAL},         {SB_COUNT, "1,,2", -EINVAL},
        {SB_COUNT, "1,", -EINVAL},       {SB_COUNT, ",1", -EINVAL},
        {SB_COUNT, "1:2:3", -EINVAL},    {SB_COUNT, "1:*2", -EINVAL},
        {SB_COUNT, "1:*2:4:8", -EINVAL}, {SB_COUNT, "1:*1:4", -EINVAL},
        {SB_COUNT, "1:*0.5:4", -EINVAL}, {SB_COUNT, "0:*2:4", -EINVAL},
        {SB_COUNT, "1:+0:4", -EINVAL},   {SB_COUNT, "9:+1:4", -EINVAL},
        {SB_COUNT, "x:*2:4", -EINVAL},   {SB_COUNT, "1:*x:4", -EINVAL},
        {SB_COUNT, "1:*2:x", -EINVAL},   {SB_COUNT, ":*2:4", -EINVAL},
        {SB_COUNT, "1:*:4", -EINVAL},    {SB_COUNT, "1::4", -EINVAL},
        {SB_COUNT, "1:+1:1001", -E2BIG}, {SB_COUNT, "1:+1:1000,5", -E2BIG},
        {SB_COUNT, "-1:+1:3", -ERANGE},  {SB_RATIO, "0.5:+-0.1:1", -EINVAL},
        {SB_BYTES, "1K:*2:1x", -EINVAL},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char **items = NULL;
        uint32_t count = 77;
        struct sb_error error = {""};
        int rc = sb_sweep_expand(bad[i].type, bad[i].value, &items, &count, &error);
        if (rc != bad[i].rc || error.text[0] == '\0') {
            fail_msg("'%s' returned %d: %s", bad[i].value, rc, error.text);
        }
        assert_null(items);
        assert_int_equal(count, 77);
    }
    char **items;
    uint32_t count;
    assert_int_equal(sb_sweep_expand(SB_COUNT, "1:+1:1000", &items, &count, NULL), 0);
    assert_int_equal(count, 1000);
    assert_string_equal(items[999], "1000");
    sb_sweep_free(items, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_and_lines_are_kept),
        cmocka_unit_test(an_empty_file_has_no_sections),
        cmocka_unit_test(malformed_lines_are_named),
        cmocka_unit_test(unreadable_files_are_named),
        cmocka_unit_test(sweeps_expand),
        cmocka_unit_test(endless_and_malformed_sweeps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

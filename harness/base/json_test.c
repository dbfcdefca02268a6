// SPDX-License-Identifier: MIT
// Tests of json.h.
#include "harness/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// Each test in a folder of its own, which must be empty but for what it names.
static int enter_folder(void **state)
{
    char *path = strdup("json_test.XXXXXX");
    *state = path;
    return path == NULL || mkdtemp(path) == NULL || chdir(path) != 0;
}

static int leave_folder(void **state)
{
    if (chdir("..") != 0 || rmdir(*state) != 0) {
        return -1; // something was left behind
    }
    free(*state);
    return 0;
}

static int entries(void)
{
    int count = 0;
    DIR *folder = opendir(".");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 2;
}

static void values_come_back(void **state)
{
    (void)state;
    struct sb_error error = {""};
    json_t *value = json_pack("{s:I, s:f, s:[s, n]}", "seed", (json_int_t)INT64_MAX,
                              "third", 1.0 / 3, "list", "text");
    assert_non_null(value);
    assert_int_equal(sb_json_write("a.json", value, &error), 0);
    assert_int_equal(entries(), 1);
    json_t *back = NULL;
    assert_int_equal(sb_json_read("a.json", &back, &error), 0);
    assert_true(json_equal(value, back));
    json_decref(back);

    // A second write replaces the first whole.
    json_t *small = json_integer(7);
    assert_int_equal(sb_json_write("a.json", small, &error), 0);
    assert_int_equal(sb_json_read("a.json", &back, &error), 0);
    assert_true(json_equal(small, back));
    json_decref(back);
    json_decref(small);
    json_decref(value);
    unlink("a.json");
}

static void lines_are_appended(void **state)
{
    (void)state;
    struct sb_error error = {""};
    int fd = open("a.ndjson", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++) {
        json_t *value = json_pack("{s:i,s:s}", "trial", i, "text", "a\nb");
        assert_int_equal(sb_json_append(fd, "a.ndjson", value, &error), 0);
        json_decref(value);
    }
    close(fd);
    char text[256] = "";
    FILE *file = fopen("a.ndjson", "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, "{\"trial\":0,\"text\":\"a\\nb\"}\n"
                              "{\"trial\":1,\"text\":\"a\\nb\"}\n"
                              "{\"trial\":2,\"text\":\"a\\nb\"}\n");
    unlink("a.ndjson");
}

// A file size limit cuts writes short as a full disk does. RLIM_INFINITY lifts it.
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
}

static void half_a_line_is_taken_back(void **state)
{
    (void)state;
    int fd = open("a.ndjson", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    json_t *value = json_string("0123456789"); // 13 bytes a line
    struct sb_error error = {""};
    assert_int_equal(sb_json_append(fd, "a.ndjson", value, &error), 0);
    limit_files(20);
    int rc = sb_json_append(fd, "a.ndjson", value, &error);
    limit_files(RLIM_INFINITY);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(error.text, "a.ndjson: "));
    struct stat now;
    assert_int_equal(fstat(fd, &now), 0);
    assert_int_equal(now.st_size, 13);
    json_decref(value);
    close(fd);
    unlink("a.ndjson");
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct sb_error error = {""};
    assert_int_equal(sb_file_write("a", "old", 3, &error), 0);
    limit_files(2);
    int rc = sb_file_write("a", "newer", 5, &error);
    limit_files(RLIM_INFINITY);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(entries(), 1);
    char text[8] = "";
    int fd = open("a", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    assert_string_equal(text, "old");
    close(fd);
    unlink("a");
}

static void failures_name_the_file(void **state)
{
    (void)state;
    struct sb_error error = {""};
    json_t *value = NULL;
    assert_int_equal(sb_json_read("none.json", &value, &error), -ENOENT);
    assert_non_null(strstr(error.text, "none.json: "));
    assert_int_equal(sb_file_write("bad.json", "{\n \"a\": }", 9, &error), 0);
    assert_int_equal(sb_json_read("bad.json", &value, &error), -EINVAL);
    assert_non_null(strstr(error.text, "bad.json:2:"));
    assert_int_equal(sb_file_write("bad.json", "{\"a\":1,\"a\":2}", 13, &error), 0);
    assert_int_equal(sb_json_read("bad.json", &value, &error), -EINVAL);
    assert_null(value);
    unlink("bad.json");
    assert_int_equal(sb_file_write("no/such/folder", "x", 1, &error), -ENOENT);
    assert_int_equal(sb_json_read(".", &value, &error), -EISDIR);
    assert_int_equal(sb_file_write(".", "x", 1, &error), -EBUSY);
    assert_int_equal(entries(), 0);
}

int main(void)
{
#define IN_FOLDER(test)                                                                \
    cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(values_come_back),
        IN_FOLDER(lines_are_appended),
        IN_FOLDER(half_a_line_is_taken_back),
        IN_FOLDER(a_failed_write_leaves_the_old_file),
        IN_FOLDER(failures_name_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

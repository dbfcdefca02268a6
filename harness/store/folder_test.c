// SPDX-License-Identifier: MIT
// Tests of store.h and folder.h: what is there after a kill, on a full disk, or when
// the folder cannot be made. Each test works in a new folder of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/store/fixture.h"
#include "harness/store/folder.h"
#include "harness/store/store.h"

struct bed {
    struct sb_fixture fixture;
    struct sb_store_about about;
    struct sb_tally *tally;
    struct sb_error error;
    char root[64];
};

static char *const words[] = {NULL};

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    if (bed == NULL) {
        return -1;
    }
    strcpy(bed->root, "bed.XXXXXX");
    sb_fixture_make(&bed->fixture);
    bed->about = (struct sb_store_about){
        .plan = &bed->fixture.plan,
        .environment = &bed->fixture.environment,
        .argv = words,
    };
    *state = bed;
    return mkdtemp(bed->root) == NULL || chdir(bed->root) != 0 ||
           sb_tally_make(&bed->fixture.plan, &bed->tally) != 0;
}

// Fails where anything is left: each test removes what it may leave.
static int tear_down(void **state)
{
    struct bed *bed = *state;
    int rc = chdir("..") != 0 || rmdir(bed->root) != 0;
    sb_tally_free(bed->tally);
    sb_fixture_free(&bed->fixture);
    free(bed);
    return rc;
}

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = NULL;
    size_t room = 0;
    if (getdelim(&text, &room, '\0', file) < 0) {
        text[0] = '\0';
    }
    fclose(file);
    return text;
}

// Lines of a file; -1 where the last has no end.
static int lines_of(const char *path)
{
    char *text = text_of(path);
    int lines = 0;
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    size_t length = strlen(text);
    bool torn = length > 0 && text[length - 1] != '\n';
    free(text);
    return torn ? -1 : lines;
}

static void remove_folder(const char *path)
{
    struct sb_folder folder = {.made = true};
    snprintf(folder.path, sizeof folder.path, "%s", path);
    sb_folder_discard(&folder);
}

static void run_ids_sort_and_are_names(void **state)
{
    (void)state;
    char id[64];
    sb_folder_run_id(1795353301.9, "a b/c-d", id, sizeof id);
    assert_memory_equal(id, "20261122-131501-a_b_c_d-", 24);
    assert_int_equal(strlen(id), 28);
    sb_folder_run_id(0, "", id, sizeof id);
    assert_memory_equal(id, "19700101-000000-custom-", 23);
}

static void the_default_place_is_made_and_taken_back(void **state)
{
    struct bed *bed = *state;
    struct sb_store *store;
    assert_int_equal(sb_store_open(&bed->about, &store, &bed->error), 0);
    assert_memory_equal(sb_store_folder(store), "shmbench-results/2", 18);
    sb_store_discard(store);
    assert_int_equal(access("shmbench-results", F_OK), -1);
    assert_int_equal(mkdir("results", 0777), 0);
    assert_int_equal(sb_store_open(&bed->about, &store, &bed->error), 0);
    assert_memory_equal(sb_store_folder(store), "results/2", 9);
    sb_store_discard(store);
    assert_int_equal(rmdir("results"), 0); // stays, empty: it was there before
}

static void refuse(struct bed *bed, const char *out, int code, const char *says)
{
    struct sb_store *store = NULL;
    bed->about.out = out;
    bed->error.text[0] = '\0';
    assert_int_equal(sb_store_open(&bed->about, &store, &bed->error), code);
    assert_null(store);
    assert_non_null(strstr(bed->error.text, out));
    assert_non_null(strstr(bed->error.text, says));
    assert_null(strchr(bed->error.text, '\n'));
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    struct bed *bed = *state;
    refuse(bed, "no/such", -ENOENT, "does not exist");
    assert_int_equal(mkdir("used", 0777), 0);
    int fd = open("used/manifest.json", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    close(fd);
    refuse(bed, "used", -ENOTEMPTY, "another run");
    refuse(bed, "used/manifest.json", -ENOTDIR, "is a file");
    assert_int_equal(unlink("used/manifest.json"), 0);
    assert_int_equal(chmod("used", 0555), 0);
    if (geteuid() != 0) { // root may write all the same
        refuse(bed, "used", -EACCES, "Permission denied");
    }
    assert_int_equal(rmdir("used"), 0);
    refuse(bed, "/proc/none", -ENOENT, "/proc/none");
}

static void an_empty_folder_may_be_used_and_stays(void **state)
{
    struct bed *bed = *state;
    struct sb_store *store;
    assert_int_equal(mkdir("mine", 0777), 0);
    bed->about.out = "mine/";
    assert_int_equal(sb_store_open(&bed->about, &store, &bed->error), 0);
    assert_string_equal(sb_store_folder(store), "mine");
    sb_store_discard(store);
    assert_int_equal(rmdir("mine"), 0);
}

static void the_manifest_tells_how_it_ended(void **state)
{
    struct bed *bed = *state;
    struct sb_store *store;
    bed->about.out = "out";
    assert_int_equal(sb_store_open(&bed->about, &store, &bed->error), 0);
    char *text = text_of("out/manifest.json");
    assert_non_null(strstr(text, "\"state\": \"running\""));
    assert_non_null(strstr(text, "\"calibrated\": false"));
    free(text);
    bed->fixture.cells[0].steps = 12345;
    assert_int_equal(sb_store_calibrated(store, &bed->error), 0);
    text = text_of("out/manifest.json");
    assert_non_null(strstr(text, "\"steps\": 12345"));
    assert_non_null(strstr(text, "\"calibrated\": true"));
    free(text);
    assert_int_equal(
        sb_store_close(store, bed->tally, SB_BROKEN, "a reason", &bed->error), 0);
    text = text_of("out/manifest.json");
    assert_non_null(strstr(text, "\"state\": \"failed\""));
    assert_non_null(strstr(text, "\"failure\": \"a reason\""));
    free(text);
    text = text_of("out/events.ndjson");
    assert_non_null(strstr(text, "\"event\":\"calibrated\""));
    assert_non_null(strstr(text, "\"event\":\"failed\""));
    free(text);
    remove_folder("out");
}

// In a process of its own: writes trials and is killed between two.
static void write_and_die(struct bed *bed, int trials)
{
    struct sb_store *store;
    bed->about.out = "out";
    if (sb_store_open(&bed->about, &store, &bed->error) == 0) {
        for (int i = 0; i < trials; i++) {
            sb_store_trial(store, &bed->fixture.outcome, &bed->error);
        }
        kill(getpid(), SIGKILL);
    }
    _exit(1);
}

static void a_killed_run_keeps_every_finished_trial(void **state)
{
    struct bed *bed = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_and_die(bed, 37);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(lines_of("out/trials.ndjson"), 37);
    char *text = text_of("out/manifest.json");
    assert_non_null(strstr(text, "\"state\": \"running\""));
    free(text);
    remove_folder("out");
}

// A disk of 256 KiB where this process may mount one, else a limit on each file's size.
static int make_disk_small(void)
{
    if (unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", ".", "tmpfs", 0, "size=256k") == 0) {
        return chdir(".") == 0 ? ENOSPC : -1;
    }
    struct rlimit limit = {256 << 10, 256 << 10};
    signal(SIGXFSZ, SIG_IGN);
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 ? EFBIG : -1;
}

// Returns 0, or the number of the step that went wrong.
static int fill_disk(struct bed *bed)
{
    char here[4096];
    int full = make_disk_small();
    // The mount lies over the folder by its name; enter it anew.
    if (full < 0 || getcwd(here, sizeof here) == NULL || chdir(here) != 0) {
        return 1;
    }
    struct sb_store *store;
    bed->about.out = "out";
    if (sb_store_open(&bed->about, &store, &bed->error) != 0) {
        return 2;
    }
    sb_fixture_time(&bed->fixture, true);
    int written = 0, rc = 0;
    while (written < 1000) {
        rc = sb_store_trial(store, &bed->fixture.outcome, &bed->error);
        if (rc != 0) {
            break;
        }
        written++;
    }
    if (rc != -full) {
        return 3;
    }
    if (strstr(bed->error.text, "out/trials.ndjson") == NULL) {
        return 4;
    }
    if (written == 0 || lines_of("out/trials.ndjson") != written) {
        return 5;
    }
    // The end cannot be noted on a full disk; the first manifest must then still stand.
    rc = sb_store_close(store, bed->tally, SB_BROKEN, "full", &bed->error);
    char *text = text_of("out/manifest.json");
    bool whole = strstr(text, rc == 0 ? "\"failed\"" : "\"state\": ") != NULL &&
                 text[strlen(text) - 1] == '}';
    free(text);
    if (!whole || lines_of("out/trials.ndjson") != written) {
        return 6;
    }
    remove_folder("out");
    return 0;
}

static void a_full_disk_loses_no_finished_trial(void **state)
{
    struct bed *bed = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(fill_disk(bed));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define IN_BED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_ids_sort_and_are_names),
        IN_BED(the_default_place_is_made_and_taken_back),
        IN_BED(a_folder_that_cannot_be_made_is_named),
        IN_BED(an_empty_folder_may_be_used_and_stays),
        IN_BED(the_manifest_tells_how_it_ended),
        IN_BED(a_killed_run_keeps_every_finished_trial),
        IN_BED(a_full_disk_loses_no_finished_trial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

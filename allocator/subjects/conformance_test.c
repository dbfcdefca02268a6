// SPDX-License-Identifier: MIT
// Every subject of the registry against the contract of allocator/subject.h.
//
// Built on: conformance.h, cmocka. Concurrency: each case is a child process.
// Why this way: one table of cases serves all subjects, so a new one is under test by
//   its line in subjects.def, with each choice of its options and every case that its
//   capabilities promise. A subject that is not installed is reported as skipped, with
//   the reason that its probe gives.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocator/subjects/conformance.h"

enum { CASE_TIMEOUT_S = 60, EXIT_SKIP = 77, TESTS_MAX = 512 };

struct subject_case {
    const struct sb_subject *subject;
    char setting[64]; // "option=choice", or ""
    char name[128];
    void (*run)(const struct sb_subject *subject, const char *setting);
};

enum { FREES = SB_CAP_REMOTE_FREE | SB_CAP_OWNER_FREE };

static const struct {
    const char *name;
    void (*run)(const struct sb_subject *subject, const char *setting);
    uint32_t all, any, none; // capabilities that the case wants, or does not
} cases[] = {
    {"sizes", case_sizes, 0, 0, 0},
    {"contents", case_contents, 0, 0, 0},
    {"huge", case_huge, 0, 0, 0},
    {"exhaustion", case_exhaustion, SB_CAP_SHARE, 0, SB_CAP_FORGETS},
    {"grow", case_grow, SB_CAP_REALLOC, 0, 0},
    {"compact", case_compact, SB_CAP_COMPACT, 0, 0},
    {"threads", case_threads, 0, FREES, 0},
    {"media", case_media, SB_CAP_SHARE, 0, 0},
    {"too small", case_too_small, SB_CAP_SHARE, 0, 0},
    {"full medium", case_full_medium, SB_CAP_SHARE, 0, SB_CAP_FORGETS},
    {"other layout", case_other_layout, SB_CAP_SHARE, 0, 0},
    {"remote free refills", case_remote_free_refills, SB_CAP_SHARE, FREES, 0},
    {"pins", case_pins, SB_CAP_PIN, 0, 0},
    {"exclusive", case_exclusive, SB_CAP_SHARE | SB_CAP_EXCLUSIVE, 0, 0},
};

static void run_case(void **state)
{
    const struct subject_case *test = *state;
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        conform_name = test->name;
        alarm(CASE_TIMEOUT_S);
        test->run(test->subject, test->setting);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    // What a crashed case left behind, so that the next one does not stumble over it.
    char path[128];
    snprintf(path, sizeof path, "/dev/shm/shmbench-conform-%d", child);
    unlink(path);
    snprintf(path, sizeof path, "./shmbench-conform-%d", child);
    unlink(path);
    if (WIFSIGNALED(status)) {
        fail_msg("%s: %s", test->name,
                 WTERMSIG(status) == SIGALRM ? "hung" : strsignal(WTERMSIG(status)));
    }
    if (WEXITSTATUS(status) == EXIT_SKIP) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_validate(void **state)
{
    const struct subject_case *test = *state;
    struct sb_error error = {""};
    const struct sb_subject *found = NULL;
    if (sb_subject_validate(test->subject, &error) != 0) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(sb_subject_find(test->subject->name, &found, &error), 0);
    assert_ptr_equal(found, test->subject);
    assert_int_equal(test->subject->abi, SB_SUBJECT_ABI);
    assert_int_equal(test->subject->size, sizeof(struct sb_subject));
}

static struct subject_case store[TESTS_MAX];
static struct CMUnitTest tests[TESTS_MAX];
static size_t tests_count;

static void add(const struct sb_subject *subject, const char *setting, const char *name,
                void (*run)(const struct sb_subject *, const char *))
{
    struct subject_case *test = &store[tests_count];
    assert_true(tests_count < TESTS_MAX);
    test->subject = subject;
    test->run = run;
    snprintf(test->setting, sizeof test->setting, "%s", setting);
    snprintf(test->name, sizeof test->name, "%s%s%s: %s", subject->name,
             setting[0] != '\0' ? " " : "", setting, name);
    tests[tests_count++] =
        (struct CMUnitTest){.name = test->name,
                            .test_func = run != NULL ? run_case : run_validate,
                            .initial_state = test};
}

static void add_all(const struct sb_subject *subject, const char *setting,
                    const char *only)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t has = subject->capabilities;
        bool fits = (has & cases[i].all) == cases[i].all &&
                    (cases[i].any == 0 || (has & cases[i].any) != 0) &&
                    (has & cases[i].none) == 0;
        if (fits && (only == NULL || strcmp(only, cases[i].name) == 0)) {
            add(subject, setting, cases[i].name, cases[i].run);
        }
    }
}

// conformance_test [subject [case]]
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--peer") == 0) {
        return peer_main(argc, argv);
    }
    if (sb_subjects_prepare()) {
        execv("/proc/self/exe", argv);
    }
    for (size_t i = 0; sb_subjects[i] != NULL; i++) {
        const struct sb_subject *subject = sb_subjects[i];
        const struct sb_option *row = subject->options;
        if (argc > 1 && strcmp(argv[1], subject->name) != 0) {
            continue;
        }
        add(subject, "", "descriptor", NULL);
        add_all(subject, "", argc > 2 ? argv[2] : NULL);
        for (; row != NULL && row->name != NULL; row++) {
            for (size_t c = 0; row->type == SB_CHOICE && row->choices[c] != NULL; c++) {
                char setting[64];
                if (strcmp(row->choices[c], row->initial) != 0) {
                    snprintf(setting, sizeof setting, "%s=%s", row->name,
                             row->choices[c]);
                    add_all(subject, setting, argc > 2 ? argv[2] : NULL);
                }
            }
        }
    }
    return _cmocka_run_group_tests("conformance", tests, tests_count, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// Plans from job files and requests: expansion, reasons, and every complaint.
//
// Built on: plan.h, broken.h.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/run/broken.h"
#include "harness/run/builder.h"

static void write_job(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct sb_plan *make(const struct sb_request *request)
{
    struct sb_plan *plan;
    struct sb_error error = {{0}};
    if (sb_plan_make(request, &plan, &error) != 0) {
        fail_msg("%s", error.text);
    }
    return plan;
}

static struct sb_plan *make_job(const char *text)
{
    const char *const jobs[] = {"plan.ini"};
    struct sb_request request = {.jobs = jobs, .jobs_count = 1};
    write_job(jobs[0], text);
    struct sb_plan *plan = make(&request);
    unlink(jobs[0]);
    return plan;
}

static void test_expansion(void **state)
{
    (void)state;
    struct sb_plan *plan = make_job("[global]\n"
                                    "subjects = null, malloc\n"
                                    "workers = 1,2\n"
                                    "rounds = 5\n"
                                    "trial = 20ms\n"
                                    "[small]\n"
                                    "workload = pair\n"
                                    "bytes = 64:*4:1024,100\n"
                                    "[pair]\n"
                                    "workers = 3\n"
                                    "steps = 2k\n");
    assert_string_equal(plan->profile, "plan.ini");
    assert_int_equal(plan->settings.rounds, 5);
    assert_int_equal(plan->settings.trial_ns, 20000000);
    assert_int_equal(plan->arms_count, 2);
    assert_string_equal(plan->arms[0].label, "null");
    assert_string_equal(plan->arms[1].label, "malloc");
    assert_int_equal(plan->arms[1].medium, 0);
    // 64, 256, 1024, 100, each with one and two workers; then one with three.
    static const char *const sets[] = {"", "bytes=256", "bytes=1K", "bytes=100"};
    assert_int_equal(plan->cells_count, 9);
    for (uint32_t i = 0; i < 8; i++) {
        const struct sb_cell *cell = &plan->cells[i];
        assert_string_equal(cell->section, "small");
        assert_string_equal(cell->workload->name, "pair");
        assert_string_equal(cell->set, sets[i / 2]);
        assert_int_equal(cell->workers, 1 + i % 2);
        assert_int_equal(cell->steps, 0);
    }
    assert_string_equal(plan->cells[8].section, "pair");
    assert_int_equal(plan->cells[8].workers, 3);
    assert_int_equal(plan->cells[8].steps, 2000);
    assert_true(plan->cells[8].steps_fixed);
    uint64_t trials, total_ns;
    sb_plan_expect(plan, &trials, &total_ns);
    assert_int_equal(trials, 9 * 2 * (1 + 5 + plan->settings.latency_rounds));
    assert_true(total_ns >= trials * 20000000);
    sb_plan_free(plan);
}

static void test_request_over_job(void **state)
{
    (void)state;
    const char *const jobs[] = {"over.ini"}, *const sets[] = {"pair.bytes=32,64"};
    const char *const settings[] = {"rounds=2", "as=threads"};
    struct sb_request request = {
        .jobs = jobs,
        .jobs_count = 1,
        .profile = "quick",
        .subjects = "null",
        .workloads = "pair",
        .workers = "4",
        .sets = sets,
        .sets_count = 1,
        .settings = settings,
        .settings_count = 2,
    };
    write_job(jobs[0],
              "[global]\nsubjects=malloc\nrounds=9\n[pair]\nbytes=8\nworkers=1\n"
              "[mix]\n");
    struct sb_plan *plan = make(&request);
    unlink(jobs[0]);
    assert_string_equal(plan->profile, "quick");
    assert_int_equal(plan->settings.rounds, 2);
    assert_int_equal(plan->settings.as, SB_AS_THREADS);
    assert_int_equal(plan->arms_count, 1);
    assert_string_equal(plan->arms[0].label, "null");
    assert_int_equal(plan->cells_count, 2);
    assert_string_equal(plan->cells[0].set, "bytes=32");
    assert_string_equal(plan->cells[1].set, "");
    assert_int_equal(plan->cells[1].workers, 4);
    sb_plan_free(plan);
}

static void test_workers_fit_the_workload(void **state)
{
    (void)state;
    // A list for all is bent for the one that needs three; its own default fits too.
    struct sb_request request = {
        .workloads = "pair,article_demo", .subjects = "null", .workers = "1,2"};
    struct sb_plan *plan = make(&request);
    assert_int_equal(plan->cells_count, 3);
    assert_int_equal(plan->cells[2].workers, 3);
    sb_plan_free(plan);
    request.workers = "2,4,8";
    plan = make(&request);
    assert_int_equal(plan->cells_count, 5);
    assert_int_equal(plan->cells[3].workers, 4);
    sb_plan_free(plan);
    request.workers = NULL;
    plan = make(&request);
    assert_int_equal(plan->cells[0].workers, 2);
    assert_int_equal(plan->cells[1].workers, 3);
    sb_plan_free(plan);
}

static void test_control_arm(void **state)
{
    (void)state;
    static const char *const settings[] = {"control=yes"};
    struct sb_request request = {.workloads = "pair",
                                 .subjects = "malloc,null",
                                 .settings = settings,
                                 .settings_count = 1};
    struct sb_plan *plan = make(&request);
    assert_int_equal(plan->arms_count, 3);
    assert_ptr_equal(plan->arms[2].subject, plan->arms[0].subject);
    assert_true(plan->arms[2].control && !plan->arms[0].control);
    assert_string_equal(plan->arms[2].label, "malloc (A/A)");
    sb_plan_free(plan);
}

static void test_obstacles(void **state)
{
    (void)state;
    static const struct {
        uint32_t needs, has, workers, as;
        const char *says; // NULL: it can
    } rows[] = {
        {0, SB_CAP_PRIVATE, 4, SB_AS_PROCESSES, NULL},
        {SB_NEED_EXCHANGE, SB_CAP_PRIVATE, 1, SB_AS_PROCESSES, NULL},
        {SB_NEED_EXCHANGE, SB_CAP_PRIVATE, 2, SB_AS_PROCESSES, "is private to one"},
        {SB_NEED_EXCHANGE, SB_CAP_PRIVATE, 2, SB_AS_THREADS, NULL},
        {SB_NEED_EXCHANGE, SB_CAP_SHARE, 2, SB_AS_PROCESSES, NULL},
        {0, 0, 2, SB_AS_PROCESSES, "cannot be shared"},
        {0, 0, 2, SB_AS_THREADS, NULL},
        {SB_CAP_PIN, SB_CAP_SHARE, 2, SB_AS_PROCESSES, "needs locks that pin"},
        {SB_CAP_EXCLUSIVE, SB_CAP_SHARE | SB_CAP_PIN, 2, SB_AS_PROCESSES,
         "needs locks that exclude"},
        {SB_CAP_COMPACT, SB_CAP_SHARE, 1, SB_AS_PROCESSES, "needs compaction"},
        {SB_CAP_REALLOC, SB_CAP_SHARE, 1, SB_AS_PROCESSES, "needs realloc"},
        {SB_CAP_REMOTE_FREE, SB_CAP_SHARE, 1, SB_AS_PROCESSES, "by another worker"},
        {SB_CAP_REMOTE_FREE, SB_CAP_SHARE | SB_CAP_OWNER_FREE, 1, SB_AS_PROCESSES,
         NULL},
        {SB_NEED_CONTENTS, SB_CAP_SHARE | SB_CAP_FORGETS, 1, SB_AS_PROCESSES,
         "keeps no contents"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sb_workload workload = broken_none;
        struct sb_subject subject = broken_lossy;
        workload.needs = rows[i].needs;
        subject.capabilities = rows[i].has;
        struct sb_plan plan = {.settings = {.as = rows[i].as}};
        struct sb_cell cell = {.workload = &workload, .workers = rows[i].workers};
        struct sb_arm arm = {.subject = &subject};
        char reason[200] = "";
        int obstacle = sb_pairing_obstacle(&plan, &cell, &arm, reason, sizeof reason);
        if (obstacle != (rows[i].says != NULL) ||
            (obstacle && !strstr(reason, rows[i].says))) {
            fail_msg("row %zu: %d '%s'", i, obstacle, reason);
        }
    }
    struct sb_plan plan = {.settings = {.as = SB_AS_PROCESSES}};
    struct sb_cell cell = {.workload = &broken_none, .workers = 1};
    struct sb_arm arm = {.subject = &broken_lossy, .missing = "not installed"};
    char reason[200];
    assert_int_equal(sb_pairing_obstacle(&plan, &cell, &arm, reason, sizeof reason), 1);
    assert_string_equal(reason, "not installed");
}

struct complaint {
    const char *job; // text, or NULL: no job
    const char *workloads, *subjects, *workers, *set, *setting;
    int code;
    const char *says[3];
};

static const struct complaint complaints[] = {
    {NULL, .code = -EINVAL, .says = {"nothing to run"}},
    {"[pair]\n", .subjects = "nul", .code = -ENOENT, .says = {"nul", "null"}},
    {"[pair]\n", .subjects = "./none.so", .code = -ENOENT, .says = {"none.so"}},
    {"[pair]\n", .subjects = ",", .code = -EINVAL, .says = {"no subject"}},
    {NULL, .workloads = "pear", .code = -ENOENT, .says = {"pear", "pair"}},
    {"[mix]\n", .workloads = "pair", .code = -ENOENT, .says = {"pair is not in"}},
    {"[mix]\n", .workloads = "pear", .code = -ENOENT, .says = {"pear"}},
    {"[pear]\n", .code = -ENOENT, .says = {"bad.ini:1: ", "pear"}},
    {"[a]\nworkload=pear\n", .code = -ENOENT, .says = {"bad.ini:2: ", "pear"}},
    {"[global]\nworkload=pear\n[a]\n", .code = -ENOENT, .says = {"bad.ini:2: "}},
    {"[global]\nrounds=9\n", .code = -EINVAL, .says = {"bad.ini", "no section"}},
    {"[global]\nround=9\n[pair]\n", .code = -ENOENT, .says = {"bad.ini:2: ", "rounds"}},
    {"[global]\nrounds=many\n[pair]\n", .code = -EINVAL, .says = {"bad.ini:2: "}},
    {"[global]\n\nrounds=999999\n[pair]\n", .code = -ERANGE, .says = {"bad.ini:3: "}},
    {"[global]\nsubjects=null,nil\n[pair]\n", .code = -ENOENT,
     .says = {"bad.ini:2: ", "nil"}},
    {"[global]\nhh2.x=1\n[pair]\n", .code = -EINVAL, .says = {"bad.ini:2: ", "hh2"}},
    {"[global]\nrounds=0\nlatency_rounds=0\n[pair]\n", .code = -EINVAL,
     .says = {"nothing would be measured"}},
    {"[pair]\nbytes=64\nbytes\n", .code = -EINVAL, .says = {"bad.ini:3"}},
    {"bytes=64\n[pair]\n", .code = -EINVAL, .says = {"bad.ini:1"}},
    {"[pair]\nbyte=64\n", .code = -ENOENT, .says = {"bad.ini:2: ", "bytes"}},
    {"[pair]\nbytes=64,,128\n", .code = -EINVAL, .says = {"bad.ini:2: "}},
    {"[pair]\nbytes=64:*1:128\n", .code = -EINVAL, .says = {"bad.ini:2: "}},
    {"[pair]\nbytes=1\n", .code = -ERANGE, .says = {"bad.ini:2: "}},
    {"[pair]\nsteps=0\n", .code = -ERANGE, .says = {"bad.ini:2: ", "steps"}},
    {"[pair]\nnull.x=1\n", .code = -EINVAL, .says = {"bad.ini:2: ", "[global]"}},
    {"[pair]\nworkers=0\n", .code = -ERANGE, .says = {"bad.ini:2: ", "workers=0"}},
    {"[pair]\nworkers=two\n", .code = -EINVAL, .says = {"bad.ini:2: "}},
    {"[pair]\nworkers=300\n", .code = -ERANGE, .says = {"bad.ini:2: "}},
    {"[pair]\n[article_demo]\nworkers=2\n", .code = -EINVAL,
     .says = {"bad.ini:3: ", "at least 3"}},
    {NULL, .workloads = "article_demo", .workers = "1,2", .code = -EINVAL,
     .says = {"--workers", "at least 3"}},
    {"[pair]\n", .set = "pair.bytes", .code = -EINVAL, .says = {"pair.bytes"}},
    {"[pair]\n", .set = "bytes=3", .code = -EINVAL, .says = {"--set bytes=3"}},
    {"[pair]\n", .set = "pear.bytes=64", .code = -ENOENT, .says = {"pear"}},
    {"[pair]\n", .set = "mix.live=64", .code = -EINVAL, .says = {"not part of"}},
    {"[pair]\n", .subjects = "null", .set = "malloc.x=64", .code = -EINVAL,
     .says = {"not part of"}},
    {"[pair]\n", .subjects = "null", .set = "null.x=64", .code = -EINVAL,
     .says = {"no options"}},
    {"[pair]\n", .set = "pair.bytes=no", .code = -EINVAL,
     .says = {"--set pair.bytes=no"}},
    {"[pair]\n", .setting = "rounds", .code = -EINVAL, .says = {"key=value"}},
    {"[pair]\n", .setting = "as=fibers", .code = -EINVAL, .says = {"fibers"}},
    {"[pair]\n", .setting = "segment_bytes=100", .code = -EINVAL,
     .says = {"segment_bytes=100", "too small"}},
    {"[pair]\nbytes=8:+1:2000\n", .code = -E2BIG, .says = {"1000"}},
};

static void test_complaints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof complaints / sizeof *complaints; i++) {
        const struct complaint *row = &complaints[i];
        const char *const jobs[] = {"bad.ini"};
        struct sb_request request = {
            .jobs = jobs,
            .jobs_count = row->job != NULL,
            .workloads = row->workloads,
            .subjects = row->subjects,
            .workers = row->workers,
            .sets = &row->set,
            .sets_count = row->set != NULL,
            .settings = &row->setting,
            .settings_count = row->setting != NULL,
        };
        if (row->job) {
            write_job(jobs[0], row->job);
        }
        struct sb_plan *untouched = (struct sb_plan *)&request, *plan = untouched;
        struct sb_error error = {{0}};
        int rc = sb_plan_make(&request, &plan, &error);
        unlink(jobs[0]);
        bool said = rc == row->code && !strchr(error.text, '\n');
        for (size_t part = 0; part < 3 && row->says[part]; part++) {
            said = said && strstr(error.text, row->says[part]);
        }
        if (!said || plan != untouched) {
            fail_msg("complaint %zu: %d '%s'", i, rc, error.text);
        }
    }
}

static void test_missing_job(void **state)
{
    (void)state;
    const char *const jobs[] = {"no-such.ini"};
    struct sb_request request = {.jobs = jobs, .jobs_count = 1};
    struct sb_plan *plan;
    struct sb_error error = {{0}};
    assert_int_equal(sb_plan_make(&request, &plan, &error), -ENOENT);
    assert_non_null(strstr(error.text, "no-such.ini"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_request_over_job),
        cmocka_unit_test(test_workers_fit_the_workload),
        cmocka_unit_test(test_control_arm),
        cmocka_unit_test(test_obstacles),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_missing_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

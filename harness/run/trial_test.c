// SPDX-License-Identifier: MIT
// One trial with real worker processes: what goes well, and each way to go wrong.
//
// Built on: trial.h, broken.h. Concurrency: cases run one after the other.
#include <errno.h>
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/run/broken.h"
#include "harness/run/run.h"
#include "harness/run/trial.h"

struct bench {
    struct sb_plan *plan;
    struct sb_runner runner;
    struct sb_outcome outcome;
    struct sb_error error;
    bool over;
};

static volatile sig_atomic_t stop;

static void set_up(struct bench *bench, const char *subject, uint32_t workers,
                   const char *setting)
{
    char count[16];
    snprintf(count, sizeof count, "%u", workers);
    struct sb_request request = {
        .workloads = "pair", .subjects = subject, .workers = count};
    request.settings = &setting;
    request.settings_count = setting ? 1 : 0;
    memset(bench, 0, sizeof *bench);
    stop = 0;
    assert_int_equal(sb_plan_make(&request, &bench->plan, &bench->error), 0);
    assert_int_equal(bench->plan->cells_count, 1);
}

static void use_workload(struct bench *bench, const struct sb_workload *workload)
{
    struct sb_cell *cell = &bench->plan->cells[0];
    free(cell->options);
    cell->options = NULL;
    cell->workload = workload;
}

static void use_subject(struct bench *bench, const struct sb_subject *subject)
{
    struct sb_arm *arm = &bench->plan->arms[0];
    arm->subject = subject;
    arm->medium = subject->media;
    snprintf(arm->source, sizeof arm->source, "%s", subject->name);
}

static int run(struct bench *bench, uint64_t steps, uint64_t limit_ns, bool timed)
{
    struct sb_trial_spec spec = {.cell = &bench->plan->cells[0],
                                 .seed = 42,
                                 .steps = steps,
                                 .limit_ns = limit_ns,
                                 .timed = timed};
    if (!bench->runner.environment) {
        assert_int_equal(
            sb_runner_start(&bench->runner, bench->plan, &stop, &bench->error), 0);
    }
    return sb_trial_run(&bench->runner, &spec, &bench->outcome, &bench->over,
                        &bench->error);
}

static uint32_t count_files(const char *folder, const char *start)
{
    uint32_t count = 0;
    DIR *open_folder = opendir(folder);
    assert_non_null(open_folder);
    for (struct dirent *entry; (entry = readdir(open_folder));) {
        count += strncmp(entry->d_name, start, strlen(start)) == 0;
    }
    closedir(open_folder);
    return count;
}

// No child, no name of ours in /dev/shm. Also ends the bench.
static void tear_down(struct bench *bench)
{
    char ours[64];
    snprintf(ours, sizeof ours, "shmbench-%ld-", (long)getpid());
    sb_runner_end(&bench->runner);
    sb_plan_free(bench->plan);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_files("/dev/shm", ours), 0);
}

#define assert_says(text, part)                                                        \
    do {                                                                               \
        if (!strstr(text, part)) {                                                     \
            fail_msg("'%s' does not say '%s'", text, part);                            \
        }                                                                              \
    } while (0)

static void works_as(const char *as, uint32_t workers)
{
    struct bench bench;
    set_up(&bench, "null", workers, as);
    bench.plan->settings.verify = true;
    use_workload(&bench, &broken_none);
    assert_int_equal(run(&bench, 5000, 0, false), 0);
    const struct sb_outcome *outcome = &bench.outcome;
    assert_string_equal(sb_status_names[outcome->status], "ok");
    assert_int_equal(outcome->steps_done, 5000 * workers);
    assert_int_equal(outcome->ops[SB_OP_OTHER], 5000 * workers);
    assert_int_equal(outcome->verified_bytes, 8 * workers);
    assert_int_equal(outcome->workers_count, workers);
    assert_true(outcome->wall_ns > 0 && outcome->wall_ns < outcome->total_ns);
    assert_null(outcome->hist[SB_OP_ALLOC]);
    for (uint32_t i = 0; i < workers; i++) {
        assert_int_equal(outcome->workers[i].steps, 5000);
        assert_true(outcome->workers[i].cpu >= 0 &&
                    CPU_ISSET((size_t)outcome->workers[i].cpu, &bench.runner.cpus));
    }
    bool crowded = (int)workers > CPU_COUNT(&bench.runner.cpus);
    assert_int_equal(outcome->detail[0] != '\0', crowded);
    tear_down(&bench);
}

static void test_processes(void **state)
{
    (void)state;
    works_as("as=processes", 1);
    works_as("as=processes", 2);
    works_as("as=processes", 5);
}

static void test_threads(void **state)
{
    (void)state;
    works_as("as=threads", 1);
    works_as("as=threads", 4);
}

static void test_timed(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "malloc", 2, "trial=200ms");
    bench.plan->settings.verify = true;
    assert_int_equal(run(&bench, 20000, 0, true), 0);
    const struct sb_outcome *outcome = &bench.outcome;
    assert_int_equal(outcome->status, SB_OK);
    assert_non_null(outcome->hist[SB_OP_ALLOC]);
    assert_int_equal(outcome->hist[SB_OP_ALLOC]->count, 40000);
    assert_int_equal(outcome->hist[SB_OP_FREE]->count, 40000);
    assert_null(outcome->hist[SB_OP_COMPACT]);
    assert_true(outcome->stamp_ns > 0);
    assert_true(outcome->moments_count >= 1);
    const struct sb_moment *last = &outcome->moments[outcome->moments_count - 1];
    assert_int_equal(last->steps, 40000);
    assert_int_equal(last->requested_bytes, 0);
    for (uint32_t i = 1; i < outcome->moments_count; i++) {
        assert_true(outcome->moments[i].time_ns >= outcome->moments[i - 1].time_ns);
    }
#ifndef SB_SANITIZED // where malloc is another one that does not tell
    assert_true(outcome->footprint_bytes > 0); // malloc tells, the runner adds up
#endif
    tear_down(&bench);
}

struct mishap {
    const struct sb_workload *workload;
    const char *as;
    uint32_t workers;
    enum sb_status status;
    bool incorrect;
    const char *says[3];
};

static const struct mishap mishaps[] = {
    {&broken_crash,
     "as=processes",
     2,
     SB_FAILED,
     false,
     {"worker 1 was killed by SIGSEGV in step", "of 5000"}},
    {&broken_crash,
     "as=threads",
     2,
     SB_FAILED,
     false,
     {"the workers' process was killed by SIGSEGV", "worker 1 in step"}},
    {&broken_exit,
     "as=processes",
     3,
     SB_FAILED,
     false,
     {"worker 2 ended with exit status 7 in step"}},
    {&broken_refuse,
     "as=processes",
     2,
     SB_FAILED,
     false,
     {"worker 1: begin: no room for the roots"}},
    {&broken_refuse,
     "as=threads",
     2,
     SB_FAILED,
     false,
     {"worker 1: begin: no room for the roots"}},
    {&broken_wrong,
     "as=processes",
     2,
     SB_FAILED,
     true,
     {"worker 1: verify: block 3 holds another's bytes"}},
    {&broken_hang,
     "as=processes",
     2,
     SB_HUNG,
     false,
     {"no progress", "worker 0 in step 5000 of 5000", "worker 1 in step "}},
    {&broken_hang, "as=threads", 2, SB_HUNG, false, {"no progress"}},
    {&broken_wait, "as=processes", 2, SB_HUNG, false, {"worker 1 in step "}},
};

static void test_mishaps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mishaps / sizeof *mishaps; i++) {
        const struct mishap *mishap = &mishaps[i];
#ifdef SB_SANITIZED
        if (mishap->workload == &broken_crash) {
            continue; // the sanitizer turns the signal into an exit status
        }
#endif
        struct bench bench;
        set_up(&bench, "null", mishap->workers, mishap->as);
        bench.plan->settings.verify = true;
        bench.plan->settings.timeout_ns = 700000000;
        use_workload(&bench, mishap->workload);
        assert_int_equal(run(&bench, 5000, 0, false), 0);
        assert_int_equal(bench.outcome.status, mishap->status);
        assert_int_equal(bench.outcome.incorrect, mishap->incorrect);
        for (size_t part = 0; part < 3 && mishap->says[part]; part++) {
            assert_says(bench.outcome.detail, mishap->says[part]);
        }
        // The same runner goes on as if nothing had been.
        use_workload(&bench, &broken_none);
        assert_int_equal(run(&bench, 50, 0, false), 0);
        assert_int_equal(bench.outcome.status, SB_OK);
        tear_down(&bench);
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 2, NULL);
    use_workload(&bench, &broken_hang);
    assert_int_equal(run(&bench, 5000, 100000000, false), 0);
    assert_int_equal(bench.outcome.status, SB_NA);
    assert_true(bench.over);
    assert_says(bench.outcome.detail, "too slow: after 0.1 s worker 0");
    tear_down(&bench);
}

static void test_wrong_contents_are_found(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 1, "verify=yes");
    struct sb_plan *mix;
    struct sb_request request = {
        .workloads = "mix", .subjects = "null", .workers = "1"};
    assert_int_equal(sb_plan_make(&request, &mix, &bench.error), 0);
    mix->settings = bench.plan->settings;
    sb_plan_free(bench.plan);
    bench.plan = mix;
    use_subject(&bench, &broken_lossy);
    assert_int_equal(run(&bench, 2000, 0, false), 0);
    assert_int_equal(bench.outcome.status, SB_FAILED);
    assert_true(bench.outcome.incorrect);
    tear_down(&bench);
}

static void test_tight_segment(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 1, NULL);
    use_subject(&bench, &broken_tight);
    assert_int_equal(run(&bench, 10, 0, false), 0);
    assert_int_equal(bench.outcome.status, SB_FAILED);
    assert_says(bench.outcome.detail, "is too small for tight");
    tear_down(&bench);
}

static void test_shm_name_is_removed_after_a_crash(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 1, NULL);
    use_subject(&bench, &broken_shm);
    use_workload(&bench, &broken_exit);
    assert_int_equal(run(&bench, 1000, 0, false), 0);
    assert_int_equal(bench.outcome.status, SB_FAILED);
    assert_true(bench.outcome.segment_bytes > 0);
    use_workload(&bench, &broken_none);
    assert_int_equal(run(&bench, 1000, 0, false), 0);
    assert_int_equal(bench.outcome.status, SB_OK);
    assert_true(bench.outcome.footprint_bytes >= 4096); // the byte it wrote
    tear_down(&bench);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void test_stop(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 2, NULL);
    use_workload(&bench, &broken_hang);
    struct sigaction action = {.sa_handler = on_alarm}, before;
    sigaction(SIGALRM, &action, &before);
    struct itimerval soon = {.it_value = {.tv_usec = 150000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(run(&bench, 5000, 0, false), -EINTR);
    sigaction(SIGALRM, &before, NULL);
    tear_down(&bench);
}

static void test_no_worker_executable(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 1, NULL);
    setenv("SB_WORKER", "/nonexistent/worker", 1);
    assert_int_equal(sb_runner_start(&bench.runner, bench.plan, NULL, &bench.error),
                     -ENOENT);
    setenv("SB_WORKER", SB_TEST_WORKER, 1);
    assert_says(bench.error.text, "/nonexistent/worker");
    tear_down(&bench);
}

static void no_descriptor_leaks(struct bench *bench)
{
    uint32_t before = count_files("/proc/self/fd", "");
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(run(bench, 200, 0, i % 2), 0);
    }
    assert_int_equal(count_files("/proc/self/fd", ""), before);
}

static void test_descriptors(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench, "null", 2, NULL);
    assert_int_equal(run(&bench, 200, 0, false), 0); // the first opens what is kept
    no_descriptor_leaks(&bench);
    use_workload(&bench, &broken_exit);
    no_descriptor_leaks(&bench);
    tear_down(&bench);
}

static void note_cleaned(const char *path, void *context)
{
    char *noted = context;
    snprintf(noted, 300, "%s", path);
}

// A coordinator that is killed in the middle: its workers follow it, and what it left
// in /dev/shm is found and removed by its name.
static void test_death_of_the_coordinator(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1); // its orphans become ours, so that we see them
    pid_t coordinator = fork();
    assert_true(coordinator >= 0);
    if (coordinator == 0) {
        struct bench bench;
        set_up(&bench, "null", 1, NULL);
        use_subject(&bench, &broken_shm);
        use_workload(&bench, &broken_hang);
        run(&bench, 5000, 0, false);
        _exit(0);
    }
    char ours[64];
    snprintf(ours, sizeof ours, "shmbench-%ld-", (long)coordinator);
    while (count_files("/dev/shm", ours) == 0) {
        usleep(2000); // polling for an event of another process, not for a time
    }
    sb_run_clean(NULL, NULL);
    assert_int_equal(count_files("/dev/shm", ours), 1); // in use: not to be touched
    kill(coordinator, SIGKILL);
    int status;
    assert_int_equal(waitpid(coordinator, &status, 0), coordinator);
    assert_true(waitpid(-1, &status, 0) > 0); // the orphaned worker ends by itself
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    char cleaned[300] = "";
    // A test beside us may clean up for us: then there is nothing left to be listed.
    if (sb_run_clean(note_cleaned, cleaned) > 0) {
        assert_says(cleaned, "shmbench-");
    }
    assert_int_equal(count_files("/dev/shm", ours), 0);
}

int main(void)
{
    setenv("SB_WORKER", SB_TEST_WORKER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_timed),
        cmocka_unit_test(test_mishaps),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_wrong_contents_are_found),
        cmocka_unit_test(test_tight_segment),
        cmocka_unit_test(test_shm_name_is_removed_after_a_crash),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_worker_executable),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_death_of_the_coordinator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

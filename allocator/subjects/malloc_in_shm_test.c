// SPDX-License-Identifier: MIT
// What malloc_in_shm alone must show: a process that dies with the heap's mutex does
// not take the others with it, and the lock's figures are counted.
//
// Built on: conformance.h, cmocka; seccomp, to kill a process at a known place.
// Concurrency: each case is a child process.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocator/subjects/conformance.h"

enum { SEGMENT_BYTES = 8 << 20, EXIT_SKIP = 77, CASE_TIMEOUT_S = 30 };

// From here on this process is killed when it asks for pages, which dlmalloc does with
// the mutex held.
static void die_at_fallocate(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0],
                                 .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(EXIT_SKIP);
    }
}

static void owner_dies(const struct sb_subject *subject, const char *setting)
{
    struct bed bed;
    sb_ref block;
    int status;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    REQUIRE_RC(subject->alloc(bed.ctx, 100, &block), 0);
    fill(&bed, bed.ctx, block, 100, 1);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        sb_ref further;
        die_at_fallocate();
        while (subject->alloc(bed.ctx, 1000, &further) == 0) {
        }
        _exit(1);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
        conform_skip("may not install a system call filter here");
    }
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    REQUIRE(holds(&bed, bed.ctx, block, 100, 1));
    REQUIRE_RC(subject->free(bed.ctx, block), 0);
    REQUIRE_RC(subject->alloc(bed.ctx, 300000, &block), 0);
    fill(&bed, bed.ctx, block, 300000, 2);
    REQUIRE(holds(&bed, bed.ctx, block, 300000, 2));
    bed_end(&bed);
}

enum { THREAD_PAIRS = 200000 };

static void *pairs(void *argument)
{
    const struct bed *bed = argument;
    for (int i = 0; i < THREAD_PAIRS; i++) {
        sb_ref block;
        REQUIRE_RC(bed->subject->alloc(bed->ctx, 64, &block), 0);
        REQUIRE_RC(bed->subject->free(bed->ctx, block), 0);
    }
    return NULL;
}

static void lock_is_counted(const struct sb_subject *subject, const char *setting)
{
    struct bed bed, second;
    struct sb_usage usage;
    pthread_t thread;
    bed_make_for_threads(&bed, subject, setting, SEGMENT_BYTES);
    second = bed;
    REQUIRE_RC(subject->attach(bed.heap, 1, &second.ctx), 0);
    REQUIRE(pthread_create(&thread, NULL, pairs, &second) == 0);
    pairs(&bed);
    REQUIRE(pthread_join(thread, NULL) == 0);
    subject->detach(second.ctx);
    REQUIRE_RC(subject->usage(bed.heap, &usage), 0);
    REQUIRE(usage.locks_count == 1);
    REQUIRE(usage.locks[0].acquisitions == 4 * THREAD_PAIRS); // none lost, none twice
    REQUIRE((usage.locks[0].contended == 0) == (usage.locks[0].wait_ns == 0));
    REQUIRE(usage.locks[0].longest_wait_ns <= usage.locks[0].wait_ns);
    REQUIRE(usage.live_blocks == 0 && usage.usable_bytes == 0);
    bed_end(&bed);
}

static void run(void (*body)(const struct sb_subject *, const char *), const char *name,
                const char *setting)
{
    const struct sb_subject *subject = NULL;
    int status = -1;
    assert_int_equal(sb_subject_find("malloc_in_shm", &subject, NULL), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        conform_name = name;
        alarm(CASE_TIMEOUT_S);
        body(subject, setting);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == EXIT_SKIP) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_dead_owner_is_survived(void **state)
{
    (void)state;
    run(owner_dies, "owner dies", "lock=robust");
}

static void a_robust_lock_is_counted(void **state)
{
    (void)state;
    run(lock_is_counted, "lock is counted", "lock=robust");
}

static void a_plain_lock_is_counted(void **state)
{
    (void)state;
    run(lock_is_counted, "lock is counted", "lock=plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_owner_is_survived),
        cmocka_unit_test(a_robust_lock_is_counted),
        cmocka_unit_test(a_plain_lock_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

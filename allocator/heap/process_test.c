// SPDX-License-Identifier: MIT
/*
 * process_test.c - several processes on one heap: other bases, deaths, forks.
 *
 * Built on: hh.h; this program again as the other process (exec, so that the mapping
 * and all addresses are new), told by its arguments what to do.
 */
#include "allocator/heap/hh.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *self;

static struct hh_heap *make(uint64_t bytes)
{
    struct hh_heap *heap = NULL;
    struct hh_setup setup = {.bytes = bytes};
    assert_int_equal(hh_create(hh_memfd("test"), &setup, &heap), 0);
    return heap;
}

/* Starts this program as another process with the heap's descriptor as 3. */
static pid_t start(struct hh_heap *heap, const char *what, uint64_t word)
{
    char number[32];
    (void)snprintf(number, sizeof number, "%" PRIu64, word);
    pid_t pid = fork();
    if (!pid) {
        int fd = dup(hh_fd_get(heap));
        if (fd >= 0 && (fd == 3 || dup2(fd, 3) == 3))
            (void)execl("/proc/self/exe", self, what, number, NULL);
        _exit(99);
    }
    assert_true(pid > 0);
    return pid;
}

static int ended(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void finish(struct hh_heap *heap)
{
    int error = hh_check(heap);
    if (error)
        fail_msg("hh_check: %s", hh_why());
    hh_close(heap);
}

/* --- what the other process does --- */

#define MUST(x)                                                                        \
    do {                                                                               \
        if (!(x)) {                                                                    \
            (void)fprintf(stderr, "line %d: %s: %s\n", __LINE__, #x, hh_why());        \
            _exit(1);                                                                  \
        }                                                                              \
    } while (0)

static struct hh_heap *other_open(void)
{
    struct hh_heap *heap;
    /* A mapping in the way, so that the heap surely lies elsewhere than in the parent.
     */
    MUST(mmap(NULL, 777 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
         MAP_FAILED);
    MUST(!hh_open(hh_file("/proc/self/fd/3"), &heap));
    return heap;
}

static int other_pass(hh_handle list)
{
    struct hh_heap *heap = other_open();
    hh_handle *in, mine;
    void *at;
    MUST(!hh_lock(heap, list, HH_PIN, HH_NOWAIT, (void **)&in));
    for (int i = 0; i < 100; i++) {
        unsigned char *bytes;
        MUST(!hh_lock(heap, in[i], HH_PIN, HH_NOWAIT, (void **)&bytes));
        for (int n = 0; n < 200; n++)
            MUST(bytes[n] == i);
        MUST(!hh_unlock(heap, in[i]));
        MUST(!hh_free(heap, in[i]));
        MUST(!hh_alloc(heap, 300, &mine));
        MUST(!hh_lock(heap, mine, HH_PIN, HH_NOWAIT, &at));
        memset(at, i + 1, 300);
        MUST(!hh_unlock(heap, mine));
        in[i] = mine;
    }
    MUST(!hh_unlock(heap, list));
    hh_close(heap);
    return 0;
}

static int other_die_locked(hh_handle block)
{
    struct hh_heap *heap = other_open();
    hh_handle some;
    void *at;
    for (int i = 0; i < 1000; i++)
        MUST(!hh_alloc(heap, (size_t)(i % 500 + 1), &some));
    MUST(!hh_lock(heap, some, HH_PIN, HH_NOWAIT, &at));
    MUST(!hh_lock(heap, block, HH_EXCLUSIVE, HH_NOWAIT, &at));
    memset(at, 0xEE, 8);
    (void)raise(SIGKILL);
    return 1;
}

/* Twenty blocks in slots, sixteen unpublished, of which five are published. */
static int other_die_owing(hh_handle holder)
{
    struct hh_heap *heap = other_open();
    hh_handle some[16], none = {0}, *slots;
    for (size_t i = 0; i < 20; i++)
        MUST(!hh_alloc_to(heap, 100 + i * 5000, holder, i * 8, &some[0]));
    for (size_t i = 0; i < 16; i++)
        MUST(!hh_alloc_to(heap, 100 + i * 5000, none, 0, &some[i]));
    MUST(hh_alloc_to(heap, 100, none, 0, &some[0]) == -EMFILE);
    MUST(!hh_lock(heap, holder, HH_PIN, HH_NOWAIT, (void **)&slots));
    for (int i = 0; i < 5; i++) {
        slots[20 + i] = some[i];
        MUST(!hh_publish(heap, some[i]));
    }
    (void)raise(SIGKILL);
    return 1;
}

static int other_churn(uint64_t seed)
{
    struct hh_heap *heap = other_open();
    static hh_handle live[500];
    static size_t sizes[500];
    struct hh_moved moved;
    uint64_t x = seed * UINT64_C(2654435761) + 88172645463325252u;
    for (int i = 0; i < 60000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        unsigned n = (unsigned)(x >> 20) % 500;
        unsigned char *at;
        if (live[n].word) {
            MUST(!hh_lock(heap, live[n], HH_PIN, HH_NOWAIT, (void **)&at));
            for (size_t b = 0; b < sizes[n]; b += 61)
                MUST(at[b] == (unsigned char)(n + seed));
            MUST(!hh_unlock(heap, live[n]));
            MUST(!hh_free(heap, live[n]));
            MUST(hh_free(heap, live[n]) == -ESTALE);
        }
        sizes[n] = (size_t)(x >> 40) % (x % 50 ? 700 : 60000) + 1;
        MUST(!hh_alloc(heap, sizes[n], &live[n]));
        MUST(!hh_lock(heap, live[n], HH_PIN, HH_NOWAIT, (void **)&at));
        memset(at, (int)(n + seed), sizes[n]);
        MUST(!hh_unlock(heap, live[n]));
        if (i % 200 == 0) {
            int error = hh_compact(heap, i % 400 ? 0 : 65536, 0, &moved);
            MUST(!error || error == -EBUSY);
        }
    }
    for (int n = 0; n < 500; n++)
        MUST(!live[n].word || !hh_free(heap, live[n]));
    hh_close(heap);
    return 0;
}

static int other_main(char **argv)
{
    hh_handle block = {strtoull(argv[2], NULL, 10)};
    if (!strcmp(argv[1], "pass"))
        return other_pass(block);
    if (!strcmp(argv[1], "die-locked"))
        return other_die_locked(block);
    if (!strcmp(argv[1], "die-owing"))
        return other_die_owing(block);
    if (!strcmp(argv[1], "churn"))
        return other_churn(block.word);
    return 98;
}

/* --- tests --- */

static void test_pass_handles(void **state)
{
    (void)state;
    struct hh_heap *heap = make(16 << 20);
    hh_handle list, *in, held[100];
    unsigned char *at;
    assert_int_equal(hh_alloc(heap, sizeof held, &list), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(hh_alloc(heap, 200, &held[i]), 0);
        assert_int_equal(hh_lock(heap, held[i], HH_PIN, HH_NOWAIT, (void **)&at), 0);
        memset(at, i, 200);
        assert_int_equal(hh_unlock(heap, held[i]), 0);
    }
    assert_int_equal(hh_lock(heap, list, HH_PIN, HH_NOWAIT, (void **)&in), 0);
    memcpy(in, held, sizeof held);
    assert_int_equal(ended(start(heap, "pass", list.word)), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(hh_free(heap, held[i]), -ESTALE);
        assert_int_equal(hh_lock(heap, in[i], HH_PIN, HH_NOWAIT, (void **)&at), 0);
        for (int n = 0; n < 300; n++)
            assert_int_equal(at[n], i + 1);
        assert_int_equal(hh_unlock(heap, in[i]), 0);
    }
    assert_int_equal(hh_unlock(heap, list), 0);
    finish(heap);
}

static void test_dead_owner(void **state)
{
    (void)state;
    struct hh_heap *heap = make(16 << 20);
    hh_handle block;
    unsigned char *at;
    struct hh_stats stats;
    assert_int_equal(hh_alloc(heap, 100, &block), 0);
    assert_int_equal(ended(start(heap, "die-locked", block.word)), 128 + SIGKILL);
    assert_int_equal(
        hh_lock(heap, block, HH_EXCLUSIVE, hh_deadline(2000000000), (void **)&at),
        -EOWNERDEAD);
    assert_int_equal(at[0], 0xEE);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_lock(heap, block, HH_EXCLUSIVE, HH_NOWAIT, (void **)&at), 0);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_int_equal(stats.live_blocks, 1001);
    assert_int_equal(stats.recoveries, 1);
    finish(heap);
}

static void test_dead_debtor(void **state)
{
    (void)state;
    struct hh_heap *heap = make(64 << 20);
    hh_handle holder, *slots;
    uint32_t recovered = 7;
    struct hh_stats stats;
    assert_int_equal(hh_alloc(heap, 25 * 8, &holder), 0);
    assert_int_equal(ended(start(heap, "die-owing", holder.word)), 128 + SIGKILL);
    assert_int_equal(hh_repair(heap, &recovered), 0);
    assert_int_equal(recovered, 1);
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_int_equal(stats.live_blocks, 1 + 20 + 5);
    assert_int_equal(hh_lock(heap, holder, HH_PIN, HH_NOWAIT, (void **)&slots), 0);
    for (int i = 0; i < 25; i++)
        assert_int_equal(hh_free(heap, slots[i]), 0);
    assert_int_equal(hh_unlock(heap, holder), 0);
    assert_int_equal(hh_repair(heap, &recovered), 0);
    assert_int_equal(recovered, 0);
    finish(heap);
}

static void test_churn(void **state)
{
    (void)state;
    struct hh_heap *heap = make(64 << 20);
    pid_t a = start(heap, "churn", 1), b = start(heap, "churn", 2);
    assert_int_equal(ended(a), 0);
    assert_int_equal(ended(b), 0);
    struct hh_stats stats;
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_int_equal(stats.live_blocks, 0);
    assert_true(stats.moved_blocks > 0);
    finish(heap);
}

static void test_kill_churn(void **state)
{
    (void)state;
    struct hh_heap *heap = make(64 << 20);
    for (int i = 0; i < 12; i++) {
        pid_t a = start(heap, "churn", 1), b = start(heap, "churn", 2);
        uint64_t seen;
        struct hh_stats stats;
        /* Some thousand calls on, wherever that is. */
        do {
            assert_int_equal(hh_stats(heap, &stats), 0);
            seen = stats.allocs;
        } while (seen < 3000 * (uint64_t)(i + 1) && waitpid(a, NULL, WNOHANG) == 0);
        (void)kill(a, SIGKILL);
        (void)kill(b, SIGKILL);
        (void)waitpid(a, NULL, 0);
        (void)ended(b);
        int error = hh_check(heap);
        if (error)
            fail_msg("after kill %d: %s", i, hh_why());
    }
    finish(heap);
}

static void test_fork(void **state)
{
    (void)state;
    struct hh_heap *heap = make(16 << 20);
    hh_handle block, mine;
    unsigned char *at;
    assert_int_equal(hh_alloc(heap, 100, &block), 0);
    assert_int_equal(hh_lock(heap, block, HH_PIN, HH_NOWAIT, (void **)&at), 0);
    *at = 7;
    pid_t pid = fork();
    if (!pid) {
        struct hh_stats stats;
        /* The parent's lock is not the child's. */
        MUST(hh_unlock(heap, block) == -EPERM);
        MUST(!hh_lock(heap, block, HH_PIN, HH_NOWAIT, (void **)&at) && *at == 7);
        *at = 8;
        MUST(!hh_unlock(heap, block));
        MUST(!hh_alloc(heap, 100, &mine));
        MUST(!hh_free(heap, mine));
        MUST(!hh_stats(heap, &stats) && stats.clients == 2 && stats.lanes == 2);
        hh_close(heap);
        _exit(0);
    }
    assert_int_equal(ended(pid), 0);
    assert_int_equal(*at, 8);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_free(heap, block), 0);
    finish(heap);
}

struct partner {
    struct hh_heap *door;
    hh_handle has, wants;
    int result;
};

static void *lock_both(void *argument)
{
    struct partner *partner = argument;
    void *at;
    partner->result = hh_lock(partner->door, partner->wants, HH_EXCLUSIVE,
                              hh_deadline(INT64_C(20000000000)), &at);
    return NULL;
}

/* Two doors that want each other's lock: the one that would close the circle is refused
 * at once, and the other gets its lock when the first gives up its own. */
static void test_circle(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20);
    struct partner partner = {.result = 1};
    hh_handle mine;
    pthread_t thread;
    struct hh_stats stats;
    void *at;
    assert_int_equal(hh_clone(heap, &partner.door), 0);
    assert_int_equal(hh_alloc(heap, 64, &mine), 0);
    assert_int_equal(hh_alloc(heap, 64, &partner.has), 0);
    partner.wants = mine;
    assert_int_equal(hh_lock(heap, mine, HH_EXCLUSIVE, HH_NOWAIT, &at), 0);
    assert_int_equal(hh_lock(partner.door, partner.has, HH_EXCLUSIVE, HH_NOWAIT, &at),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, lock_both, &partner), 0);
    do
        assert_int_equal(hh_stats(heap, &stats), 0);
    while (!stats.exclusive_waits);
    int error;
    do
        error = hh_lock(heap, partner.has, HH_EXCLUSIVE, hh_deadline(1000000), &at);
    while (error == -ETIMEDOUT); /* until the other's wish is published */
    assert_int_equal(error, -EDEADLK);
    assert_int_equal(hh_unlock(heap, mine), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(partner.result, 0);
    assert_int_equal(hh_unlock(partner.door, mine), 0);
    assert_int_equal(hh_unlock(partner.door, partner.has), 0);
    hh_close(partner.door);
    finish(heap);
}

/* In memory of the caller's, with a token file: another process's death is noticed. */
static void test_attach(void **state)
{
    (void)state;
    size_t bytes = 8 << 20;
    char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    int token = memfd_create("token", MFD_CLOEXEC);
    struct hh_setup setup = {.lanes = 16};
    struct hh_heap *heap, *again;
    struct hh_stats stats;
    hh_handle block;
    void *at;
    assert_int_equal(hh_attach(memory + 8, bytes - 8, &setup, token, &heap), -EINVAL);
    assert_int_equal(hh_attach(memory, 8192, &setup, token, &heap), -EINVAL);
    assert_int_equal(hh_attach(memory, bytes, NULL, token, &heap), -EBADMSG);
    assert_int_equal(hh_attach(memory, bytes, &setup, token, &heap), 0);
    assert_int_equal(hh_alloc(heap, 100, &block), 0);
    pid_t pid = fork();
    if (!pid) {
        MUST(!hh_attach(memory, bytes, NULL, token, &again));
        MUST(!hh_lock(again, block, HH_EXCLUSIVE, HH_NOWAIT, &at));
        (void)raise(SIGKILL);
    }
    assert_int_equal(ended(pid), 128 + SIGKILL);
    assert_int_equal(hh_lock(heap, block, HH_EXCLUSIVE, hh_deadline(2000000000), &at),
                     -EOWNERDEAD);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_attach(memory, bytes, NULL, -1, &again), 0);
    assert_int_equal(hh_free(again, block), 0);
    assert_int_equal(hh_stats(again, &stats), 0);
    assert_int_equal(stats.clients, 2);
    assert_true(stats.bytes > bytes / 2);
    hh_close(again);
    finish(heap);
    (void)close(token);
    (void)munmap(memory, bytes);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 3)
        return other_main(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass_handles), cmocka_unit_test(test_dead_owner),
        cmocka_unit_test(test_dead_debtor),  cmocka_unit_test(test_churn),
        cmocka_unit_test(test_kill_churn),   cmocka_unit_test(test_fork),
        cmocka_unit_test(test_attach),       cmocka_unit_test(test_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

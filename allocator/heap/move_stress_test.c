// SPDX-License-Identifier: MIT
/*
 * move_stress_test.c - everything moves all the time, and nothing is ever lost.
 *
 * Built on: hh.h. Units: seconds in SB_FULL=1 runs 60, else 2 for each test.
 * Concurrency: workers as processes, one of which is killed now and then and replaced
 * by one that goes on with its blocks; and workers as threads, for the sanitizers. A
 * mover compacts without a pause. Blocks also change hands through a swap shelf.
 * Why this way: every block carries a pattern of its own, written and compared under a
 * lock, so a move that loses a write, overlaps a tenant or leaves a pointer behind
 * shows in the contents. What a worker is about to do stands in its list beforehand, so
 * that its successor knows what must still be there.
 */
#include "allocator/heap/hh.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3
#define BLOCKS  96u /* of each worker */
#define SHELF   16u

#ifdef SB_SANITIZED
#define TESTS 1u /* sanitizers do not live with SIGKILL: threads alone */
#else
#define TESTS 2u
#endif

enum state { NONE = 0, WHOLE = 1, GOING = 2, SIZING = 3, WRITING = 4 };

struct block {
    hh_handle handle;
    uint32_t bytes, was_bytes;
    uint32_t seed;
    uint32_t state;
};

struct shared {
    uint32_t stop;
    uint32_t failed;
    char why[160];
    uint64_t shelf[SHELF]; /* handles of 256-byte blocks whose seed is in their words */
    uint64_t rounds[WORKERS + 1];
    uint64_t draws[WORKERS + 1];
    struct block list[WORKERS][BLOCKS];
};

static struct shared *all;

static bool stopped(void)
{
    return __atomic_load_n(&all->stop, __ATOMIC_ACQUIRE) != 0;
}

static int broken(const char *what, uint32_t worker, int error)
{
    uint32_t none = 0;
    if (__atomic_compare_exchange_n(&all->failed, &none, 1, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
        (void)snprintf(all->why, sizeof all->why, "worker %u: %s: %s: %s", worker, what,
                       hh_strerror(error), hh_why());
    __atomic_store_n(&all->stop, 1, __ATOMIC_RELEASE);
    return -1;
}

static uint64_t word_of(uint32_t seed, uint32_t i)
{
    return (seed + i * UINT64_C(0x100000001)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void fill(unsigned char *at, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes / 8; i++) {
        uint64_t word = word_of(seed, i);
        memcpy(at + i * 8, &word, 8);
    }
}

static bool filled(const unsigned char *at, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes / 8; i++) {
        uint64_t word = word_of(seed, i);
        if (memcmp(at + i * 8, &word, 8))
            return false;
    }
    return true;
}

static uint32_t draw(uint32_t worker)
{
    uint64_t x = (all->draws[worker] += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 32);
}

static void set_state(struct block *block, enum state state)
{
    __atomic_store_n(&block->state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

/* --- what a worker does with one block of its list --- */

static int make(struct hh_heap *heap, struct block *block, uint32_t worker)
{
    static const uint32_t sizes[8] = {16, 64, 200, 500, 1000, 3000, 20000, 50000};
    uint32_t bytes = sizes[draw(worker) % 8];
    void *at;
    int error = hh_alloc(heap, bytes, &block->handle);
    if (error == -ENOMEM)
        return 0;
    if (!error)
        error = hh_lock(heap, block->handle, HH_PIN, HH_NOWAIT, &at);
    if (error)
        return broken("alloc", worker, error);
    block->bytes = block->was_bytes = bytes;
    block->seed = draw(worker);
    fill(at, bytes, block->seed);
    set_state(block, WHOLE);
    error = hh_unlock(heap, block->handle);
    return error ? broken("unlock", worker, error) : 0;
}

/* Compares the contents and, if asked, writes others in their place. */
static int visit(struct hh_heap *heap, struct block *block, uint32_t worker, bool write)
{
    unsigned mode = write ? HH_EXCLUSIVE : HH_PIN;
    void *at;
    int error =
        hh_lock(heap, block->handle, mode, hh_deadline(INT64_C(10000000000)), &at);
    if (error == -EOWNERDEAD && block->state == WRITING)
        error = 0;
    /* A predecessor may have died between its lock and its note. */
    if (error == -EOWNERDEAD)
        error = 0;
    if (error)
        return broken("lock", worker, error);
    if (block->state == WHOLE && !filled(at, block->bytes, block->seed))
        return broken("contents changed", worker, 0);
    if (write) {
        set_state(block, WRITING);
        block->seed = draw(worker);
        fill(at, block->bytes, block->seed);
        set_state(block, WHOLE);
    }
    error = hh_unlock(heap, block->handle);
    return error ? broken("unlock", worker, error) : 0;
}

static int resize(struct hh_heap *heap, struct block *block, uint32_t worker)
{
    uint32_t bytes = 16 + draw(worker) % 6000;
    void *at;
    block->was_bytes = block->bytes;
    block->bytes = bytes;
    set_state(block, SIZING);
    int error = hh_realloc(heap, block->handle, bytes);
    if (error == -ENOMEM || error == -EBUSY) {
        block->bytes = block->was_bytes;
        set_state(block, WHOLE);
        return 0;
    }
    if (!error)
        error = hh_lock(heap, block->handle, HH_PIN, HH_NOWAIT, &at);
    if (error)
        return broken("realloc", worker, error);
    uint32_t same = bytes < block->was_bytes ? bytes : block->was_bytes;
    if (!filled(at, same, block->seed))
        return broken("contents changed by realloc", worker, 0);
    fill(at, bytes, block->seed);
    set_state(block, WHOLE);
    error = hh_unlock(heap, block->handle);
    return error ? broken("unlock", worker, error) : 0;
}

static int drop(struct hh_heap *heap, struct block *block, uint32_t worker)
{
    hh_handle old = block->handle;
    void *at;
    set_state(block, GOING);
    int error = hh_free(heap, old);
    if (error)
        return broken("free", worker, error);
    set_state(block, NONE);
    error = hh_lock(heap, old, HH_PIN, HH_NOWAIT, &at);
    return error == -ESTALE ? 0 : broken("a freed block can be locked", worker, error);
}

/* Puts a new block on the shelf and frees the one it finds, whoever made it. */
static int swap(struct hh_heap *heap, uint32_t worker)
{
    uint32_t seed = draw(worker), words[2];
    hh_handle mine, theirs;
    unsigned char *at;
    int error = hh_alloc(heap, 256, &mine);
    if (error == -ENOMEM)
        return 0;
    if (!error)
        error = hh_lock(heap, mine, HH_PIN, HH_NOWAIT, (void **)&at);
    if (error)
        return broken("alloc for the shelf", worker, error);
    memcpy(at, &seed, sizeof seed);
    fill(at + 8, 248, seed);
    error = hh_unlock(heap, mine);
    theirs.word = __atomic_exchange_n(&all->shelf[draw(worker) % SHELF], mine.word,
                                      __ATOMIC_SEQ_CST);
    if (error || !theirs.word)
        return error ? broken("unlock", worker, error) : 0;
    error = hh_lock(heap, theirs, HH_PIN, HH_NOWAIT, (void **)&at);
    if (error)
        return broken("the shelf's block is gone", worker, error);
    memcpy(words, at, sizeof words);
    if (!filled(at + 8, 248, words[0]))
        return broken("the shelf's block changed", worker, 0);
    error = hh_unlock(heap, theirs);
    if (!error)
        error = hh_free(heap, theirs);
    return error ? broken("free from the shelf", worker, error) : 0;
}

/* What a killed predecessor left in the list, made whole. */
static int inherit(struct hh_heap *heap, uint32_t worker)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct block *block = &all->list[worker][i];
        size_t bytes;
        if (block->state == NONE)
            continue;
        int error = hh_bytes(heap, block->handle, &bytes);
        if (error == -ESTALE && block->state == GOING) {
            set_state(block, NONE);
            continue;
        }
        if (error)
            return broken("a block of a killed worker is lost", worker, error);
        if (bytes != block->bytes && bytes != block->was_bytes)
            return broken("a block of a killed worker has another size", worker, 0);
        block->bytes = (uint32_t)bytes;
        if (block->state == WHOLE ? visit(heap, block, worker, false)
                                  : drop(heap, block, worker))
            return -1;
    }
    return 0;
}

static int work(struct hh_heap *heap, uint32_t worker)
{
    if (inherit(heap, worker))
        return -1;
    while (!stopped()) {
        struct block *block = &all->list[worker][draw(worker) % BLOCKS];
        uint32_t choice = draw(worker) % 16;
        int error = choice == 0            ? swap(heap, worker)
                    : block->state == NONE ? make(heap, block, worker)
                    : choice < 5           ? drop(heap, block, worker)
                    : choice < 7           ? resize(heap, block, worker)
                                           : visit(heap, block, worker, choice < 10);
        if (error)
            return -1;
        __atomic_fetch_add(&all->rounds[worker], 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static int move(struct hh_heap *heap)
{
    struct hh_moved moved;
    while (!stopped()) {
        /* -EBUSY: a worker compacts for want of memory. */
        int error = hh_compact(heap, 0, 0, &moved);
        if (error && error != -EBUSY)
            return broken("compact", WORKERS, error);
        __atomic_fetch_add(&all->rounds[WORKERS], 1, __ATOMIC_RELAXED);
    }
    return 0;
}

/* --- set up and end --- */

static int64_t run_ns(void)
{
    const char *full = getenv("SB_FULL");
    return full && *full && *full != '0' ? INT64_C(60000000000) : INT64_C(2000000000);
}

static struct hh_heap *begin(void)
{
    struct hh_heap *heap;
    struct hh_setup setup = {.bytes = 4 << 20, .clients = 16, .lanes = 16};
    struct hh_policy policy;
    memset(all, 0, sizeof *all);
    for (uint32_t i = 0; i <= WORKERS; i++)
        all->draws[i] = i * 1000 + 1;
    assert_int_equal(hh_create(hh_memfd("stress"), &setup, &heap), 0);
    assert_int_equal(hh_policy_get(heap, &policy), 0);
    policy.frag_start = policy.frag_stop = 1;
    policy.occupancy_max = 1;
    policy.min_waste_bytes = 0;
    policy.release_bytes = 0;
    policy.overhead_max = 1;
    assert_int_equal(hh_policy_set(heap, &policy), 0);
    return heap;
}

/* Frees all that is known: what is left then, the killed must answer for. */
static void end(struct hh_heap *heap, uint64_t kills)
{
    struct hh_stats stats;
    if (all->failed)
        fail_msg("%s", all->why);
    int error = hh_check(heap);
    if (error)
        fail_msg("hh_check: %s", hh_why());
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        if (inherit(heap, worker))
            fail_msg("%s", all->why);
        for (uint32_t i = 0; i < BLOCKS; i++) {
            if (all->list[worker][i].state != NONE &&
                drop(heap, &all->list[worker][i], worker))
                fail_msg("%s", all->why);
        }
    }
    for (uint32_t i = 0; i < SHELF; i++) {
        hh_handle left = {all->shelf[i]};
        if (left.word)
            assert_int_equal(hh_free(heap, left), 0);
    }
    error = hh_check(heap);
    if (error)
        fail_msg("hh_check of what is left: %s", hh_why());
    assert_int_equal(hh_stats(heap, &stats), 0);
    /* A killed swap may have taken a block off the shelf and made another. */
    assert_true(stats.live_blocks <= 2 * kills);
    assert_true(stats.moved_blocks > 0);
    print_message("%llu moved, %llu cancelled, %llu kills\n",
                  (unsigned long long)stats.moved_blocks,
                  (unsigned long long)stats.moves_cancelled, (unsigned long long)kills);
    hh_close(heap);
}

/* --- as threads --- */

struct thread {
    pthread_t id;
    struct hh_heap *heap;
    uint32_t worker;
};

static void *thread_main(void *context)
{
    struct thread *thread = context;
    if (thread->worker == WORKERS)
        (void)move(thread->heap);
    else
        (void)work(thread->heap, thread->worker);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct hh_heap *heap = begin();
    struct thread threads[WORKERS + 1];
    for (uint32_t i = 0; i <= WORKERS; i++) {
        threads[i].worker = i;
        assert_int_equal(hh_clone(heap, &threads[i].heap), 0);
        assert_int_equal(pthread_create(&threads[i].id, NULL, thread_main, &threads[i]),
                         0);
    }
    int64_t until = hh_deadline(run_ns());
    while (hh_deadline(0) < until && !stopped())
        (void)usleep(10000);
    __atomic_store_n(&all->stop, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i <= WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        hh_close(threads[i].heap);
    }
    end(heap, 0);
}

/* --- as processes --- */

static pid_t start(int fd, uint32_t worker)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    struct hh_heap *heap;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int error = hh_open(hh_fd(fd), &heap);
    if (error)
        _exit(broken("open", worker, error) ? 1 : 0);
    error = worker == WORKERS ? move(heap) : work(heap, worker);
    hh_close(heap);
    _exit(error ? 1 : 0);
}

static void test_processes(void **state)
{
    (void)state;
    struct hh_heap *heap = begin();
    int fd = hh_fd_get(heap), status;
    pid_t pids[WORKERS + 1];
    uint64_t kills = 0;
    for (uint32_t i = 0; i <= WORKERS; i++)
        pids[i] = start(fd, i);
    int64_t until = hh_deadline(run_ns());
    while (hh_deadline(0) < until && !stopped()) {
        (void)usleep(20000);
        uint32_t one = (uint32_t)(kills % (WORKERS + 1));
        (void)kill(pids[one], SIGKILL);
        assert_int_equal(waitpid(pids[one], &status, 0), pids[one]);
        kills++;
        pids[one] = start(fd, one);
    }
    __atomic_store_n(&all->stop, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i <= WORKERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (!all->failed && status)
            fail_msg("worker %u ended with status %x", i, (unsigned)status);
    }
    end(heap, kills);
}

int main(void)
{
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
    if (all == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[2] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_processes),
    };
    return _cmocka_run_group_tests("move_stress", tests, TESTS, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/*
 * preempt_test.c - a process stopped between any two instructions holds nobody up, and
 * what others do meanwhile does not harm it.
 *
 * Built on: kill_step.h, kill_cases.h. Units: calls by number.
 * Concurrency: the victim is stopped after each instruction of its call; every now and
 * then, by a fixed seed, this process does whole calls of its own on the same heap, and
 * they must end while the victim stands still. Then the victim goes on.
 * Why this way: a thread may lose its processor anywhere. Random stress meets a window
 * of two instructions once in a million; stepping meets all of them.
 */
#include "allocator/heap/kill_cases.h"
#include "allocator/heap/kill_verify.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAP_BYTES (2048u << 10)
#define MINE       150u /* slots of the list for what is done meanwhile */
#define MINE_END   180u
#define DEADLINE_S 30u

static struct kill_book *book;
static const char *doing = "";
static uint64_t calls;
static bool full_run;

struct other {
    struct hh_heap *heap;
    uint64_t draws;
    uint32_t often; /* one in so many points */
};

static uint32_t draw(struct other *other, uint32_t below)
{
    uint64_t x = (other->draws += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((x ^ x >> 31) % below);
}

static int bad(const char *what, uint32_t slot, int error)
{
    (void)fprintf(stderr, "preempt_test: %s (block %u): %s: %s\n", what, slot,
                  hh_strerror(error), hh_why());
    return -1;
}

static int look(struct other *other, uint32_t slot, unsigned mode)
{
    struct kill_block *block = &book->block[slot];
    void *at;
    if (block->state != KILL_PUBLISHED || block->slots)
        return 0;
    int error = hh_lock(other->heap, block->handle, mode, HH_NOWAIT, &at);
    if (error == -ETIMEDOUT && mode == HH_EXCLUSIVE)
        return 0;
    if (error)
        return bad("cannot be locked", slot, error);
    uint32_t bytes = block->filled ? block->filled : block->bytes;
    if (!kill_filled(at, bytes, block->seed))
        return bad("changed", slot, 0);
    error = hh_unlock(other->heap, block->handle);
    return error ? bad("cannot be unlocked", slot, error) : 0;
}

static int resize(struct other *other, uint32_t slot)
{
    struct kill_block *block = &book->block[slot];
    uint32_t bytes = 16 + draw(other, 3000);
    void *at;
    int error = hh_realloc(other->heap, block->handle, bytes);
    if (error == -ENOMEM || error == -EBUSY)
        return 0;
    if (!error)
        error = hh_lock(other->heap, block->handle, HH_PIN, HH_NOWAIT, &at);
    if (error)
        return bad("cannot be resized", slot, error);
    if (!kill_filled(at, bytes < block->bytes ? bytes : block->bytes, block->seed))
        return bad("changed by realloc", slot, 0);
    kill_fill(at, bytes, block->seed);
    block->bytes = bytes;
    error = hh_unlock(other->heap, block->handle);
    return error ? bad("cannot be unlocked", slot, error) : 0;
}

/* One whole call, of any kind. */
static int act(struct other *other)
{
    static const uint32_t sizes[8] = {64, 500, 1000, 1000, 500, 2000, 64, 40000};
    uint32_t slot = MINE + draw(other, MINE_END - MINE), kind = draw(other, 16);
    struct hh_moved moved;
    int error;
    calls++;
    if (kind == 0) {
        error = hh_compact(other->heap, 0, 0, &moved);
        return error && error != -EBUSY ? bad("no compaction", 0, error) : 0;
    }
    if (kind < 4)
        return look(other, draw(other, KILL_BLOCKS), HH_PIN);
    if (kind < 6)
        return look(other, draw(other, KILL_OLD), HH_EXCLUSIVE);
    if (book->block[slot].state == KILL_NONE) {
        error = kill_block_new(other->heap, book, slot, sizes[draw(other, 8)]);
        return error && error != -ENOMEM ? bad("no block", slot, error) : 0;
    }
    if (kind < 8)
        return resize(other, slot);
    if (look(other, slot, HH_PIN))
        return -1;
    error = kill_block_end(other->heap, book, slot);
    return error ? bad("cannot be freed", slot, error) : 0;
}

static int meanwhile(struct kill_image *source, void *context)
{
    struct other *other = context;
    (void)source;
    if (draw(other, other->often))
        return 0;
    (void)alarm(DEADLINE_S);
    int result = 0;
    for (uint32_t i = 0, n = 1 + draw(other, 3); i < n && !result; i++)
        result = act(other);
    (void)alarm(0);
    return result;
}

/* --- the cases --- */

static void fell(int number)
{
    const char *what = number == SIGALRM ? "is held up" : "crashes";
    char line[160];
    int length =
        snprintf(line, sizeof line, "preempt_test: %s in case %s\n", what, doing);
    if (write(2, line, (size_t)length) < 0)
        _exit(5);
    _exit(4);
}

static void run(const struct kill_plan *plan, uint32_t often, struct kill_count *count)
{
    struct kill_image source, copy;
    struct other other = {.draws = often, .often = often};
    memset(book, 0, sizeof *book);
    other.heap = kill_populate(book, HEAP_BYTES);
    assert_non_null(other.heap);
    assert_int_equal(kill_image_of(hh_fd_get(other.heap), &source), 0);
    assert_int_equal(kill_image_new(source.bytes, &copy), 0);
    source.blocks_at = 0; /* each instruction counts */
    int result = kill_step(&plan->what, &source, book, true, meanwhile, &other, count);
    if (!result && hh_check(other.heap))
        result = bad("hh_check", 0, -EBADMSG);
    book->loose = 0;
    if (!result) {
        kill_image_copy(&copy, &source);
        result = kill_verify(copy.fd, book, KILL_CLOSE);
    }
    (void)close(copy.fd);
    kill_image_end(&copy);
    kill_image_end(&source);
    hh_close(other.heap);
    assert_int_equal(result, 0);
}

static void try_case(void **state)
{
    const struct kill_plan *plan = *state;
    uint32_t rounds = full_run ? 40 : 1;
    struct kill_count count = {0};
    calls = 0;
    doing = plan->what.name;
    for (uint32_t round = 0; round < rounds; round++) {
        run(plan, 13 + round * 3, &count);
    }
    print_message("%-18s %8llu points, %7llu calls meanwhile\n", plan->what.name,
                  (unsigned long long)count.points, (unsigned long long)calls);
}

int main(int argc, char **argv)
{
    book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    if (book == MAP_FAILED)
        return 1;
    const char *full = getenv("SB_FULL");
    full_run = full && *full && *full != '0';
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    (void)sched_setaffinity(0, sizeof here, &here);
    (void)signal(SIGALRM, fell);
    (void)signal(SIGSEGV, fell);
    (void)signal(SIGBUS, fell);
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t i = 0; i < kill_plan_count && count < 64; i++) {
        const struct kill_plan *plan = &kill_plans[i];
        if (plan->alone || (plan->full && !full_run) ||
            (argc > 1 && strcmp(argv[1], plan->what.name) != 0))
            continue;
        tests[count++] = (struct CMUnitTest){.name = plan->what.name,
                                             .test_func = try_case,
                                             .initial_state = (void *)(uintptr_t)plan};
    }
    return _cmocka_run_group_tests("preempt", tests, count, NULL, NULL);
}

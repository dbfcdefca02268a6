// SPDX-License-Identifier: MIT
/*
 * hostile_test.c - damaged, cut, foreign and invented files: an error, or sound
 * service.
 *
 * Built on: hh.h. Units: cases by number, so that one can be repeated (argument N).
 * Concurrency: each few cases run in a child of their own, with an alarm; a crash, a
 * hang or an access outside the mapping ends the child, and the case it was at is told.
 * Why this way: the base is a heap in the middle of its life, with live, cached and
 * large blocks, roots and the leftovers of a dead process, so that recovery reads the
 * damage too. What the heap hands out is written to the last byte. Sampled by a fixed
 * seed; SB_FULL=1 takes 30 times as many.
 */
#include "allocator/heap/hh.h"

#include <errno.h>
#include <fcntl.h>
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

#define HANDLES 200u
#define BATCH   25u /* cases of one child */
#define ALARM_S 20u

static unsigned char *base; /* the good heap's bytes */
static size_t base_bytes, tables_bytes;
static volatile uint32_t *at_case; /* shared with the child */
static uint32_t only = UINT32_MAX;

/* --- the good heap --- */

static void must(int error)
{
    if (error) {
        (void)fprintf(stderr, "hostile_test: %s: %s\n", hh_strerror(error), hh_why());
        _exit(90);
    }
}

static void populate(struct hh_heap *heap)
{
    static const uint32_t sizes[6] = {64, 500, 1000, 5000, 40000, 24};
    hh_handle blocks[90];
    void *at;
    for (uint32_t i = 0; i < 90; i++) {
        must(hh_alloc(heap, sizes[i % 6], &blocks[i]));
        must(hh_lock(heap, blocks[i], HH_PIN, HH_NOWAIT, &at));
        memset(at, (int)i, sizes[i % 6]);
        must(hh_unlock(heap, blocks[i]));
    }
    for (uint32_t i = 0; i < 90; i++) {
        if (i % 3)
            must(hh_free(heap, blocks[i]));
    }
    must(hh_root_set(heap, "a root", blocks[0]));
}

static void make_base(void)
{
    struct hh_heap *heap;
    struct hh_setup setup = {
        .bytes = 2 << 20, .handles = 1024, .clients = 4, .lanes = 4};
    struct hh_stats stats;
    int status;
    assert_int_equal(hh_create(hh_memfd("base"), &setup, &heap), 0);
    populate(heap);
    pid_t pid = fork();
    if (!pid) {
        /* Dies with blocks, magazines, pins and an exclusive lock. */
        struct hh_heap *own;
        hh_handle block;
        void *at;
        must(hh_open(hh_fd(hh_fd_get(heap)), &own));
        populate(own);
        must(hh_alloc(own, 100, &block));
        must(hh_lock(own, block, HH_EXCLUSIVE, HH_NOWAIT, &at));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(hh_stats(heap, &stats), 0);
    base_bytes = stats.segment_bytes;
    tables_bytes = stats.segment_bytes - stats.bytes;
    base = malloc(base_bytes);
    assert_non_null(base);
    assert_int_equal(pread(hh_fd_get(heap), base, base_bytes, 0), base_bytes);
    hh_close(heap);
}

/* --- random numbers, one row for each case --- */

static uint64_t draws;

static uint64_t draw(uint64_t below)
{
    uint64_t x = (draws += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

/* --- what is done to a file, by case number --- */

struct damage {
    const char *name;
    /* Changes `bytes` of a copy of the base; returns the new length. */
    size_t (*apply)(unsigned char *bytes, uint32_t number);
    uint32_t cases;
    bool more;     /* in full runs 30 times as many */
    int must_fail; /* what hh_open has to say, or 0: anything sound */
};

static size_t cut(unsigned char *bytes, uint32_t number)
{
    static const size_t lengths[] = {0,  1,   7,   8,    15,   63,
                                     64, 127, 128, 4095, 4096, 4097};
    size_t known = sizeof lengths / sizeof lengths[0];
    (void)bytes;
    if (number < known)
        return lengths[number];
    size_t at = 1 + draw(base_bytes / 4096 - 1);
    return number % 3 == 0   ? at * 4096
           : number % 3 == 1 ? at * 4096 - 1
                             : base_bytes - at;
}

static size_t flip_start(unsigned char *bytes, uint32_t number)
{
    bytes[number / 8] ^= (unsigned char)(1u << number % 8);
    return base_bytes;
}

/* A byte of the tables that holds something. */
static size_t somewhere(const unsigned char *bytes)
{
    for (int tries = 0; tries < 400; tries++) {
        size_t at = draw(tables_bytes);
        if (bytes[at])
            return at;
    }
    return draw(tables_bytes);
}

static size_t flip_used(unsigned char *bytes, uint32_t number)
{
    (void)number;
    bytes[somewhere(bytes)] ^= (unsigned char)(1u << draw(8));
    return base_bytes;
}

static size_t flip_any(unsigned char *bytes, uint32_t number)
{
    (void)number;
    bytes[draw(tables_bytes)] ^= (unsigned char)(1u << draw(8));
    return base_bytes;
}

/* A word that says something extreme, or what another word says. */
static size_t word(unsigned char *bytes, uint32_t number)
{
    size_t to = somewhere(bytes) & ~(size_t)7, from = somewhere(bytes) & ~(size_t)7;
    uint64_t values[6] = {0, UINT64_MAX, INT64_MAX, UINT64_C(0xffffffff), 1, 0};
    memcpy(&values[5], bytes + from, 8);
    memcpy(bytes + to, &values[number % 6], 8);
    return base_bytes;
}

static size_t page(unsigned char *bytes, uint32_t number)
{
    size_t at = draw(tables_bytes / 4096) * 4096;
    size_t other = draw(tables_bytes / 4096) * 4096;
    /* The first page's constants stay, or nothing would be read. */
    size_t skip = at ? 0 : 256;
    if (number % 3 == 0) {
        memset(bytes + at + skip, 0, 4096 - skip);
    } else if (number % 3 == 1) {
        for (size_t i = skip; i < 4096; i++)
            bytes[at + i] = (unsigned char)draw(256);
    } else {
        memcpy(bytes + at + skip, bytes + other + skip, 4096 - skip);
    }
    return base_bytes;
}

static size_t many(unsigned char *bytes, uint32_t number)
{
    for (uint32_t i = 0; i < 40; i++)
        (void)(i % 2 ? word(bytes, number + i) : flip_used(bytes, i));
    return base_bytes;
}

static size_t noise(unsigned char *bytes, uint32_t number)
{
    size_t length = 1 + draw(base_bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)draw(256);
    (void)number;
    return length;
}

static size_t later(unsigned char *bytes, uint32_t number)
{
    bytes[8] = (unsigned char)(bytes[8] + 1 + number);
    return base_bytes;
}

static const struct damage damages[] = {
    {"cut", cut, 40, true, -EBADMSG},
    {"a later version", later, 4, false, -ENOTSUP},
    {"noise", noise, 12, false, -EBADMSG},
    {"a bit of the start", flip_start, 56 * 8, false, 0},
    {"a bit in use", flip_used, 250, true, 0},
    {"any bit", flip_any, 60, true, 0},
    {"a word", word, 200, true, 0},
    {"a page", page, 60, true, 0},
    {"many words", many, 100, true, 0},
};

/* --- what is asked of the file --- */

static unsigned char sink;

static void touch(struct hh_heap *heap, hh_handle block, bool write)
{
    unsigned char *at;
    size_t bytes;
    int error = hh_usable(heap, block, &bytes);
    if (error)
        return;
    error = hh_lock(heap, block, HH_PIN, HH_NOWAIT, (void **)&at);
    if (error)
        return;
    for (size_t i = 0; i < bytes; i += 4096)
        sink ^= at[i];
    sink ^= at[bytes - 1];
    if (write) {
        at[0] = at[bytes - 1] = 1;
        memset(at, 0x5a, bytes < 70000 ? bytes : 70000);
    }
    (void)!hh_unlock(heap, block);
    error = hh_lock(heap, block, HH_EXCLUSIVE, HH_NOWAIT, (void **)&at);
    if (!error || error == -EOWNERDEAD)
        (void)!hh_unlock(heap, block);
}

struct seen {
    hh_handle handle[HANDLES];
    uint32_t count;
};

static int see(const struct hh_block *block, void *context)
{
    struct seen *seen = context;
    seen->handle[seen->count++] = block->handle;
    return seen->count == HANDLES;
}

static int see_extent(const struct hh_extent *extent, void *context)
{
    (void)context;
    return extent->bytes > base_bytes;
}

static void churn(struct hh_heap *heap)
{
    static const size_t sizes[8] = {24, 64, 500, 1000, 5000, 40000, 300000, 64};
    hh_handle mine[24];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 24; i++) {
        if (!hh_alloc(heap, sizes[i % 8], &mine[count])) {
            touch(heap, mine[count], true);
            count++;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i % 3 == 0 && !hh_realloc(heap, mine[i], 700 + i * 3000))
            touch(heap, mine[i], true);
        (void)!hh_free(heap, mine[i]);
    }
}

/* All there is, in an order that lets damage meet every part of the heap. */
static void ask(int fd, int must_fail)
{
    struct hh_heap *heap;
    struct hh_stats stats;
    struct hh_moved moved;
    struct hh_policy policy;
    struct seen seen = {.count = 0};
    uint32_t recovered;
    hh_handle root;
    int error = hh_open(hh_fd(fd), &heap);
    if (must_fail && error != must_fail) {
        (void)fprintf(stderr, "hh_open says %d, not %d\n", error, must_fail);
        _exit(91);
    }
    if (error && !*hh_why() && error == -EBADMSG)
        _exit(92);
    if (error)
        return;
    if (*at_case % 2)
        churn(heap);
    error = hh_check(heap);
    if (error && error != -EBADMSG)
        _exit(93);
    (void)!hh_stats(heap, &stats);
    (void)!hh_walk(heap, see, &seen);
    (void)!hh_walk_extents(heap, see_extent, NULL);
    if (!hh_root_get(heap, "a root", &root))
        touch(heap, root, false);
    for (uint32_t i = 0; i < seen.count; i++)
        touch(heap, seen.handle[i], i % 2);
    churn(heap);
    if (!hh_policy_get(heap, &policy))
        (void)!hh_policy_set(heap, &policy);
    (void)!hh_compact(heap, 0, 0, &moved);
    (void)!hh_repair(heap, &recovered);
    for (uint32_t i = 0; i < seen.count; i++) {
        touch(heap, seen.handle[i], true);
        (void)!hh_free(heap, seen.handle[i]);
    }
    churn(heap);
    (void)!hh_compact(heap, 1 << 20, 0, &moved);
    (void)!hh_check(heap);
    hh_close(heap);
}

/* Pages of zeros stay holes. */
static int write_out(int fd, const unsigned char *bytes, size_t length)
{
    static const unsigned char zeros[4096];
    if (ftruncate(fd, (off_t)length))
        return -1;
    for (size_t at = 0; at < length; at += 4096) {
        size_t part = length - at < 4096 ? length - at : 4096;
        if (memcmp(bytes + at, zeros, part) &&
            pwrite(fd, bytes + at, part, (off_t)at) != (ssize_t)part)
            return -1;
    }
    return 0;
}

static void run_case(const struct damage *damage, uint32_t number)
{
    unsigned char *copy = malloc(base_bytes);
    int fd = memfd_create("hostile", MFD_CLOEXEC);
    if (!copy || fd < 0)
        _exit(94);
    memcpy(copy, base, base_bytes);
    draws = number * UINT64_C(1000003) + (uint64_t)(damage - damages);
    size_t length = damage->apply(copy, number);
    if (write_out(fd, copy, length))
        _exit(95);
    free(copy);
    (void)alarm(ALARM_S);
    ask(fd, damage->must_fail);
    (void)alarm(0);
    (void)close(fd);
}

/* Runs [from, to) in a child; returns the case it died in, or UINT32_MAX. */
static uint32_t run_batch(const struct damage *damage, uint32_t from, uint32_t to,
                          int *status)
{
    *at_case = from;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint32_t number = from; number < to; number++) {
            *at_case = number;
            run_case(damage, number);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, status, 0), pid);
    return *status ? *at_case : UINT32_MAX;
}

static void test_damage(void **state)
{
    const struct damage *damage = *state;
    const char *full = getenv("SB_FULL");
    uint32_t cases = damage->cases, bad = 0;
    cases *= damage->more && full && *full && *full != '0' ? 30 : 1;
    if (only != UINT32_MAX) {
        *at_case = only;
        run_case(damage, only); /* in this process, for a debugger */
        return;
    }
    for (uint32_t from = 0; from < cases;) {
        uint32_t to = from + BATCH < cases ? from + BATCH : cases;
        int status;
        uint32_t died = run_batch(damage, from, to, &status);
        if (died != UINT32_MAX) {
            print_error("%s, case %u: %s %d\n", damage->name, died,
                        WIFSIGNALED(status) ? "signal" : "exit code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            bad++;
            to = died + 1;
        }
        from = to;
    }
    print_message("%-20s %5u cases\n", damage->name, cases);
    assert_int_equal(bad, 0);
}

/* Files that never were a heap. */
static void test_foreign(void **state)
{
    struct hh_heap *heap = NULL;
    (void)state;
    static const char *const files[] = {"/proc/self/exe", "/dev/null", "/dev/zero",
                                        "/proc/self/maps", "/"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_not_equal(hh_open(hh_file(files[i]), &heap), 0);
        assert_null(heap);
    }
    int fd = memfd_create("text", MFD_CLOEXEC);
    assert_true(fd >= 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(write(fd, "no heap at all\n", 15), 15);
    assert_int_equal(hh_open(hh_fd(fd), &heap), -EBADMSG);
    assert_string_not_equal(hh_why(), "");
    assert_null(heap);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    at_case =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at_case == MAP_FAILED)
        return 1;
    make_base();
    struct CMUnitTest tests[16] = {cmocka_unit_test(test_foreign)};
    size_t count = argc > 1 ? 0 : 1;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        if (argc > 1 && strcmp(argv[1], damages[i].name) != 0)
            continue;
        tests[count++] =
            (struct CMUnitTest){.name = damages[i].name,
                                .test_func = test_damage,
                                .initial_state = (void *)(uintptr_t)&damages[i]};
    }
    if (argc > 2)
        only = (uint32_t)strtoul(argv[2], NULL, 10);
    int failed = _cmocka_run_group_tests("hostile", tests, count, NULL, NULL);
    free(base);
    return failed;
}

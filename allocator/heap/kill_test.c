// SPDX-License-Identifier: MIT
/*
 * kill_test.c - a process may be killed at any instruction: each is tried.
 *
 * Built on: kill_step.h, kill_verify.h. Concurrency: per case a neighbour (this
 * process, with a door of its own on the same heap) and the stepped victim. Why this
 * way: every second image is looked at as if the neighbour had died too, every other
 * with the neighbour alive, so that recovery may not rely on being alone; some images
 * are recovered by a process that is itself killed at each of its instructions.
 * SB_FULL=1 tries all manners on each image and more second kills.
 */
#include "allocator/heap/kill_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAP_BYTES (512u << 10)
#define OLD        150u /* slots of the list that the neighbour uses */
#define OWN        200u /* first slot of the list that the victim uses */
#define TOKEN_AT   (INT64_C(1) << 60)
#define DEADLINE_S 30u
#define CLIENTS    4u
#define QUIET      6000u /* a recovery that changes nothing for so long is through */

static struct kill_book *book, *second_book;
static struct kill_count total;
static bool full_run;
static const char *doing = "";

/* --- a deadline, and a name for a crash --- */

static void fell(int number)
{
    const char *what = number == SIGALRM ? "hangs" : "crashes";
    char line[160];
    int length = snprintf(line, sizeof line, "kill_test: %s in case %s\n", what, doing);
    if (write(2, line, (size_t)length) < 0)
        _exit(5);
    _exit(4);
}

/* --- what is done with each image --- */

struct trial {
    struct kill_image copy, third;
    int alive; /* holds the neighbour's byte of the copy, or not */
    uint64_t images;
    uint64_t every; /* second kills for each nth image */
};

/* Whether the neighbour, which is client 0, counts as alive in a copy. */
static int neighbour(int fd, bool alive)
{
    struct flock lock = {.l_type = alive ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET};
    lock.l_start = TOKEN_AT;
    lock.l_len = 1;
    return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

static int third_is_well(struct kill_image *source, void *context)
{
    struct trial *trial = context;
    kill_image_copy(&trial->third, source);
    (void)alarm(DEADLINE_S);
    int result = kill_verify(trial->third.fd, second_book,
                             (enum kill_manner)(total.again % KILL_MANNERS));
    (void)alarm(0);
    total.again++;
    return result;
}

static void must(int error)
{
    if (error) {
        (void)fprintf(stderr, "%s: %s: %s\n", doing, hh_strerror(error), hh_why());
        _exit(7);
    }
}

static void *ready_open(int fd, struct kill_book *in)
{
    struct hh_heap *heap;
    (void)in;
    must(hh_open(hh_fd(fd), &heap));
    return heap;
}

/* Opens while the dead still count as alive, so that only the recovery is stepped. */
static void *ready_recover(int fd, struct kill_book *in)
{
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int keeper = open(path, O_RDWR | O_CLOEXEC);
    if (keeper < 0)
        _exit(10);
    for (int i = 0; i < (int)CLIENTS - 1; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = TOKEN_AT + i, .l_len = 1};
        (void)fcntl(keeper, F_OFD_SETLK, &lock); /* fails if it lives anyway */
    }
    struct hh_heap *heap = ready_open(fd, in);
    (void)close(keeper);
    return heap;
}

static void call_check(void *door, struct kill_book *in)
{
    (void)in;
    must(hh_check(door));
}

static const struct kill_case second = {"second kill", ready_recover, call_check};

/* What was not well, for a look with `hh check`. */
static void keep(const struct kill_image *image)
{
    FILE *file = fopen("kill_failed.img", "w");
    if (!file)
        return;
    (void)fwrite(image->at, 1, image->bytes, file);
    (void)fclose(file);
}

static int verify(struct trial *trial, struct kill_image *source, bool alive,
                  enum kill_manner manner)
{
    kill_image_copy(&trial->copy, source);
    if (neighbour(trial->alive, alive))
        return -1;
    (void)alarm(DEADLINE_S);
    int result = kill_verify(trial->copy.fd, book, manner);
    (void)alarm(0);
    if (result) {
        (void)fprintf(stderr, "neighbour %s, manner %d\n", alive ? "alive" : "dead",
                      (int)manner);
        keep(source);
    }
    return result;
}

static int image_is_well(struct kill_image *source, void *context)
{
    struct trial *trial = context;
    uint64_t n = trial->images++;
    int result = 0;
    if (full_run) {
        result = verify(trial, source, true, KILL_REPAIR);
        for (int i = 0; !result && i < KILL_MANNERS; i++)
            result = verify(trial, source, false, (enum kill_manner)i);
    } else if (n % 2) {
        result = verify(trial, source, true, (enum kill_manner)(n / 2 % 2));
    } else {
        result = verify(trial, source, false, (enum kill_manner)(n / 2 % KILL_MANNERS));
    }
    if (result || n % trial->every != trial->every / 2)
        return result;
    /* The recovery is killed too. */
    kill_image_copy(&trial->copy, source);
    trial->copy.blocks_at = source->blocks_at;
    trial->copy.looked = 0;
    memcpy(second_book, book, sizeof *book);
    (void)neighbour(trial->alive, false);
    struct kill_count count = {0};
    result = kill_step(&second, &trial->copy, second_book, QUIET, third_is_well, trial,
                       &count);
    total.points += count.points;
    return result;
}

/* --- the heap before each case --- */

/* Blocks of several sizes, with holes, so that there is something to move. */
static struct hh_heap *populate(uint64_t bytes)
{
    struct hh_heap *heap;
    struct hh_setup setup = {
        .bytes = bytes, .handles = 1024, .clients = CLIENTS, .lanes = 4};
    struct hh_policy policy;
    assert_int_equal(hh_create(hh_memfd("kill"), &setup, &heap), 0);
    assert_int_equal(hh_policy_get(heap, &policy), 0);
    policy.trigger = HH_TRIGGER_MANUAL;
    policy.deterministic = 1;
    policy.release_bytes = 0;
    assert_int_equal(hh_policy_set(heap, &policy), 0);
    static const uint32_t sizes[8] = {500, 1000, 500, 1000, 500, 64, 500, 5000};
    for (uint32_t i = 0; i < OLD; i++)
        assert_int_equal(kill_block_new(heap, book, i, sizes[i % 8]), 0);
    for (uint32_t i = 0; i < OLD; i++) {
        if (i % 10 < 7)
            assert_int_equal(kill_block_end(heap, book, i), 0);
    }
    return heap;
}

static void try_case(const struct kill_case *what, uint64_t bytes, bool pins,
                     uint64_t every)
{
    struct kill_image source;
    struct trial trial = {.every = full_run ? (every + 15) / 16 : every};
    struct kill_count count = {0};
    void *at;
    doing = what->name;
    memset(book, 0, sizeof *book);
    book->loose = 1;
    struct hh_heap *heap = populate(bytes);
    for (uint32_t i = 0; pins && i < OLD; i += 3) {
        if (book->block[i].state == KILL_PUBLISHED)
            assert_int_equal(
                hh_lock(heap, book->block[i].handle, HH_PIN, HH_NOWAIT, &at), 0);
    }
    struct hh_stats stats;
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_int_equal(kill_image_of(hh_fd_get(heap), &source), 0);
    source.blocks_at = stats.segment_bytes - stats.bytes;
    assert_int_equal(kill_image_new(source.bytes, &trial.copy), 0);
    assert_int_equal(kill_image_new(source.bytes, &trial.third), 0);
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", trial.copy.fd);
    trial.alive = open(path, O_RDWR | O_CLOEXEC);
    assert_true(trial.alive >= 0);
    uint64_t before = total.again;
    int result = kill_step(what, &source, book, 0, image_is_well, &trial, &count);
    total.points += count.points;
    total.images += count.images;
    print_message("%-18s %7llu points, %6llu images, %6llu second kills\n", what->name,
                  (unsigned long long)count.points, (unsigned long long)count.images,
                  (unsigned long long)(total.again - before));
    (void)close(trial.alive);
    (void)close(trial.copy.fd);
    (void)close(trial.third.fd);
    kill_image_end(&trial.copy);
    kill_image_end(&trial.third);
    kill_image_end(&source);
    hh_close(heap);
    assert_int_equal(result, 0);
}

/* --- the calls --- */

static void *ready_nothing(int fd, struct kill_book *in)
{
    (void)in;
    return (void *)(uintptr_t)(fd + 1);
}

/* With a block of each size in its magazines. */
static void *ready_warm(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    must(kill_block_new(heap, in, OWN, 64));
    must(kill_block_end(heap, in, OWN));
    return heap;
}

static void call_pair(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, OWN, 64));
    must(kill_block_end(door, in, OWN));
}

/* Through refills, the depot and back. */
static void call_many(void *door, struct kill_book *in)
{
    for (uint32_t i = 0; i < 14; i++)
        must(kill_block_new(door, in, OWN + i, 1000));
    for (uint32_t i = 0; i < 14; i++)
        must(kill_block_end(door, in, OWN + i));
    for (uint32_t i = 0; i < 10; i++)
        must(kill_block_new(door, in, OWN + i, 1000));
}

static void call_refill(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, OWN, 32));
}

static void call_large(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, OWN, 40000));
    must(kill_block_end(door, in, OWN));
}

static void call_remote(void *door, struct kill_book *in)
{
    for (uint32_t i = 0; i < 30; i++) {
        if (in->block[i].state == KILL_PUBLISHED)
            must(kill_block_end(door, in, i));
    }
}

static void call_pins(void *door, struct kill_book *in)
{
    void *at;
    for (uint32_t i = 0; i < OLD; i++) {
        if (in->block[i].state == KILL_PUBLISHED)
            must(hh_lock(door, in->block[i].handle, HH_PIN, HH_NOWAIT, &at));
    }
    for (uint32_t i = 0; i < OLD; i++) {
        if (in->block[i].state == KILL_PUBLISHED)
            must(hh_unlock(door, in->block[i].handle));
    }
}

static void call_exclusive(void *door, struct kill_book *in)
{
    void *at;
    for (uint32_t i = 0; i < 20; i++) {
        if (in->block[i].state != KILL_PUBLISHED)
            continue;
        must(hh_lock(door, in->block[i].handle, HH_EXCLUSIVE, HH_NOWAIT, &at));
        must(hh_lock(door, in->block[i].handle, HH_PIN, HH_NOWAIT, &at));
        must(hh_unlock(door, in->block[i].handle));
        must(hh_unlock(door, in->block[i].handle));
    }
}

static void call_compact(void *door, struct kill_book *in)
{
    struct hh_moved moved;
    (void)in;
    must(hh_compact(door, 0, 0, &moved));
    if (!moved.blocks)
        _exit(8);
}

/* Large blocks with a hole below them. */
static void *ready_shift(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    for (uint32_t i = 0; i < 3; i++)
        must(kill_block_new(heap, in, OWN + i, 36000));
    must(kill_block_end(heap, in, OWN));
    return heap;
}

static void *ready_full(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    int error = 0;
    for (uint32_t i = OWN; i < KILL_BLOCKS - 1 && !error; i++)
        error = kill_block_new(heap, in, i, i < OWN + 8 ? 33000 : 4000);
    if (error != -ENOMEM)
        must(error ? error : -E2BIG);
    for (uint32_t i = OWN; i < OWN + 60; i += 2) {
        if (in->block[i].state == KILL_PUBLISHED)
            must(kill_block_end(heap, in, i));
    }
    return heap;
}

static void call_full(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, KILL_BLOCKS - 1, 50000));
}

static void call_open(void *door, struct kill_book *in)
{
    struct hh_heap *heap;
    (void)in;
    must(hh_open(hh_fd((int)(uintptr_t)door - 1), &heap));
}

static void *ready_close(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_warm(fd, in);
    for (uint32_t i = 0; i < 20; i++)
        must(kill_block_new(heap, in, OWN + i, i % 2 ? 1000 : 300));
    for (uint32_t i = 0; i < 20; i += 3)
        must(kill_block_end(heap, in, OWN + i));
    return heap;
}

static void call_close(void *door, struct kill_book *in)
{
    (void)in;
    hh_close(door);
}

static void call_clone(void *door, struct kill_book *in)
{
    struct hh_heap *more;
    must(hh_clone(door, &more));
    must(kill_block_new(more, in, OWN, 64));
    hh_close(more);
}

static void call_settings(void *door, struct kill_book *in)
{
    struct hh_policy policy;
    struct hh_stats stats;
    must(hh_policy_get(door, &policy));
    policy.batch = 7;
    must(hh_policy_set(door, &policy));
    must(hh_root_set(door, "first", in->block[3].handle));
    must(hh_root_set(door, "second", in->block[4].handle));
    must(hh_stats(door, &stats));
}

/* Somebody else has died and left all it had: the dead count as alive until opened. */
static void *ready_dead(int fd, struct kill_book *in)
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        struct hh_heap *heap = ready_close(fd, in);
        void *at;
        must(hh_lock(heap, in->block[OWN + 1].handle, HH_EXCLUSIVE, HH_NOWAIT, &at));
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        _exit(9);
    return ready_recover(fd, in);
}

#define CASE(name, ready, call, bytes, pins, every)                                    \
    static void test_##name(void **state)                                              \
    {                                                                                  \
        static const struct kill_case what = {#name, ready, call};                     \
        (void)state;                                                                   \
        try_case(&what, bytes, pins, every);                                           \
    }

CASE(pair, ready_warm, call_pair, HEAP_BYTES, false, 4)
CASE(refill, ready_open, call_refill, HEAP_BYTES, false, 500)
CASE(many, ready_open, call_many, HEAP_BYTES, false, 250)
CASE(large, ready_open, call_large, HEAP_BYTES, false, 150)
CASE(remote_free, ready_open, call_remote, HEAP_BYTES, false, 60)
CASE(pins, ready_open, call_pins, HEAP_BYTES, false, 150)
CASE(exclusive, ready_open, call_exclusive, HEAP_BYTES, false, 60)
CASE(compact, ready_open, call_compact, HEAP_BYTES, false, 900)
CASE(compact_pinned, ready_open, call_compact, HEAP_BYTES, true, 700)
CASE(compact_large, ready_shift, call_compact, HEAP_BYTES, false, 900)
CASE(full, ready_full, call_full, HEAP_BYTES, false, 120)
CASE(open, ready_nothing, call_open, HEAP_BYTES, false, 40)
CASE(close, ready_close, call_close, HEAP_BYTES, false, 50)
CASE(clone, ready_open, call_clone, HEAP_BYTES, false, 2000)
CASE(settings, ready_open, call_settings, HEAP_BYTES, false, 100)
CASE(recovery, ready_dead, call_check, HEAP_BYTES, false, 110)

static int show_total(void **state)
{
    (void)state;
    print_message("total %llu points, %llu images, %llu second kills\n",
                  (unsigned long long)total.points, (unsigned long long)total.images,
                  (unsigned long long)total.again);
    return 0;
}

int main(int argc, char **argv)
{
    const char *full = getenv("SB_FULL");
    full_run = full && *full && *full != '0';
    book = mmap(NULL, 2 * sizeof *book, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (book == MAP_FAILED)
        return 1;
    second_book = book + 1;
    /* Stepping hands over twice an instruction: on one core that costs least. */
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    (void)sched_setaffinity(0, sizeof here, &here);
    (void)signal(SIGALRM, fell);
    (void)signal(SIGSEGV, fell);
    (void)signal(SIGBUS, fell);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_refill),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_remote_free),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_compact_pinned),
        cmocka_unit_test(test_compact_large),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_compact), /* the last, in full runs alone */
    };
    size_t count = sizeof tests / sizeof tests[0] - (full_run ? 0 : 1);
    return _cmocka_run_group_tests("kill", tests, count, NULL, show_total);
}

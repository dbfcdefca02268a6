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
#include "allocator/heap/kill_cases.h"
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
#define DEADLINE_S 30u

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
    lock.l_start = KILL_TOKEN;
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
    if (result || !trial->every || n % trial->every != trial->every / 2)
        return result;
    /* The recovery is killed too. */
    kill_image_copy(&trial->copy, source);
    trial->copy.blocks_at = source->blocks_at;
    trial->copy.looked = 0;
    memcpy(second_book, book, sizeof *book);
    (void)neighbour(trial->alive, false);
    struct kill_count count = {0};
    result = kill_step(&kill_second, &trial->copy, second_book, false, third_is_well,
                       trial, &count);
    total.points += count.points;
    return result;
}

static void try_case(void **state)
{
    const struct kill_plan *plan = *state;
    const struct kill_case *what = &plan->what;
    struct kill_image source;
    struct trial trial = {.every = full_run ? (plan->every + 15) / 16 : plan->every};
    trial.every = full_run && !plan->every ? 10 : trial.every;
    struct kill_count count = {0};
    void *at;
    doing = what->name;
    memset(book, 0, sizeof *book);
    book->loose = 1;
    struct hh_heap *heap = kill_populate(book, HEAP_BYTES);
    assert_non_null(heap);
    for (uint32_t i = 0; plan->pins && i < KILL_OLD; i += 3) {
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
    int result = kill_step(what, &source, book, false, image_is_well, &trial, &count);
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
    if (!strncmp(what->name, "compact", 7))
        assert_true(book->moved > 0);
}

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
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t i = 0; i < kill_plan_count && count < 64; i++) {
        const struct kill_plan *plan = &kill_plans[i];
        if (argc > 1 ? strcmp(argv[1], plan->what.name) != 0 : plan->full && !full_run)
            continue;
        tests[count++] = (struct CMUnitTest){.name = plan->what.name,
                                             .test_func = try_case,
                                             .initial_state = (void *)(uintptr_t)plan};
    }
    return _cmocka_run_group_tests("kill", tests, count, NULL, show_total);
}

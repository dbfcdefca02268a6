// SPDX-License-Identifier: MIT
// Workloads and subjects that misbehave on purpose.
//
// Built on: broken.h.
#include "harness/run/broken.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FATAL_STEP = 100, SCRATCH_BYTES = 1 << 16 };

static bool last(const struct sb_worker *worker)
{
    return worker->index + 1 == worker->workers;
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)options, (void)workers, (void)steps;
    return sizeof(_Atomic uint64_t);
}

static uint64_t live_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)options, (void)steps;
    return workers * UINT64_C(4096);
}

static int begin(struct sb_worker *worker)
{
    (void)worker;
    return 0;
}

static int begin_refused(struct sb_worker *worker)
{
    return last(worker) ? sb_fail(&worker->error, -ENOMEM, "no room for the roots") : 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    (void)first;
    atomic_fetch_add((_Atomic uint64_t *)worker->shared, count);
    worker->recorder.record->counters.ops[SB_OP_OTHER] += count;
    return 0;
}

static bool fatal(const struct sb_worker *worker, uint64_t first, uint64_t count)
{
    return last(worker) && first <= FATAL_STEP && first + count > FATAL_STEP;
}

static int step_crash(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    if (fatal(worker, first, count)) {
        raise(SIGSEGV);
    }
    return step(worker, first, count);
}

static int step_exit(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    if (fatal(worker, first, count)) {
        _exit(7);
    }
    return step(worker, first, count);
}

static int step_hang(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    while (fatal(worker, first, count)) {
        pause();
    }
    return step(worker, first, count);
}

static int step_wait(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    uint32_t turns = 0;
    int rc = 0;
    while (fatal(worker, first, count) && rc == 0) {
        rc = sb_wait_turn(worker, &turns);
    }
    return rc != 0 ? rc : step(worker, first, count);
}

static int verify(struct sb_worker *worker)
{
    uint64_t sum = atomic_load((_Atomic uint64_t *)worker->shared);
    worker->recorder.record->counters.verified_bytes += sizeof sum;
    return sum == worker->steps * worker->workers
               ? 0
               : sb_fail(&worker->error, -EBADMSG, "steps were lost");
}

static int verify_wrong(struct sb_worker *worker)
{
    return last(worker)
               ? sb_fail(&worker->error, -EBADMSG, "block 3 holds another's bytes")
               : 0;
}

static void end(struct sb_worker *worker)
{
    (void)worker;
}

#define WORKLOAD(label, begin_call, step_call, verify_call)                            \
    {                                                                                  \
        .name = label, .summary = "for tests", .source = "none", .stresses = "",       \
        .not_shown = "", .workers_least = 1, .shared_bytes = shared_bytes,             \
        .live_bytes = live_bytes, .begin = begin_call, .step = step_call,              \
        .verify = verify_call, .end = end,                                             \
    }
const struct sb_workload broken_none = WORKLOAD("none", begin, step, verify);
const struct sb_workload broken_crash = WORKLOAD("crash", begin, step_crash, verify);
const struct sb_workload broken_exit = WORKLOAD("exit", begin, step_exit, verify);
const struct sb_workload broken_hang = WORKLOAD("hang", begin, step_hang, verify);
const struct sb_workload broken_wait = WORKLOAD("wait", begin, step_wait, verify);
const struct sb_workload broken_refuse =
    WORKLOAD("refuse", begin_refused, step, verify);
const struct sb_workload broken_wrong = WORKLOAD("wrong", begin, step, verify_wrong);
const struct sb_workload *const broken_workloads[] = {
    &broken_none, &broken_crash,  &broken_exit,  &broken_hang,
    &broken_wait, &broken_refuse, &broken_wrong, NULL,
};

// --- subjects: a heap is a scratch area, all blocks of which are the same one ---

struct sb_heap {
    char name[64];
    char *scratch;
};

static int probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "test");
    return 0;
}

static int create(const struct sb_place *place, const void *options,
                  struct sb_heap **heap)
{
    (void)options;
    struct sb_heap *made = calloc(1, sizeof *made);
    if (!made || !(made->scratch = malloc(SCRATCH_BYTES))) {
        free(made);
        return -ENOMEM;
    }
    snprintf(made->name, sizeof made->name, "%s", place->name);
    *heap = made;
    return 0;
}

static int create_shm(const struct sb_place *place, const void *options,
                      struct sb_heap **heap)
{
    int rc = create(place, options, heap);
    int fd = rc == 0 ? shm_open(place->name, O_CREAT | O_EXCL | O_RDWR, 0600) : -1;
    if (fd >= 0) {
        rc = ftruncate(fd, 1 << 20) == 0 && write(fd, "x", 1) == 1 ? 0 : -errno;
        close(fd);
    }
    return rc;
}

static int create_tight(const struct sb_place *place, const void *options,
                        struct sb_heap **heap)
{
    (void)place, (void)options, (void)heap;
    return -ENOMEM;
}

static int attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **ctx)
{
    (void)worker;
    *ctx = (struct sb_ctx *)heap;
    return 0;
}

static void detach(struct sb_ctx *ctx)
{
    (void)ctx;
}

static int destroy(struct sb_heap *heap)
{
    free(heap->scratch);
    free(heap);
    return 0;
}

static int destroy_shm(struct sb_heap *heap)
{
    shm_unlink(heap->name);
    return destroy(heap);
}

static int alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx;
    if (bytes > SCRATCH_BYTES) {
        return -ENOMEM;
    }
    block->bits = 1;
    return 0;
}

static int alloc_slow(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    sb_sleep_ns(2000000);
    return alloc(ctx, bytes, block);
}

static int alloc_stuck(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    sb_sleep_ns(3000000000);
    return alloc(ctx, bytes, block);
}

static int release(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx, (void)block;
    return 0;
}

static void *address(struct sb_ctx *ctx, sb_ref block)
{
    (void)block;
    return ((struct sb_heap *)ctx)->scratch;
}

static int usage(struct sb_heap *heap, struct sb_usage *figures)
{
    (void)heap;
    memset(figures, 0xff, sizeof *figures); // all SB_UNKNOWN
    figures->locks_count = 0;
    return 0;
}

#define SUBJECT(label, caps, places, create_call, destroy_call, alloc_call)            \
    {                                                                                  \
        .abi = SB_SUBJECT_ABI, .size = sizeof(struct sb_subject), .name = label,       \
        .summary = "for tests", .origin = "none", .capabilities = caps,                \
        .media = places, .probe = probe, .create = create_call, .attach = attach,      \
        .detach = detach, .destroy = destroy_call, .alloc = alloc_call,                \
        .free = release, .address = address, .usage = usage,                           \
    }
const struct sb_subject broken_lossy =
    SUBJECT("lossy", SB_CAP_PRIVATE, 0, create, destroy, alloc);
const struct sb_subject broken_shm =
    SUBJECT("shm", SB_CAP_PRIVATE, SB_SHM, create_shm, destroy_shm, alloc);
const struct sb_subject broken_tight =
    SUBJECT("tight", SB_CAP_PRIVATE, 0, create_tight, destroy, alloc);
const struct sb_subject broken_slow =
    SUBJECT("slow", SB_CAP_PRIVATE, 0, create, destroy, alloc_slow);
const struct sb_subject broken_stuck =
    SUBJECT("stuck", SB_CAP_PRIVATE, 0, create, destroy, alloc_stuck);
const struct sb_subject *const broken_subjects[] = {
    &broken_lossy, &broken_shm, &broken_tight, &broken_slow, &broken_stuck, NULL,
};

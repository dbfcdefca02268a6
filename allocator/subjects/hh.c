// SPDX-License-Identifier: MIT
// hh: the suite's own handle heap, as a subject.
//
// Built on: allocator/heap/hh.h, which no other file outside that folder includes.
// Concurrency: a door a worker; the heap's own door serves usage and check alone.
// Why this way: a context is the door itself and a reference the handle's word, so that
//   the contract costs a call through a table and nothing else.
// Departures: place.bytes is the room for blocks; the tables come on top of it. The
//   file is sparse, and what is in use of them counts in the footprint.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocator/heap/hh.h"
#include "allocator/subject.h"
#include "harness/base/clock.h"

enum { NAME_BYTES = 256, SPARE_CLIENTS = 8, BACKGROUND_NS = 5000000 };

struct sb_heap {
    struct hh_heap *door;
    bool created;
    bool named;
    struct hh_where where; // to be removed, if named
    char name[NAME_BYTES];
    struct hh_heap *mover; // trigger=background: this process moves, on a thread
    pthread_t thread;
    atomic_bool stop;
};

struct values {
    struct hh_policy policy; // wide fields are set by rows, narrow ones from below
    uint32_t trigger;
    uint64_t batch;
    bool deterministic, checked;
};

static const char *const triggers[] = {"manual", "in_call", "background", NULL};

#define ROW(field) .offset = offsetof(struct values, field)
static const struct sb_option options[] = {
    {.name = "trigger",
     .summary = "who moves blocks: only compact, alloc and free too, or a thread",
     .type = SB_CHOICE,
     ROW(trigger),
     .initial = "in_call",
     .choices = triggers},
    {.name = "frag_start",
     .summary = "footprint over live bytes above which moving starts",
     .type = SB_RATIO,
     ROW(policy.frag_start),
     .initial = "1.40",
     .least = 1.0,
     .most = 100,
     .scale = SB_LINEAR},
    {.name = "frag_stop",
     .summary = "and below which it stops",
     .type = SB_RATIO,
     ROW(policy.frag_stop),
     .initial = "1.05",
     .least = 1.0,
     .most = 100,
     .scale = SB_LINEAR},
    {.name = "occupancy_max",
     .summary = "spans fuller than this are left alone",
     .type = SB_RATIO,
     ROW(policy.occupancy_max),
     .initial = "0.80",
     .least = 0.01,
     .most = 1,
     .scale = SB_LINEAR},
    {.name = "overhead_max",
     .summary = "share of a caller's time that moving may take",
     .type = SB_RATIO,
     ROW(policy.overhead_max),
     .initial = "0.05",
     .least = 0.001,
     .most = 1,
     .scale = SB_LOG},
    {.name = "credit",
     .summary = "bytes that may be moved per byte allocated",
     .type = SB_RATIO,
     ROW(policy.credit),
     .initial = "1.0",
     .least = 0.01,
     .most = 100,
     .scale = SB_LOG},
    {.name = "min_waste_bytes",
     .summary = "below this waste moving never starts",
     .type = SB_BYTES,
     ROW(policy.min_waste_bytes),
     .initial = "1M",
     .least = 0,
     .most = 1e12,
     .scale = SB_LOG},
    {.name = "step_bytes",
     .summary = "most that one step within alloc or free moves",
     .type = SB_BYTES,
     ROW(policy.step_bytes),
     .initial = "64K",
     .least = 4096,
     .most = 1e9,
     .scale = SB_LOG},
    {.name = "step_ns",
     .summary = "and the longest it takes",
     .type = SB_NS,
     ROW(policy.step_ns),
     .initial = "20us",
     .least = 1000,
     .most = 1e9,
     .scale = SB_LOG},
    {.name = "release_bytes",
     .summary = "empty memory kept before it is given back",
     .type = SB_BYTES,
     ROW(policy.release_bytes),
     .initial = "1M",
     .least = 0,
     .most = 1e12,
     .scale = SB_LOG},
    {.name = "batch",
     .summary = "blocks moved per membarrier",
     .type = SB_COUNT,
     ROW(batch),
     .initial = "64",
     .least = 1,
     .most = 64,
     .scale = SB_LOG},
    {.name = "deterministic",
     .summary = "budgets in bytes and calls alone, no clock",
     .type = SB_FLAG,
     ROW(deterministic),
     .initial = "no"},
    {.name = "checked",
     .summary = "free looks for the locks of others, and refuses",
     .type = SB_FLAG,
     ROW(checked),
     .initial = "no"},
    {.name = NULL},
};

static int hh_probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "%s", SB_VERSION);
    return 0;
}

// trigger=background: one thread of the process that created the heap moves, a step at
// a time, while the waste is above the policy's start and until it is below its stop.
static void *move_in_background(void *argument)
{
    struct sb_heap *heap = argument;
    bool moving = false;
    while (!atomic_load_explicit(&heap->stop, memory_order_relaxed)) {
        struct hh_policy policy;
        struct hh_stats stats;
        struct hh_moved moved = {0};
        if (hh_policy_get(heap->mover, &policy) != 0 ||
            hh_stats(heap->mover, &stats) != 0) {
            break;
        }
        uint64_t waste = stats.used_bytes - stats.live_bytes;
        double bound = moving ? policy.frag_stop : policy.frag_start;
        moving = stats.used_bytes > stats.live_bytes && stats.fragmentation > bound &&
                 waste > policy.min_waste_bytes &&
                 hh_compact(heap->mover, policy.step_bytes, (int64_t)policy.step_ns,
                            &moved) == 0 &&
                 moved.blocks > 0;
        if (!moving) {
            sb_sleep_ns(BACKGROUND_NS);
        }
    }
    return NULL;
}

static int background_start(struct sb_heap *heap)
{
    int rc = hh_clone(heap->door, &heap->mover);
    if (rc != 0) {
        return rc;
    }
    rc = pthread_create(&heap->thread, NULL, move_in_background, heap);
    if (rc != 0) {
        hh_close(heap->mover);
        heap->mover = NULL;
    }
    return -rc;
}

static int where_of(const struct sb_place *place, struct sb_heap *heap)
{
    int length = place->medium == SB_SHM
                     ? snprintf(heap->name, NAME_BYTES, "/%s", place->name)
                     : snprintf(heap->name, NAME_BYTES, "%s", place->path);
    if (length >= NAME_BYTES) {
        return -ENAMETOOLONG;
    }
    heap->named = place->medium != SB_MEMFD;
    heap->where = place->medium == SB_SHM ? hh_shm(heap->name) : hh_file(heap->name);
    return 0;
}

static int create_in(const struct sb_place *place, const struct values *values,
                     struct sb_heap *heap)
{
    struct hh_setup setup = {.bytes = place->bytes,
                             .clients = place->workers + SPARE_CLIENTS,
                             .lanes = 2 * place->workers + 2 * SPARE_CLIENTS,
                             .flags = values->checked ? HH_CHECKED : 0};
    if (heap->named) {
        return hh_create(heap->where, &setup, &heap->door);
    }
    int fd = open(place->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = hh_create(hh_fd(fd), &setup, &heap->door);
    close(fd);
    return rc;
}

static int hh_subject_create(const struct sb_place *place, const void *options_chosen,
                             struct sb_heap **out)
{
    const struct values *values = options_chosen;
    struct hh_policy policy = values->policy;
    policy.trigger = values->trigger;
    policy.batch = (uint32_t)values->batch;
    policy.deterministic = values->deterministic;
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    int rc = where_of(place, heap);
    if (rc != 0) {
        goto fail_heap;
    }
    rc = create_in(place, values, heap);
    if (rc != 0) {
        goto fail_heap;
    }
    rc = hh_policy_set(heap->door, &policy);
    if (rc != 0) {
        goto fail_door;
    }
    if (policy.trigger == HH_TRIGGER_BACKGROUND) {
        rc = background_start(heap);
        if (rc != 0) {
            goto fail_door;
        }
    }
    heap->created = true;
    *out = heap;
    return 0;

fail_door:
    if (heap->named) {
        (void)!hh_remove(heap->where);
    }
    hh_close(heap->door);
fail_heap:
    free(heap);
    return rc;
}

static int hh_subject_open(const struct sb_place *place, const void *options_chosen,
                           struct sb_heap **out)
{
    (void)options_chosen; // they are kept in the segment
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    int rc = where_of(place, heap);
    if (rc == 0) {
        rc = hh_open(heap->where, &heap->door);
    }
    if (rc != 0) {
        free(heap);
        return rc;
    }
    *out = heap;
    return 0;
}

static int hh_attach_worker(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    (void)worker;
    struct hh_heap *door;
    int rc = hh_clone(heap->door, &door);
    if (rc != 0) {
        return rc;
    }
    *out = (struct sb_ctx *)door;
    return 0;
}

static struct hh_heap *door_of(struct sb_ctx *ctx)
{
    return (struct hh_heap *)ctx;
}

static void hh_detach_worker(struct sb_ctx *ctx)
{
    hh_close(door_of(ctx));
}

static int hh_destroy(struct sb_heap *heap)
{
    int rc = 0;
    if (heap->mover != NULL) {
        atomic_store(&heap->stop, true);
        pthread_join(heap->thread, NULL);
        hh_close(heap->mover);
    }
    if (heap->created && heap->named) {
        rc = hh_remove(heap->where);
    }
    hh_close(heap->door);
    free(heap);
    return rc;
}

// A reference is the handle's own word, written where the caller wants it: by way of a
// variable here it would be stored and loaded once more (see CMakeLists.txt for the
// aliasing).
_Static_assert(sizeof(sb_ref) == sizeof(hh_handle), "a reference is a handle");

static int hh_alloc_block(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    return hh_alloc(door_of(ctx), bytes, (hh_handle *)block);
}

static int hh_free_block(struct sb_ctx *ctx, sb_ref block)
{
    return hh_free(door_of(ctx), (hh_handle){block.bits});
}

// Apart, so that a pin does not pay for the registers that this needs.
static __attribute__((noinline)) int lock_exclusive(struct sb_ctx *ctx, sb_ref block,
                                                    uint64_t timeout_ns, void **address)
{
    hh_handle handle = {block.bits};
    // Without a wait no clock is read.
    int rc = hh_lock(door_of(ctx), handle, HH_EXCLUSIVE, HH_NOWAIT, address);
    if (rc != -ETIMEDOUT || timeout_ns == 0) {
        return rc;
    }
    int64_t deadline =
        timeout_ns > INT64_MAX / 2 ? HH_FOREVER : hh_deadline((int64_t)timeout_ns);
    return hh_lock(door_of(ctx), handle, HH_EXCLUSIVE, deadline, address);
}

static int hh_lock_block(struct sb_ctx *ctx, sb_ref block, enum sb_lock_mode mode,
                         uint64_t timeout_ns, void **address)
{
    if (__builtin_expect(mode != SB_LOCK_PIN, 0)) {
        return lock_exclusive(ctx, block, timeout_ns, address);
    }
    return hh_lock(door_of(ctx), (hh_handle){block.bits}, HH_PIN, HH_NOWAIT, address);
}

static int hh_unlock_block(struct sb_ctx *ctx, sb_ref block)
{
    return hh_unlock(door_of(ctx), (hh_handle){block.bits});
}

// Good only while the caller has the block locked, as the contract says.
static void *hh_address(struct sb_ctx *ctx, sb_ref block)
{
    void *address;
    hh_handle handle = {block.bits};
    if (hh_lock(door_of(ctx), handle, HH_PIN, HH_NOWAIT, &address) != 0 ||
        hh_unlock(door_of(ctx), handle) != 0) {
        return NULL;
    }
    return address;
}

static int hh_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    struct hh_stats stats;
    int rc = hh_stats(heap->door, &stats);
    if (rc != 0) {
        return rc;
    }
    *usage = (struct sb_usage){
        .footprint_bytes = SB_UNKNOWN,
        .table_bytes = stats.table_bytes,
        .usable_bytes = stats.live_bytes,
        .live_blocks = stats.live_blocks,
        .moved_bytes = stats.moved_bytes,
        .moves = stats.moved_blocks,
        .moves_cancelled = stats.moves_cancelled,
        .moves_pinned = stats.moves_pinned,
        .returned_bytes = SB_UNKNOWN,
        .compactions = stats.mover_calls,
        .mover_ns = stats.mover_ns,
        .locks_count = 1,
        .locks = {{.name = "exclusive blocks",
                   .acquisitions = SB_UNKNOWN,
                   .contended = stats.exclusive_waits,
                   .wait_ns = stats.exclusive_wait_ns,
                   .longest_wait_ns = stats.exclusive_wait_ns_max,
                   .hold_ns = SB_UNKNOWN,
                   .longest_hold_ns = SB_UNKNOWN}},
    };
    return 0;
}

// The handle stays the same, whether the block moved or not.
static int hh_realloc_block(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    return hh_realloc(door_of(ctx), (hh_handle){block->bits}, bytes);
}

static int hh_repair_all(struct sb_heap *heap)
{
    uint32_t recovered;
    return hh_repair(heap->door, &recovered);
}

static int hh_compact_now(struct sb_ctx *ctx, uint64_t budget_bytes,
                          struct sb_compacted *done)
{
    struct hh_moved moved;
    if (budget_bytes == 0) { // which to the heap would mean: without bound
        *done = (struct sb_compacted){0};
        return 0;
    }
    int rc = hh_compact(door_of(ctx), budget_bytes == UINT64_MAX ? 0 : budget_bytes, 0,
                        &moved);
    if (rc == -EBUSY) { // another worker is at it: not an error, but not the end
        *done = (struct sb_compacted){.finished = false};
        return 0;
    }
    if (rc != 0) {
        return rc;
    }
    *done = (struct sb_compacted){.moved_bytes = moved.bytes,
                                  .moves = moved.blocks,
                                  .cancelled = moved.cancelled,
                                  .pinned = moved.pinned,
                                  .returned_bytes = moved.punched_bytes,
                                  .finished = moved.blocks == 0};
    return 0;
}

static int hh_check_all(struct sb_heap *heap, char *text, size_t bytes)
{
    int rc = hh_check(heap->door);
    if (rc != 0) {
        snprintf(text, bytes, "%s", hh_why());
    }
    return rc;
}

const struct sb_subject sb_subject_hh = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "hh",
    .summary = "the suite's handle heap: all is shared; blocks move unless locked",
    .origin = "shmbench",
    .capabilities = SB_CAP_SHARE | SB_CAP_REMOTE_FREE | SB_CAP_PIN | SB_CAP_EXCLUSIVE |
                    SB_CAP_REALLOC | SB_CAP_COMPACT | SB_CAP_REPAIR | SB_CAP_CHECK,
    .media = SB_MEMFD | SB_SHM | SB_FILE,
    .options = options,
    .options_bytes = sizeof(struct values),
    .probe = hh_probe,
    .create = hh_subject_create,
    .open = hh_subject_open,
    .attach = hh_attach_worker,
    .detach = hh_detach_worker,
    .destroy = hh_destroy,
    .alloc = hh_alloc_block,
    .free = hh_free_block,
    .address = hh_address,
    .usage = hh_usage,
    .lock = hh_lock_block,
    .unlock = hh_unlock_block,
    .realloc = hh_realloc_block,
    .compact = hh_compact_now,
    .repair = hh_repair_all,
    .check = hh_check_all,
};

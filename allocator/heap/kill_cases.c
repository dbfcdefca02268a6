// SPDX-License-Identifier: MIT
/*
 * kill_cases.c - see kill_cases.h.
 *
 * Built on: hh.h, kill_verify.h. Concurrency: each runs in the stepped process alone.
 * Why this way: a call says in the list what it is about to do before it does it, so
 * that the list is right at every instruction.
 */
#include "allocator/heap/kill_cases.h"

#include "allocator/heap/kill_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int error)
{
    if (error) {
        (void)fprintf(stderr, "kill_cases: %s: %s\n", hh_strerror(error), hh_why());
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
    for (int i = 0; i < (int)KILL_CLIENTS - 1; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = KILL_TOKEN + i, .l_len = 1};
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

static void *ready_nothing(int fd, struct kill_book *in)
{
    (void)in;
    return (void *)(uintptr_t)(fd + 1);
}

/* With a block of each size in its magazines. */
static void *ready_warm(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    must(kill_block_new(heap, in, KILL_OWN, 64));
    must(kill_block_end(heap, in, KILL_OWN));
    return heap;
}

static void call_pair(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, KILL_OWN, 64));
    must(kill_block_end(door, in, KILL_OWN));
}

/* Through refills, the depot and back. */
static void call_many(void *door, struct kill_book *in)
{
    for (uint32_t i = 0; i < 14; i++)
        must(kill_block_new(door, in, KILL_OWN + i, 1000));
    for (uint32_t i = 0; i < 14; i++)
        must(kill_block_end(door, in, KILL_OWN + i));
    for (uint32_t i = 0; i < 10; i++)
        must(kill_block_new(door, in, KILL_OWN + i, 1000));
}

static void call_refill(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, KILL_OWN, 32));
}

static void call_large(void *door, struct kill_book *in)
{
    must(kill_block_new(door, in, KILL_OWN, 40000));
    must(kill_block_end(door, in, KILL_OWN));
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
    for (uint32_t i = 0; i < KILL_OLD; i++) {
        if (in->block[i].state == KILL_PUBLISHED)
            must(hh_lock(door, in->block[i].handle, HH_PIN, HH_NOWAIT, &at));
    }
    for (uint32_t i = 0; i < KILL_OLD; i++) {
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
    must(hh_compact(door, 0, 0, &moved));
    in->moved = moved.blocks;
}

/* Large blocks with a hole below them. */
static void *ready_shift(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    for (uint32_t i = 0; i < 3; i++)
        must(kill_block_new(heap, in, KILL_OWN + i, 36000));
    must(kill_block_end(heap, in, KILL_OWN));
    return heap;
}

static void *ready_full(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    int error = 0;
    for (uint32_t i = KILL_OWN; i < KILL_BLOCKS - 1 && !error; i++)
        error = kill_block_new(heap, in, i, i < KILL_OWN + 8 ? 33000 : 4000);
    if (error != -ENOMEM)
        must(error ? error : -E2BIG);
    for (uint32_t i = KILL_OWN; i < KILL_OWN + 60; i += 2) {
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
        must(kill_block_new(heap, in, KILL_OWN + i, i % 2 ? 1000 : 300));
    for (uint32_t i = 0; i < 20; i += 3)
        must(kill_block_end(heap, in, KILL_OWN + i));
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
    must(kill_block_new(more, in, KILL_OWN, 2000));
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
        must(hh_lock(heap, in->block[KILL_OWN + 1].handle, HH_EXCLUSIVE, HH_NOWAIT,
                     &at));
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        _exit(9);
    return ready_recover(fd, in);
}

/* Another size: in its class, to another class, to a run of pages and back. */
static void *ready_sizes(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_open(fd, in);
    in->loose = 0;
    must(kill_block_new(heap, in, KILL_OWN, 100));
    must(kill_block_new(heap, in, KILL_OWN + 1, 40000));
    return heap;
}

static void resize(void *door, struct kill_book *in, uint32_t slot, uint32_t bytes)
{
    struct kill_block *block = &in->block[slot];
    void *at;
    block->was_bytes = block->bytes;
    block->bytes = bytes;
    __atomic_store_n(&block->state, KILL_SIZING, __ATOMIC_SEQ_CST);
    int error = -EBUSY;
    for (int tries = 0; error == -EBUSY && tries < 1000; tries++)
        error = hh_realloc(door, block->handle, bytes);
    must(error);
    must(hh_lock(door, block->handle, HH_PIN, HH_NOWAIT, &at));
    kill_fill(at, bytes, slot);
    must(hh_unlock(door, block->handle));
    __atomic_store_n(&block->state, KILL_PUBLISHED, __ATOMIC_SEQ_CST);
}

static void call_sizes(void *door, struct kill_book *in)
{
    resize(door, in, KILL_OWN, 97);
    resize(door, in, KILL_OWN, 300);
    resize(door, in, KILL_OWN, 33000);
    resize(door, in, KILL_OWN + 1, 36000);
    resize(door, in, KILL_OWN + 1, 64);
    resize(door, in, KILL_OWN, 20);
}

/* A block that others find through a slot in another one: nothing may be lost. */
static void *ready_holder(int fd, struct kill_book *in)
{
    struct hh_heap *heap = ready_warm(fd, in);
    void *at;
    in->loose = 0;
    must(kill_block_new(heap, in, KILL_OWN, 64));
    in->block[KILL_OWN].slots = 2;
    must(hh_lock(heap, in->block[KILL_OWN].handle, HH_PIN, HH_NOWAIT, &at));
    ((uint64_t *)at)[0] = ((uint64_t *)at)[1] = 0;
    must(hh_unlock(heap, in->block[KILL_OWN].handle));
    return heap;
}

static void call_alloc_to(void *door, struct kill_book *in)
{
    hh_handle holder = in->block[KILL_OWN].handle, made;
    must(hh_alloc_to(door, 64, holder, 0, &made));
    must(hh_alloc_to(door, 40000, holder, 8, &made));
}

static void call_publish(void *door, struct kill_book *in)
{
    static const uint32_t sizes[3] = {64, 1000, 40000};
    hh_handle none = {0};
    void *at;
    for (uint32_t i = 0; i < 3; i++) {
        struct kill_block *block = &in->block[KILL_OWN + 1 + i];
        must(hh_alloc_to(door, sizes[i], none, 0, &block->handle));
        must(hh_lock(door, block->handle, HH_PIN, HH_NOWAIT, &at));
        kill_fill(at, 64, KILL_OWN + 1 + i);
        must(hh_unlock(door, block->handle));
        block->bytes = sizes[i];
        block->filled = 64;
        block->seed = KILL_OWN + 1 + i;
        __atomic_store_n(&block->state, KILL_GOING, __ATOMIC_SEQ_CST);
        must(hh_publish(door, block->handle));
        __atomic_store_n(&block->state, KILL_PUBLISHED, __ATOMIC_SEQ_CST);
    }
}

static void call_take(void *door, struct kill_book *in)
{
    hh_handle holder = in->block[KILL_OWN].handle, made, taken;
    must(hh_alloc_to(door, 64, holder, 0, &made));
    in->block[KILL_OWN + 1].handle = made;
    in->block[KILL_OWN + 1].bytes = 64;
    in->block[KILL_OWN + 1].slots = 8; /* never filled */
    __atomic_store_n(&in->block[KILL_OWN + 1].state, KILL_PUBLISHED, __ATOMIC_SEQ_CST);
    must(hh_take(door, holder, 0, &taken));
    must(kill_block_end(door, in, KILL_OWN + 1));
}

static void call_repair(void *door, struct kill_book *in)
{
    uint32_t recovered;
    (void)in;
    must(hh_repair(door, &recovered));
}

const struct kill_case kill_second = {"second kill", ready_recover, call_repair};

const struct kill_plan kill_plans[] = {
    {{"alloc_free", ready_warm, call_pair}, 0, false, false, false},
    {{"refill", ready_open, call_refill}, 600, false, false, false},
    {{"depot", ready_open, call_many}, 200, false, false, false},
    {{"large", ready_open, call_large}, 120, false, false, false},
    {{"remote_free", ready_open, call_remote}, 40, false, false, false},
    {{"pins", ready_open, call_pins}, 0, false, false, false},
    {{"exclusive", ready_open, call_exclusive}, 30, false, false, false},
    {{"realloc", ready_sizes, call_sizes}, 300, false, false, false},
    {{"alloc_to", ready_holder, call_alloc_to}, 90, false, false, false},
    {{"publish", ready_holder, call_publish}, 90, false, false, false},
    {{"take", ready_holder, call_take}, 0, false, false, false},
    {{"compact", ready_open, call_compact}, 900, false, true, false},
    {{"compact_pinned", ready_open, call_compact}, 1600, true, false, true},
    {{"compact_large", ready_shift, call_compact}, 2200, false, false, false},
    {{"full", ready_full, call_full}, 60, false, false, true},
    {{"open", ready_nothing, call_open}, 0, false, false, false},
    {{"close", ready_close, call_close}, 20, false, false, false},
    {{"clone", ready_open, call_clone}, 0, false, false, false},
    {{"settings", ready_open, call_settings}, 0, false, false, false},
    {{"recovery", ready_dead, call_check}, 100, false, true, false},
    {{"repair", ready_dead, call_repair}, 0, false, false, false},
};
const size_t kill_plan_count = sizeof kill_plans / sizeof kill_plans[0];

// SPDX-License-Identifier: MIT
/*
 * hh_test.c - the promises of hh.h, one process.
 *
 * Built on: hh.h alone. Every heap is a memfd, so nothing is left behind.
 */
#include "allocator/heap/hh.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hh_heap *make(uint64_t bytes, uint32_t flags)
{
    struct hh_heap *heap = NULL;
    struct hh_setup setup = {.bytes = bytes, .flags = flags};
    assert_int_equal(hh_create(hh_memfd("test"), &setup, &heap), 0);
    return heap;
}

static void finish(struct hh_heap *heap)
{
    int error = hh_check(heap);
    if (error)
        fail_msg("hh_check: %s", hh_why());
    hh_close(heap);
}

static hh_handle filled(struct hh_heap *heap, size_t bytes, int value)
{
    hh_handle block;
    void *at;
    assert_int_equal(hh_alloc(heap, bytes, &block), 0);
    assert_int_equal(hh_lock(heap, block, HH_PIN, HH_NOWAIT, &at), 0);
    assert_int_equal((uintptr_t)at % 16, 0);
    memset(at, value, bytes);
    assert_int_equal(hh_unlock(heap, block), 0);
    return block;
}

static void holds(struct hh_heap *heap, hh_handle block, size_t bytes, int value)
{
    unsigned char *at;
    size_t size;
    assert_int_equal(hh_bytes(heap, block, &size), 0);
    assert_int_equal(size, bytes);
    assert_int_equal(hh_lock(heap, block, HH_PIN, HH_NOWAIT, (void **)&at), 0);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(at[i], value & 255);
    assert_int_equal(hh_unlock(heap, block), 0);
}

static void test_every_size(void **state)
{
    (void)state;
    struct hh_heap *heap = make(64 << 20, 0);
    hh_handle blocks[600];
    size_t sizes[600], count = 0;
    for (size_t bytes = 1; bytes < 3 << 20 && count < 600; bytes += 1 + bytes / 16)
        sizes[count++] = bytes;
    for (size_t i = 0; i < count; i++)
        blocks[i] = filled(heap, sizes[i], (int)i);
    for (size_t i = 0; i < count; i++) {
        size_t usable;
        holds(heap, blocks[i], sizes[i], (int)i);
        assert_int_equal(hh_usable(heap, blocks[i], &usable), 0);
        assert_true(usable >= sizes[i]);
        assert_true(usable <= sizes[i] + sizes[i] / 8 + 4096);
        assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    finish(heap);
}

static void test_stale(void **state)
{
    (void)state;
    struct hh_heap *heap = make(8 << 20, 0), *other = make(8 << 20, 0);
    void *at = NULL;
    size_t size;
    for (int i = 0; i < 2; i++) {
        hh_handle old = filled(heap, i ? 100000 : 64, 1), again;
        assert_int_equal(hh_free(heap, old), 0);
        assert_int_equal(hh_alloc(heap, i ? 100000 : 64, &again), 0);
        assert_int_not_equal(old.word, again.word);
        assert_int_equal(hh_lock(heap, old, HH_PIN, HH_NOWAIT, &at), -ESTALE);
        assert_int_equal(hh_lock(heap, old, HH_EXCLUSIVE, HH_NOWAIT, &at), -ESTALE);
        assert_int_equal(hh_free(heap, old), -ESTALE);
        assert_int_equal(hh_bytes(heap, old, &size), -ESTALE);
        assert_int_equal(hh_unlock(heap, old), -EPERM);
        assert_null(at);
    }
    for (uint64_t bit = 0; bit < 64; bit++) {
        hh_handle forged = {UINT64_C(1) << bit};
        assert_int_equal(hh_free(heap, forged), -ESTALE);
        assert_int_equal(hh_lock(heap, forged, HH_PIN, HH_NOWAIT, &at), -ESTALE);
    }
    hh_handle mine = filled(heap, 64, 1), none = {0};
    mine.word ^= UINT64_C(1) << 56;
    assert_int_equal(hh_lock(other, mine, HH_PIN, HH_NOWAIT, &at), -ESTALE);
    assert_int_equal(hh_free(heap, mine), -ESTALE);
    assert_int_equal(hh_free(heap, none), -ESTALE);
    finish(heap);
    finish(other);
}

static void test_arguments(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20, 0);
    hh_handle block = {7};
    void *at;
    assert_int_equal(hh_alloc(NULL, 1, &block), -EINVAL);
    assert_int_equal(hh_alloc(heap, 0, &block), -EINVAL);
    assert_int_equal(hh_alloc(heap, SIZE_MAX, &block), -ENOMEM);
    assert_int_equal(hh_alloc(heap, (4 << 20) + 1, &block), -ENOMEM);
    assert_int_equal(block.word, 7);
    block = filled(heap, 10, 3);
    assert_int_equal(hh_lock(heap, block, 0, HH_NOWAIT, &at), -EINVAL);
    assert_int_equal(hh_lock(heap, block, 7, HH_NOWAIT, &at), -EINVAL);
    finish(heap);
    struct hh_setup none = {0}, huge = {.bytes = UINT64_C(1) << 50};
    assert_int_equal(hh_create(hh_memfd("x"), &none, &heap), -EINVAL);
    assert_int_equal(hh_create(hh_memfd("x"), &huge, &heap), -E2BIG);
    assert_int_equal(hh_open(hh_file("/nonexistent/heap"), &heap), -ENOENT);
    assert_string_not_equal(hh_why(), "");
}

static void test_locks_nest(void **state)
{
    (void)state;
    struct hh_heap *heap = make(16 << 20, 0);
    hh_handle blocks[600];
    void *at, *first[600];
    for (int i = 0; i < 600; i++)
        blocks[i] = filled(heap, 32, i);
    uint32_t held = 0;
    for (int i = 0; i < 600; i++) {
        int error = hh_lock(heap, blocks[i], HH_PIN, HH_NOWAIT, &first[i]);
        assert_true(error == 0 || error == -EMFILE);
        if (error)
            break;
        held++;
    }
    assert_int_equal(held, HH_LOCKS);
    /* What is pinned already counts instead of taking a cell, however deep. */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(hh_lock(heap, blocks[300], HH_PIN, HH_NOWAIT, &at), 0);
        assert_ptr_equal(at, first[300]);
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(hh_unlock(heap, blocks[300]), 0);
    assert_int_equal(hh_free(heap, blocks[300]), -EBUSY);
    struct hh_moved moved;
    assert_int_equal(hh_compact(heap, 0, 0, &moved), 0);
    for (uint32_t i = 0; i < held; i += 2)
        assert_int_equal(hh_unlock(heap, blocks[i]), 0);
    for (uint32_t i = 1; i < held; i += 2) {
        assert_memory_equal(first[i], &(unsigned char[]){(unsigned char)i}, 1);
        assert_int_equal(hh_unlock(heap, blocks[i]), 0);
    }
    for (int i = 0; i < 600; i++) {
        assert_int_equal(hh_unlock(heap, blocks[i]), -EPERM);
        assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    finish(heap);
}

static void test_busy(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20, HH_CHECKED), *second;
    void *at;
    assert_int_equal(hh_clone(heap, &second), 0);
    hh_handle block = filled(heap, 64, 1);
    assert_int_equal(hh_lock(heap, block, HH_PIN, HH_NOWAIT, &at), 0);
    assert_int_equal(hh_free(heap, block), -EBUSY);
    assert_int_equal(hh_free(second, block), -EBUSY);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_lock(heap, block, HH_EXCLUSIVE, HH_NOWAIT, &at), 0);
    assert_int_equal(hh_free(second, block), -EBUSY);
    assert_int_equal(hh_free(heap, block), -EBUSY);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_free(second, block), 0);
    hh_close(second);
    finish(heap);
}

static void test_exclusive(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20, 0), *second;
    void *at, *again;
    assert_int_equal(hh_clone(heap, &second), 0);
    hh_handle block = filled(heap, 64, 1);
    assert_int_equal(hh_lock(heap, block, HH_EXCLUSIVE, HH_NOWAIT, &at), 0);
    assert_int_equal(hh_lock(heap, block, HH_EXCLUSIVE, HH_FOREVER, &again), -EDEADLK);
    assert_int_equal(hh_lock(second, block, HH_EXCLUSIVE, HH_NOWAIT, &again),
                     -ETIMEDOUT);
    assert_non_null(strstr(hh_why(), "door 0"));
    assert_int_equal(hh_lock(second, block, HH_EXCLUSIVE, hh_deadline(3000000), &again),
                     -ETIMEDOUT);
    assert_int_equal(hh_lock(second, block, HH_PIN, HH_NOWAIT, &again), 0);
    assert_ptr_equal(at, again);
    assert_int_equal(hh_unlock(second, block), 0);
    assert_int_equal(hh_unlock(heap, block), 0);
    assert_int_equal(hh_lock(second, block, HH_EXCLUSIVE, HH_NOWAIT, &again), 0);
    assert_int_equal(hh_unlock(second, block), 0);
    assert_int_equal(hh_unlock(second, block), -EPERM);
    hh_close(second);
    finish(heap);
}

/* Every second block freed: compaction must bring the rest together, contents intact,
 * with the pinned ones where they were. */
static void test_compact(void **state)
{
    (void)state;
    enum { COUNT = 20000, PINS = 10 };
    struct hh_heap *heap = make(64 << 20, 0);
    hh_handle *blocks = calloc(COUNT, sizeof *blocks);
    void *pinned[PINS], *at;
    struct hh_stats before, after;
    struct hh_moved moved;
    for (int i = 0; i < COUNT; i++)
        blocks[i] = filled(heap, 200 + (size_t)i % 50, i);
    for (int i = 0; i < COUNT; i += 2)
        assert_int_equal(hh_free(heap, blocks[i]), 0);
    for (int i = 0; i < PINS; i++)
        assert_int_equal(
            hh_lock(heap, blocks[i * 1000 + 1], HH_PIN, HH_NOWAIT, &pinned[i]), 0);
    assert_int_equal(hh_stats(heap, &before), 0);
    assert_int_equal(hh_compact(heap, 0, 0, &moved), 0);
    assert_int_equal(hh_stats(heap, &after), 0);
    assert_true(moved.blocks > 0);
    assert_true(after.used_bytes < before.used_bytes * 7 / 10);
    for (int i = 0; i < PINS; i++) {
        assert_int_equal(hh_lock(heap, blocks[i * 1000 + 1], HH_PIN, HH_NOWAIT, &at),
                         0);
        assert_ptr_equal(at, pinned[i]);
        assert_int_equal(hh_unlock(heap, blocks[i * 1000 + 1]), 0);
        assert_int_equal(hh_unlock(heap, blocks[i * 1000 + 1]), 0);
    }
    assert_int_equal(hh_check(heap), 0);
    for (int i = 1; i < COUNT; i += 2) {
        holds(heap, blocks[i], 200 + (size_t)i % 50, i);
        assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    free(blocks);
    finish(heap);
}

static void test_budget(void **state)
{
    (void)state;
    struct hh_heap *heap = make(32 << 20, 0);
    hh_handle blocks[8000];
    struct hh_moved moved;
    for (int i = 0; i < 8000; i++)
        blocks[i] = filled(heap, 500, i);
    for (int i = 0; i < 8000; i++) {
        if (i % 4)
            assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    assert_int_equal(hh_compact(heap, 64 << 10, 0, &moved), 0);
    assert_true(moved.bytes > 0 && moved.bytes <= (64 << 10) + 64 * 512);
    assert_int_equal(hh_compact(heap, 0, 0, &moved), 0);
    for (int i = 0; i < 8000; i += 4)
        holds(heap, blocks[i], 500, i);
    finish(heap);
}

/* Moves happen within alloc and free too, when the policy says so. */
static void test_moves_in_calls(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    struct hh_heap *heap = make(64 << 20, 0);
    hh_handle *blocks = calloc(COUNT, sizeof *blocks);
    struct hh_policy policy;
    struct hh_stats stats;
    assert_int_equal(hh_policy_get(heap, &policy), 0);
    policy.min_waste_bytes = 4096;
    policy.frag_start = 1.05;
    policy.frag_stop = 1.01;
    policy.deterministic = 1;
    assert_int_equal(hh_policy_set(heap, &policy), 0);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = filled(heap, 300, i);
    for (int i = 0; i < COUNT; i++) {
        if (i % 8)
            assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    for (int i = 0; i < 20000; i++) {
        hh_handle large;
        assert_int_equal(hh_alloc(heap, 40000, &large), 0);
        assert_int_equal(hh_free(heap, large), 0);
    }
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_true(stats.steps > 0);
    assert_true(stats.moved_blocks > 0);
    for (int i = 0; i < COUNT; i += 8)
        holds(heap, blocks[i], 300, i);
    free(blocks);
    finish(heap);
}

static void test_full(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20, 0);
    static hh_handle blocks[5000];
    for (int round = 0; round < 3; round++) {
        size_t bytes = round == 0 ? 1000 : round == 1 ? 30000 : 100000;
        uint32_t count = 0;
        int error;
        while (!(error = hh_alloc(heap, bytes, &blocks[count])))
            count++;
        assert_int_equal(error, -ENOMEM);
        assert_true(count * bytes > (4 << 20) * 80 / 100);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(hh_free(heap, blocks[i]), 0);
    }
    finish(heap);
}

static void test_roots(void **state)
{
    (void)state;
    struct hh_heap *heap = make(1 << 20, 0);
    hh_handle block = filled(heap, 10, 1), none = {0}, got = {5};
    char name[80] = "a";
    assert_int_equal(hh_root_get(heap, "x", &got), -ENOENT);
    assert_int_equal(got.word, 5);
    for (uint32_t i = 0; i < HH_ROOTS; i++) {
        name[1] = (char)('0' + i);
        assert_int_equal(hh_root_set(heap, name, block), 0);
    }
    assert_int_equal(hh_root_set(heap, "more", block), -ENOSPC);
    assert_int_equal(hh_root_get(heap, "a5", &got), 0);
    assert_int_equal(got.word, block.word);
    assert_int_equal(hh_root_set(heap, "a5", none), 0);
    assert_int_equal(hh_root_get(heap, "a5", &got), -ENOENT);
    memset(name, 'x', 79);
    assert_int_equal(hh_root_set(heap, name, block), -ENAMETOOLONG);
    finish(heap);
}

static void test_policy(void **state)
{
    (void)state;
    struct hh_heap *heap = make(1 << 20, 0);
    struct hh_policy policy, bad;
    assert_int_equal(hh_policy_get(heap, &policy), 0);
    assert_true(policy.frag_start == 1.40 && policy.batch == 64);
    bad = policy;
    bad.frag_stop = 2;
    assert_int_equal(hh_policy_set(heap, &bad), -ERANGE);
    assert_non_null(strstr(hh_why(), "frag_stop"));
    bad = policy;
    bad.batch = 65;
    assert_int_equal(hh_policy_set(heap, &bad), -ERANGE);
    policy.batch = 8;
    assert_int_equal(hh_policy_set(heap, &policy), 0);
    assert_int_equal(hh_policy_get(heap, &bad), 0);
    assert_int_equal(bad.batch, 8);
    finish(heap);
}

static int count_block(const struct hh_block *block, void *context)
{
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += block->bytes;
    sums[2] += block->pins;
    return 0;
}

static int sum_extent(const struct hh_extent *extent, void *context)
{
    uint64_t *sums = context;
    sums[0] += extent->bytes;
    sums[1] += extent->live;
    return 0;
}

static void test_walk(void **state)
{
    (void)state;
    struct hh_heap *heap = make(8 << 20, 0);
    uint64_t blocks[3] = {0}, pages[2] = {0};
    hh_handle last;
    void *at;
    for (int i = 0; i < 100; i++)
        last = filled(heap, 100, i);
    (void)filled(heap, 100000, 1);
    assert_int_equal(hh_lock(heap, last, HH_PIN, HH_NOWAIT, &at), 0);
    assert_int_equal(hh_walk(heap, count_block, blocks), 0);
    assert_int_equal(blocks[0], 101);
    assert_int_equal(blocks[1], 110000);
    assert_int_equal(blocks[2], 1);
    assert_int_equal(hh_walk_extents(heap, sum_extent, pages), 0);
    assert_int_equal(pages[0], 8 << 20);
    assert_int_equal(pages[1], 101);
    struct hh_stats stats;
    assert_int_equal(hh_stats(heap, &stats), 0);
    assert_int_equal(stats.live_blocks, 101);
    assert_int_equal(stats.requested_bytes, 110000);
    assert_int_equal(stats.allocs, 101);
    finish(heap);
}

static void test_resize(void **state)
{
    (void)state;
    static const size_t sizes[] = {100,   105,    3000, 40000, 200000, 199999,
                                   90000, 100000, 16,   32768, 32769,  1};
    struct hh_heap *heap = make(16 << 20, 0), *second;
    hh_handle block = filled(heap, 50, 9), bystander = filled(heap, 50, 4);
    size_t size, before = 50;
    unsigned char *at;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(hh_realloc(heap, block, sizes[i]), 0);
        assert_int_equal(hh_bytes(heap, block, &size), 0);
        assert_int_equal(size, sizes[i]);
        assert_int_equal(hh_lock(heap, block, HH_PIN, HH_NOWAIT, (void **)&at), 0);
        for (size_t n = 0; n < size && n < before; n++)
            assert_int_equal(at[n], 9);
        memset(at, 9, size);
        before = size;
        assert_int_equal(hh_unlock(heap, block), 0);
        assert_int_equal(hh_check(heap), 0);
    }
    assert_int_equal(hh_realloc(heap, block, 0), -EINVAL);
    assert_int_equal(hh_realloc(heap, block, 17 << 20), -ENOMEM);
    assert_int_equal(hh_clone(heap, &second), 0);
    assert_int_equal(hh_lock(second, block, HH_PIN, HH_NOWAIT, (void **)&at), 0);
    assert_int_equal(hh_realloc(heap, block, 5000), -EBUSY);
    assert_int_equal(hh_unlock(second, block), 0);
    assert_int_equal(hh_realloc(second, block, 5000), 0);
    hh_close(second);
    holds(heap, bystander, 50, 4);
    assert_int_equal(hh_free(heap, block), 0);
    assert_int_equal(hh_realloc(heap, block, 10), -ESTALE);
    finish(heap);
}

static void test_alloc_to(void **state)
{
    (void)state;
    struct hh_heap *heap = make(4 << 20, 0);
    hh_handle holder = filled(heap, 64, 0), block, taken = {3}, none = {0};
    uint64_t *slots;
    assert_int_equal(hh_alloc_to(heap, 100, holder, 60, &block), -EINVAL);
    assert_int_equal(hh_alloc_to(heap, 100, holder, 64, &block), -EINVAL);
    assert_int_equal(hh_alloc_to(heap, 100, holder, 8, &block), 0);
    assert_int_equal(hh_lock(heap, holder, HH_PIN, HH_NOWAIT, (void **)&slots), 0);
    assert_int_equal(slots[1], block.word);
    assert_int_equal(hh_unlock(heap, holder), 0);
    assert_int_equal(hh_take(heap, holder, 16, &taken), -ENOENT);
    assert_int_equal(taken.word, 3);
    assert_int_equal(hh_take(heap, holder, 8, &taken), 0);
    assert_int_equal(taken.word, block.word);
    assert_int_equal(hh_take(heap, holder, 8, &taken), -ENOENT);
    assert_int_equal(hh_free(heap, taken), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(hh_alloc_to(heap, i % 2 ? 100 : 50000, none, 0, &block), 0);
        if (i % 3)
            assert_int_equal(hh_publish(heap, block), 0);
        assert_int_equal(hh_free(heap, block), 0);
        /* A block freed before it was published owes nothing any more. */
        assert_int_equal(hh_publish(heap, block), -ESTALE);
    }
    assert_int_equal(hh_free(heap, holder), 0);
    assert_int_equal(hh_alloc_to(heap, 100, holder, 8, &block), -ESTALE);
    finish(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),     cmocka_unit_test(test_stale),
        cmocka_unit_test(test_arguments),      cmocka_unit_test(test_locks_nest),
        cmocka_unit_test(test_busy),           cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_compact),        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_moves_in_calls), cmocka_unit_test(test_full),
        cmocka_unit_test(test_roots),          cmocka_unit_test(test_policy),
        cmocka_unit_test(test_walk),           cmocka_unit_test(test_resize),
        cmocka_unit_test(test_alloc_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

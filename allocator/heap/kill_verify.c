// SPDX-License-Identifier: MIT
/*
 * kill_verify.c - see kill_verify.h.
 *
 * Built on: hh.h. Concurrency: one thread.
 * Why this way: a survivor knows nothing of what was going on, so half the images are
 * used straight away, and recovery must come by itself.
 */
#include "allocator/heap/kill_verify.h"

#include "allocator/heap/kill_cases.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SOME 6u /* blocks allocated anew in each image */

static uint64_t word_of(uint32_t seed, uint32_t i)
{
    return seed * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0x100000001);
}

/* By words, because each instruction of it is tried: the last bytes stay as they are.
 */
void kill_fill(unsigned char *at, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes / 8; i++) {
        uint64_t word = word_of(seed, i);
        memcpy(at + i * 8, &word, 8);
    }
}

static bool filled(const unsigned char *at, uint32_t from, uint32_t bytes,
                   uint32_t seed)
{
    for (uint32_t i = from; i < bytes / 8; i++) {
        uint64_t word = word_of(seed, i);
        if (memcmp(at + i * 8, &word, 8))
            return false;
    }
    return true;
}

bool kill_filled(const unsigned char *at, uint32_t bytes, uint32_t seed)
{
    return filled(at, 0, bytes, seed);
}

int kill_block_new(struct hh_heap *heap, struct kill_book *book, uint32_t slot,
                   uint32_t bytes)
{
    struct kill_block *block = &book->block[slot];
    hh_handle handle;
    void *at;
    int error = hh_alloc(heap, bytes, &handle);
    if (!error)
        error = hh_lock(heap, handle, HH_PIN, HH_NOWAIT, &at);
    if (error)
        return error;
    kill_fill(at, bytes, slot);
    error = hh_unlock(heap, handle);
    block->handle = handle;
    block->bytes = bytes;
    block->seed = slot;
    __atomic_store_n(&block->state, KILL_PUBLISHED, __ATOMIC_SEQ_CST);
    return error;
}

int kill_block_end(struct hh_heap *heap, struct kill_book *book, uint32_t slot)
{
    struct kill_block *block = &book->block[slot];
    __atomic_store_n(&block->state, KILL_GOING, __ATOMIC_SEQ_CST);
    int error = hh_free(heap, block->handle);
    __atomic_store_n(&block->state, error ? KILL_PUBLISHED : KILL_NONE,
                     __ATOMIC_SEQ_CST);
    return error;
}

static int say(const char *what, uint32_t number, int error)
{
    (void)fprintf(stderr, "kill_verify: %s (block %u): %s: %s\n", what, number,
                  hh_strerror(error), hh_why());
    return -1;
}

/* One listed block: there, of its size, with its contents. */
static int look_at(struct hh_heap *heap, struct kill_book *book, uint32_t slot)
{
    struct kill_block *block = &book->block[slot];
    size_t bytes;
    void *at;
    if (block->state == KILL_NONE)
        return 0;
    int error = hh_lock(heap, block->handle, HH_PIN, HH_NOWAIT, &at);
    if (error == -ESTALE && block->state == KILL_GOING)
        return 0;
    if (error)
        return say("lost", slot, error);
    uint32_t same = block->bytes;
    error = hh_bytes(heap, block->handle, &bytes);
    if (block->state == KILL_SIZING) {
        same = same < block->was_bytes ? same : block->was_bytes;
        if (!error && bytes != block->bytes && bytes != block->was_bytes)
            error = -EBADMSG;
    } else if (!error && bytes != block->bytes) {
        error = -EBADMSG;
    }
    if (error)
        return say("of another size", slot, error);
    same = block->filled && block->filled < same ? block->filled : same;
    if (!filled(at, block->slots, same, block->seed))
        return say("changed", slot, 0);
    /* Whoever had it exclusively is dead, and is told of once at most. */
    error = hh_lock(heap, block->handle, HH_EXCLUSIVE, HH_NOWAIT, &at);
    if (error && error != -EOWNERDEAD)
        return say("cannot be locked exclusively", slot, error);
    error = hh_unlock(heap, block->handle);
    if (!error)
        error = hh_unlock(heap, block->handle);
    return error ? say("cannot be unlocked", slot, error) : 0;
}

static int look_at_all(struct hh_heap *heap, struct kill_book *book)
{
    for (uint32_t slot = 0; slot < KILL_BLOCKS; slot++) {
        if (look_at(heap, book, slot))
            return -1;
    }
    return 0;
}

struct found {
    struct kill_book *book;
    uint32_t listed, held, loose;
    hh_handle in_slot[4]; /* handles that the slots of a listed block name */
    hh_handle stray[8];
};

/* Blocks that are found through slots of a listed one. */
static int look_into(struct hh_heap *heap, struct kill_book *book, struct found *found)
{
    for (uint32_t i = 0; i < KILL_BLOCKS; i++) {
        struct kill_block *block = &book->block[i];
        void *at, *inner;
        if (block->state != KILL_PUBLISHED || !block->slots || block->slots > 2)
            continue;
        int error = hh_lock(heap, block->handle, HH_PIN, HH_NOWAIT, &at);
        for (uint32_t n = 0; !error && n < block->slots; n++) {
            hh_handle named = {((uint64_t *)at)[n]};
            if (!named.word)
                continue;
            found->in_slot[found->held++] = named;
            error = hh_lock(heap, named, HH_PIN, HH_NOWAIT, &inner);
            if (!error)
                error = hh_unlock(heap, named);
        }
        if (error || hh_unlock(heap, block->handle))
            return say("the block that a slot names", i, error);
    }
    return 0;
}

static int find(const struct hh_block *block, void *context)
{
    struct found *found = context;
    for (uint32_t i = 0; i < KILL_BLOCKS; i++) {
        if (found->book->block[i].state != KILL_NONE &&
            found->book->block[i].handle.word == block->handle.word) {
            found->listed++;
            return 0;
        }
    }
    for (uint32_t i = 0; i < found->held; i++) {
        if (found->in_slot[i].word == block->handle.word)
            return 0;
    }
    if (found->loose < 8)
        found->stray[found->loose] = block->handle;
    found->loose++;
    return 0;
}

/* Blocks that nobody can know of. */
static int look_for_strays(struct hh_heap *heap, struct kill_book *book,
                           struct found *found)
{
    *found = (struct found){.book = book};
    if (look_into(heap, book, found))
        return -1;
    int error = hh_walk(heap, find, found);
    if (error)
        return say("the walk fails", 0, error);
    if (found->loose > book->loose)
        return say("too many blocks that nobody knows", found->loose, 0);
    return 0;
}

/* New blocks: usable, apart from the old ones, and they can be freed. */
static int use(struct hh_heap *heap, struct kill_book *book)
{
    static const uint32_t sizes[SOME] = {64, 64, 1000, 48, 9000, 64};
    hh_handle fresh[SOME];
    bool made[SOME] = {false};
    void *at;
    for (uint32_t i = 0; i < SOME; i++) {
        int error = hh_alloc(heap, sizes[i], &fresh[i]);
        /* A full heap stays full. */
        if (error == -ENOMEM && i)
            continue;
        if (error == -ENOMEM)
            return 0;
        if (error)
            return say("no new block", i, error);
        made[i] = true;
        error = hh_lock(heap, fresh[i], HH_PIN, HH_NOWAIT, &at);
        if (error)
            return say("a new block cannot be locked", i, error);
        memset(at, 0xa5, sizes[i]);
        error = hh_unlock(heap, fresh[i]);
        if (error)
            return say("a new block cannot be unlocked", i, error);
    }
    if (look_at_all(heap, book))
        return -1;
    for (uint32_t i = 0; i < SOME; i++) {
        int error = made[i] ? hh_free(heap, fresh[i]) : 0;
        if (error)
            return say("a new block cannot be freed", i, error);
        if (made[i] && hh_free(heap, fresh[i]) != -ESTALE)
            return say("freed twice", i, 0);
    }
    return 0;
}

/* Frees everything; then nothing may be in use any more. */
static int empty(struct hh_heap *heap, struct kill_book *book, struct found *found)
{
    struct hh_stats stats;
    struct hh_moved moved;
    for (uint32_t i = 0; i < KILL_BLOCKS; i++) {
        struct kill_block *block = &book->block[i];
        int error = block->state == KILL_NONE ? 0 : hh_free(heap, block->handle);
        if (error && !(error == -ESTALE && block->state == KILL_GOING))
            return say("cannot be freed", i, error);
    }
    for (uint32_t i = 0; i < found->held; i++) {
        /* One that was taken out a moment ago may be listed too. */
        int error = hh_free(heap, found->in_slot[i]);
        if (error && error != -ESTALE)
            return say("a block of a slot cannot be freed", i, error);
    }
    for (uint32_t i = 0; i < found->loose && i < 8; i++) {
        int error = hh_free(heap, found->stray[i]);
        if (error)
            return say("a stray cannot be freed", i, error);
    }
    int error = hh_compact(heap, 0, 0, &moved);
    if (!error)
        error = hh_stats(heap, &stats);
    if (error)
        return say("no compaction", 0, error);
    if (stats.live_blocks)
        return say("blocks remain", (uint32_t)stats.live_blocks, 0);
    return 0;
}

/* With everything freed, all pages can be had in one piece. */
static int all_of_it(struct hh_heap *heap)
{
    struct hh_stats stats;
    hh_handle all;
    int error = hh_stats(heap, &stats);
    if (error)
        return say("no statistics", 0, error);
    if (stats.used_bytes || stats.cached_blocks)
        return say("memory lost, KiB", (uint32_t)(stats.used_bytes >> 10), 0);
    error = hh_alloc(heap, stats.bytes, &all);
    if (error)
        return say("not all memory can be had", (uint32_t)(stats.bytes >> 10), error);
    error = hh_free(heap, all);
    return error ? say("all cannot be freed", 0, error) : 0;
}

int kill_verify(int fd, struct kill_book *book, enum kill_manner manner)
{
    struct hh_heap *heap;
    struct found found;
    int error = hh_open(hh_fd(fd), &heap), result = -1;
    if (error)
        return say("cannot be opened", 0, error);
    if (manner != KILL_USE) {
        error = hh_check(heap);
        if (error) {
            (void)say("hh_check", 0, error);
            goto close;
        }
    }
    if (look_at_all(heap, book) || use(heap, book))
        goto close;
    error = hh_check(heap);
    if (error) {
        (void)say("hh_check after use", 0, error);
        goto close;
    }
    if (look_for_strays(heap, book, &found))
        goto close;
    if (manner == KILL_CLOSE) {
        if (empty(heap, book, &found) || all_of_it(heap))
            goto close;
        error = hh_check(heap);
        if (error) {
            (void)say("hh_check of the empty heap", 0, error);
            goto close;
        }
    }
    result = 0;
close:
    hh_close(heap);
    return result;
}

struct hh_heap *kill_populate(struct kill_book *book, uint64_t bytes)
{
    static const uint32_t sizes[8] = {500, 1000, 500, 1000, 500, 64, 500, 5000};
    struct hh_heap *heap;
    struct hh_setup setup = {
        .bytes = bytes, .handles = 1024, .clients = KILL_CLIENTS, .lanes = 4};
    struct hh_policy policy;
    int error = hh_create(hh_memfd("kill"), &setup, &heap);
    if (error) {
        (void)say("no heap", 0, error);
        return NULL;
    }
    error = hh_policy_get(heap, &policy);
    policy.trigger = HH_TRIGGER_MANUAL;
    policy.deterministic = 1;
    policy.release_bytes = 0;
    if (!error)
        error = hh_policy_set(heap, &policy);
    for (uint32_t i = 0; i < KILL_OLD && !error; i++)
        error = kill_block_new(heap, book, i, sizes[i % 8]);
    for (uint32_t i = 0; i < KILL_OLD && !error; i++)
        error = i % 10 < 7 ? kill_block_end(heap, book, i) : 0;
    if (!error)
        return heap;
    (void)say("cannot be filled", 0, error);
    hh_close(heap);
    return NULL;
}

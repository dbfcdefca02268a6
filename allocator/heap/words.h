// SPDX-License-Identifier: MIT
/*
 * words.h - the words every process agrees on: handles, entries, magazines.
 *
 * Built on: the compiler's atomics. Units: place = offset in the segment / 16.
 * Concurrency: each word says who writes it; every change that can race is a CAS.
 * Why this way: one 64-bit word tells whether a handle is valid, where its block is and
 * whether it may be used now, so one load decides a lock and one CAS any change of
 * hands. All of this is part of the public header only because the fast paths are
 * inlined.
 */
#ifndef ALLOCATOR_HEAP_WORDS_H
#define ALLOCATOR_HEAP_WORDS_H

#include <stddef.h>
#include <stdint.h>

#define HH_LOAD(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define HH_PEEK(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define HH_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define HH_PUT(p, v)   __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define HH_CAS(p, expected, v)                                                         \
    __atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_SEQ_CST,             \
                                __ATOMIC_ACQUIRE)
#define HH_ADD(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define HH_LIKELY(x)   __builtin_expect(!!(x), 1)
#define HH_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Handle: tag 8 | generation 24 | index 32. */
#define HH_TAG_SHIFT 56
#define HH_GEN_BITS  24
#define HH_GEN_MAX   ((UINT64_C(1) << HH_GEN_BITS) - 1)

/* Entry word W: generation 24 | state 4 | place 36. */
#define HH_PLACE_BITS  36
#define HH_PLACE_MASK  ((UINT64_C(1) << HH_PLACE_BITS) - 1)
#define HH_STATE_SHIFT 36
#define HH_W_GEN_SHIFT 40

enum hh_state {
    HH_FREE = 0,     /* never used; a zero page of the table reads so */
    HH_CACHED = 1,   /* free, in a magazine, its block attached */
    HH_BARE = 2,     /* free, in a magazine, without a block; place 0 */
    HH_LIVE = 3,     /* allocated */
    HH_MOVING = 4,   /* allocated, the mover looks for pins or copies */
    HH_RESIZING = 5, /* allocated, hh_realloc looks for pins or copies */
    HH_RETIRED = 6,  /* its generations are used up */
    HH_TAKEN = 7     /* as CACHED, the mover looks whether its lane is allocating it */
};

/* Who changes W how. A lane allocates from its own magazine, and frees what it
 * allocated itself, by plain stores between two stores to its busy cell; everybody else
 * changes W by CAS. What keeps them apart: the mover (and hh_realloc) looks at busy
 * cells as it does at pins, after a barrier; who frees another lane's block for the
 * first time ends that lane's right to plain frees, by its `shared` word and a barrier
 * (free.c); an item of a magazine carries the generation, and each attach, strip and
 * free takes a new one, so an item that is left over never looks valid. */

/* Entry word M: owner 24 {lane 12 | epoch 12} | flags 4 | home 12 | class 8 | size 16.
 * size = bytes asked for; of a large block, what its pages have beyond that. home =
 * lane that allocated it. The class comes together with the block (cmpxchg16b over W
 * and M); the allocating lane stores the rest before it makes the entry LIVE; all later
 * changes are CAS. */
#define HH_M_SIZE_MASK   UINT64_C(0xffff)
#define HH_M_CLASS_SHIFT 16
#define HH_M_HOME_SHIFT  24
#define HH_M_FLAGS_SHIFT 36
#define HH_M_OWNER_SHIFT 40
#define HH_M_UNPUBLISHED (UINT64_C(1) << 36)
#define HH_M_OWNERDEAD   (UINT64_C(1) << 37)
#define HH_M_WAITERS     (UINT64_C(1) << 38)

/* 16 bytes, four to a cache line, aligned so that both words can be compared at once.
 */
struct hh_entry {
    uint64_t w;
    uint64_t m;
} __attribute__((aligned(16)));

/* Size classes: 16-byte steps to 128, then 8 a doubling to 32 KiB; page runs above.
 * Class 0 stands for "no block". */
#define HH_CLASSES     72u
#define HH_CLASS_LARGE 73u
#define HH_SMALL_MAX   32768u

/* A magazine: 62 handles to be, that whoever owns it may give out.
 * owner: changed by CAS, which is the transfer. count, item: written by the owner
 * alone, count last, so that a killed owner loses nothing. An item is believed only if
 * its entry has that generation. */
#define HH_MAG_ITEMS 62u
struct hh_mag {
    uint64_t owner;
    uint32_t count;
    uint32_t unused;
    uint64_t item[HH_MAG_ITEMS];
};

/* `state` is an enum hh_state, or two of them xored, which C++ takes for an int. */
static inline uint64_t hh_w(uint64_t gen, unsigned state, uint64_t place)
{
    return gen << HH_W_GEN_SHIFT | (uint64_t)state << HH_STATE_SHIFT | place;
}

static inline uint64_t hh_w_gen(uint64_t w)
{
    return w >> HH_W_GEN_SHIFT;
}

static inline enum hh_state hh_w_state(uint64_t w)
{
    return (enum hh_state)(w >> HH_STATE_SHIFT & 15);
}

static inline uint64_t hh_w_place(uint64_t w)
{
    return w & HH_PLACE_MASK;
}

/* The race detector does not see inside an instruction of ours: what it orders is told
 * by atomics that it knows. */
#if defined(__SANITIZE_THREAD__)
#define HH_THREADS_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HH_THREADS_CHECKED 1
#endif
#endif
#ifdef HH_THREADS_CHECKED
#define HH_TELL_CHECKER(entry)                                                         \
    ((void)__atomic_fetch_add(&(entry)->w, 0, __ATOMIC_ACQ_REL),                       \
     (void)__atomic_fetch_add(&(entry)->m, 0, __ATOMIC_ACQ_REL))
#else
#define HH_TELL_CHECKER(entry) ((void)0)
#endif

/* Changes both words of an entry at once. The instruction itself, so that no library
 * and no compiler flag is needed. */
static inline int hh_cas_both(struct hh_entry *entry, uint64_t w, uint64_t m,
                              uint64_t new_w, uint64_t new_m)
{
    unsigned char done;
    HH_TELL_CHECKER(entry);
    __asm__ __volatile__("lock cmpxchg16b %1\n\tsetz %0"
                         : "=q"(done), "+m"(*entry), "+a"(w), "+d"(m)
                         : "b"(new_w), "c"(new_m)
                         : "cc", "memory");
    HH_TELL_CHECKER(entry);
    return done;
}

/* The class whose blocks hold `bytes`, 1 to HH_SMALL_MAX. */
static inline uint32_t hh_class_of(size_t bytes)
{
    uint64_t top = (uint64_t)bytes - 1;
    uint32_t log = 63u - (uint32_t)__builtin_clzll(top | 128);
    return 1u + (log - 7) * 8 + (uint32_t)(top >> (log - 3));
}

#endif

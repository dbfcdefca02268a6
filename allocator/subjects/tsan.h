// SPDX-License-Identifier: MIT
// What the thread sanitizer cannot see: a library that it does not watch hands a block
// that one thread freed to another.
//
// Built on: the sanitizer's own runtime; nothing in other builds.
// Concurrency: as the allocator whose calls these stand beside.
// Why this way: the order is real, but made by instructions in a library that is not
//   instrumented; without a word each reuse of a block would be called a race.
#ifndef SB_SUBJECTS_TSAN_H
#define SB_SUBJECTS_TSAN_H

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

// Before a block is freed.
static inline void sb_tsan_freeing(void *block)
{
#ifdef __SANITIZE_THREAD__
    __tsan_release(block);
#else
    (void)block;
#endif
}

// After a block was allocated.
static inline void sb_tsan_allocated(void *block)
{
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(block);
#else
    (void)block;
#endif
}

#endif

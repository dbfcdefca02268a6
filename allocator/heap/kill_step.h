// SPDX-License-Identifier: MIT
/*
 * kill_step.h - runs a piece of a program one instruction at a time and tries, after
 * each, what would be if it had been killed there.
 *
 * Built on: ptrace, memfd. Concurrency: the stepped process is stopped while its
 * segment is looked at, so an image is exactly what a kill leaves in shared memory
 * (stores that have retired reach memory whatever happens to the process). Why this
 * way: a killed process leaves a prefix of its instruction stream. The prefixes of one
 * call form a finite list, so all can be tried instead of some at random.
 */
#ifndef ALLOCATOR_HEAP_KILL_STEP_H
#define ALLOCATOR_HEAP_KILL_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/heap/hh.h"

/* A segment as bytes, without any door. */
struct kill_image {
    int fd;
    unsigned char *at;
    unsigned char *last; /* as it was when last looked at */
    unsigned char *resident;
    size_t bytes;
    size_t blocks_at; /* bytes before this are compared */
    uint64_t looked;
};

int kill_image_of(int fd, struct kill_image *out);
int kill_image_new(size_t bytes, struct kill_image *out);
void kill_image_end(struct kill_image *image);
/* Makes `to` the same bytes as `from`. */
void kill_image_copy(struct kill_image *to, struct kill_image *from);

/* What the stepped process tells, in memory that both have. */
enum kill_phase { KILL_BEFORE = 0, KILL_WITHIN = 1, KILL_AFTER = 2 };

enum kill_state {
    KILL_NONE = 0,      /* no block */
    KILL_PUBLISHED = 1, /* must be there, unchanged */
    KILL_GOING = 2,     /* a free is under way: there, unchanged, or stale */
    KILL_SIZING = 3     /* a realloc is under way: the common part must be unchanged */
};

#define KILL_BLOCKS 512

struct kill_block {
    hh_handle handle;
    uint32_t bytes, was_bytes;
    uint32_t filled; /* bytes that hold the pattern; 0: all */
    uint32_t slots;  /* words at the start that hold handles instead, or nothing */
    uint32_t seed;
    uint32_t state;
};

struct kill_book {
    uint32_t phase;
    uint32_t loose; /* live blocks that may be in no list */
    uint64_t moved; /* by a compaction that was stepped */
    struct kill_block block[KILL_BLOCKS];
};

struct kill_count {
    uint64_t points; /* instructions after which a kill was tried */
    uint64_t images; /* different segments among them */
    uint64_t again;  /* points of second kills, within the recovery */
};

/* One call to be stepped. ready and call run in the stepped process. */
struct kill_case {
    const char *name;
    void *(*ready)(int fd, struct kill_book *book); /* opens, gets into position */
    void (*call)(void *door, struct kill_book *book);
};

/*
 * Steps `what->call` and calls `image_is_well` for each segment that differs from the
 * one before (with `each`, after each instruction); stops at the first that is not
 * well. Returns 0, or -1 with a line on stderr.
 */
int kill_step(const struct kill_case *what, struct kill_image *source,
              struct kill_book *book, bool each,
              int (*image_is_well)(struct kill_image *source, void *context),
              void *context, struct kill_count *count);

#endif

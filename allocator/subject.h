// SPDX-License-Identifier: MIT
// The contract that every allocator under test fulfils: one descriptor, plain
// functions.
//
// Built on: harness/base/option.h. Units: bytes and nanoseconds, in the names.
// Concurrency: create, open and destroy are called by one thread of a process; the
// calls
//   that take a struct sb_ctx are called by the one worker (a process, or a thread)
//   that attached it, at the same time as other workers call them with theirs.
// Why this way: a function table with a version and a size in front is what a shared
//   library can export and what can grow; a context per worker leaves room for
//   allocators with per-thread state, and costs the others nothing.
// Departures from the design page: `open` stands beside `create` (a process that joins
// is
//   not the one that makes), `probe` tells at run time what is installed, and tunables
//   are the rows of the options table whose scale is not SB_FIXED (one table, not two).
#ifndef SB_SUBJECT_H
#define SB_SUBJECT_H

#include <stdint.h>

#include "harness/base/option.h"

#define SB_SUBJECT_ABI 1u

// A block's name, valid in every process of the trial. All bits zero names no block.
typedef struct sb_ref {
    uint64_t bits;
} sb_ref;

enum sb_capability {
    SB_CAP_SHARE = 1 << 0,        // unrelated processes may attach
    SB_CAP_SAME_ADDRESS = 1 << 1, // ... but only if mapped at one agreed address
    SB_CAP_REMOTE_FREE = 1 << 2,  // any process may free any block
    SB_CAP_OWNER_FREE =
        1 << 3,          // free() by others only sends the block back to its owner
    SB_CAP_PIN = 1 << 4, // lock/unlock: a locked block does not move
    SB_CAP_EXCLUSIVE = 1 << 5, // lock excludes other lockers
    SB_CAP_REALLOC = 1 << 6,
    SB_CAP_COMPACT = 1 << 7,
    SB_CAP_REPAIR = 1 << 8,
    SB_CAP_CHECK = 1 << 9,
    SB_CAP_RESIZE = 1 << 10,
    SB_CAP_PRIVATE = 1 << 11, // one process only: a reference line
    SB_CAP_FORGETS = 1 << 12, // blocks share their bytes: contents are not kept (null)
};

// Where a segment may live.
enum sb_medium {
    SB_MEMFD =
        1 << 0, // place.path is /proc/self/fd/N of an empty memfd that exists already
    SB_SHM = 1 << 1, // place.path is /dev/shm/NAME, place.name is NAME; create makes it
    SB_FILE = 1 << 2, // place.path is a file; create makes it
};

struct sb_place {
    enum sb_medium medium; // exactly one
    const char *path;      // for open(2) in this process
    const char *name; // unique in the machine, no slash; a POSIX shm name without '/'
    uint64_t bytes;   // capacity of the segment
    uint32_t workers; // that will attach
    bool threads;     // workers are threads of one process
};

enum sb_lock_mode { SB_LOCK_PIN, SB_LOCK_EXCLUSIVE };

#define SB_UNKNOWN UINT64_MAX // "this subject cannot tell"

// One lock inside the subject, since create. A figure not kept is SB_UNKNOWN.
struct sb_lock_usage {
    char name[24];
    uint64_t acquisitions, contended;
    uint64_t wait_ns, longest_wait_ns;
    uint64_t hold_ns, longest_hold_ns;
};

enum { SB_LOCKS_MAX = 8 };

// What a subject knows of itself. A figure not kept is SB_UNKNOWN.
struct sb_usage {
    uint64_t
        footprint_bytes;  // PRIVATE only: memory held from the system by this process's
                          // heap; for the others the runner reads st_blocks itself
    uint64_t table_bytes; // headers and tables within the footprint
    uint64_t usable_bytes; // capacity of the live blocks
    uint64_t live_blocks;
    uint64_t moved_bytes, moves, moves_cancelled, moves_pinned; // since create
    uint64_t returned_bytes; // given back to the system
    uint64_t compactions, mover_ns;
    uint32_t locks_count;
    struct sb_lock_usage locks[SB_LOCKS_MAX];
};

// What one call of compact did.
struct sb_compacted {
    uint64_t moved_bytes, moves, cancelled, pinned, returned_bytes;
    bool finished; // nothing left that compaction could improve
};

struct sb_heap; // a process's hold on a segment; each subject's own
struct sb_ctx;  // a worker's; each subject's own

// All calls: 0 or a negative errno; output is written only on success and a failed call
// changes nothing. Optional calls are NULL exactly when their capability is absent.
struct sb_subject {
    uint32_t abi;  // SB_SUBJECT_ABI
    uint32_t size; // sizeof(struct sb_subject)
    const char *name;
    const char *summary; // one line; says what is and is not shared
    const char *origin;  // package it comes from, as the user would install it
    uint32_t capabilities;
    uint32_t media;                  // OR of enum sb_medium; 0 for PRIVATE
    const struct sb_option *options; // or NULL
    size_t options_bytes;            // sizeof the struct of values

    // Is it usable on this machine? 0: `text` is the version found. Negative: `text` is
    // the reason in one line, with the package that would help. Must not map or keep
    // anything that would disturb other subjects in the same process.
    int (*probe)(char *text, size_t bytes);

    // Makes the segment and this process's hold on it. PRIVATE: a fresh private heap.
    // Errors: -ENOMEM (place.bytes too small for the subject's own tables), -ENOSPC,
    // -EEXIST.
    int (*create)(const struct sb_place *place, const void *options,
                  struct sb_heap **heap);
    // Joins a segment that another process made. NULL exactly without SHARE.
    int (*open)(const struct sb_place *place, const void *options,
                struct sb_heap **heap);
    // A worker's context. `worker` is its index below place.workers.
    int (*attach)(struct sb_heap *heap, uint32_t worker, struct sb_ctx **ctx);
    void (*detach)(struct sb_ctx *ctx);
    // Ends this process's hold; the process that created the segment also removes its
    // name.
    int (*destroy)(struct sb_heap *heap);

    // bytes > 0. Errors: -ENOMEM full, -ENOSPC the medium is full.
    int (*alloc)(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block);
    // By any worker that holds the reference (OWNER_FREE subjects send it to its
    // owner).
    int (*free)(struct sb_ctx *ctx, sb_ref block);
    // Reference to pointer, no protection: valid while the block is allocated and, in a
    // subject with PIN, only while it is locked.
    void *(*address)(struct sb_ctx *ctx, sb_ref block);
    int (*usage)(struct sb_heap *heap, struct sb_usage *usage);

    // PIN; SB_LOCK_EXCLUSIVE only with EXCLUSIVE. Errors: -ESTALE, -ETIMEDOUT,
    // -EDEADLK, -EOWNERDEAD (locked, but the last owner died within).
    int (*lock)(struct sb_ctx *ctx, sb_ref block, enum sb_lock_mode mode,
                uint64_t timeout_ns, void **address);
    int (*unlock)(struct sb_ctx *ctx, sb_ref block);
    // REALLOC: *block may change. COMPACT: moves at most budget_bytes (UINT64_MAX:
    // all).
    int (*realloc)(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes);
    int (*compact)(struct sb_ctx *ctx, uint64_t budget_bytes,
                   struct sb_compacted *done);
    int (*repair)(struct sb_heap *heap);
    // CHECK: 0 sound, -EBADMSG with the broken invariant in `text`.
    int (*check)(struct sb_heap *heap, char *text, size_t bytes);
    int (*resize)(struct sb_heap *heap, uint64_t bytes);
};

// A plugin exports this symbol; the loader refuses another abi by name.
#define SB_PLUGIN_SYMBOL "sb_plugin"

#endif

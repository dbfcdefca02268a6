// SPDX-License-Identifier: MIT
/*
 * hh.h - a heap in shared memory whose blocks are named by handles and may move.
 *
 * Built on: libc and Linux (memfd, fallocate, futex, membarrier, OFD locks) alone.
 * Units: sizes in bytes, times in nanoseconds of CLOCK_MONOTONIC, a deadline is a point
 * of that clock (see hh_deadline), shares are fractions (0.05 = 5 %).
 * Concurrency: a struct hh_heap is one thread's door to the segment; it is never shared
 * between threads (hh_clone makes a further door). A handle may be given to any thread
 * of any process that has the segment open, by any channel.
 * Why this way: a block is reached by locking its handle, so whatever nobody holds
 * locked may be moved by anyone, and a heap that runs for weeks does not fragment. Lock
 * and unlock never wait for a move; alloc, free, lock and unlock never wait for a dead
 * or a frozen process.
 *
 * Every call returns 0 or a negative errno, writes its result only on success, and
 * changes nothing when it fails. hh_strerror names the error, hh_why tells the
 * particulars. Errors that any call may give, and that the calls below do not repeat:
 *   -EINVAL   a null door, an unknown flag, a size of zero
 *   -EBADMSG  the segment is damaged or foreign; hh_why names the broken invariant
 */
#ifndef ALLOCATOR_HEAP_HH_H
#define ALLOCATOR_HEAP_HH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HH_MUST_USE __attribute__((warn_unused_result))
#define HH_INLINE   static inline __attribute__((always_inline))

/* One thread's door to one segment. */
struct hh_heap;

/* Names a block in every process; all zero names none. Plain data: may be stored in the
 * segment, sent through a pipe, compared by its word. A freed handle stays refused. */
typedef struct hh_handle {
    uint64_t word;
} hh_handle;

/* --- where a segment lives -------------------------------------------------------- */

enum hh_kind {
    HH_FILE = 1,  /* a file by its path */
    HH_SHM = 2,   /* a POSIX shared memory object by its name, "/name" */
    HH_MEMFD = 3, /* a new sealed memfd; create only. Share it by hh_fd_get */
    HH_FD = 4     /* an open descriptor, which stays the caller's */
};

struct hh_where {
    enum hh_kind kind;
    int fd;           /* HH_FD only */
    const char *name; /* path, object name, or a label for the memfd */
};

static inline struct hh_where hh_file(const char *path)
{
    struct hh_where where = {HH_FILE, -1, path};
    return where;
}

static inline struct hh_where hh_shm(const char *name)
{
    struct hh_where where = {HH_SHM, -1, name};
    return where;
}

static inline struct hh_where hh_memfd(const char *label)
{
    struct hh_where where = {HH_MEMFD, -1, label};
    return where;
}

static inline struct hh_where hh_fd(int fd)
{
    struct hh_where where = {HH_FD, fd, NULL};
    return where;
}

#define HH_CHECKED 1u /* hh_free looks for pins of others too and refuses: -EBUSY */

/* What hh_create lays down for good; zero means the value in brackets. */
struct hh_setup {
    uint64_t bytes;   /* room for blocks [what fits into the file given as HH_FD] */
    uint64_t handles; /* most blocks at a time [one for each 32 bytes, 64 Ki at least;
                         of a given file or memory one for each 128]  */
    uint32_t clients; /* most processes at a time [64] */
    uint32_t lanes;   /* most doors at a time, over all processes [128] */
    uint32_t mode;    /* permission bits of a new file or object [0600] */
    uint32_t flags;   /* HH_CHECKED */
};

/*
 * Makes an empty heap and opens it. The file is sparse: it is longer than setup->bytes
 * by the tables, and takes room on disk or tmpfs as it fills. A file appears under its
 * name only when complete. HH_FD wants an empty file, or one long enough that is all
 * zero. Errors: -EEXIST the name is taken; -ENOSPC the descriptor's file is too short,
 * or no room for the first pages; -E2BIG beyond 1 TiB or 2^31 handles; what open(2)
 * gives. Safety: any thread. Cost: some system calls; independent of setup->bytes.
 */
HH_MUST_USE int hh_create(struct hh_where where, const struct hh_setup *setup,
                          struct hh_heap **out);

/*
 * Opens an existing heap and makes this thread's door. The path of a memfd
 * (/proc/PID/fd/N, /proc/self/fd/N) is a path like any other.
 * Errors: -EBADMSG no heap, or a damaged one; -ENOTSUP another version of the layout;
 *   -EUSERS no client or lane is left, even after the dead were recovered; -EAGAIN it
 * is still being made (HH_FD only); what open(2) gives. Safety: any thread, any
 * process. Cost: some system calls.
 */
HH_MUST_USE int hh_open(struct hh_where where, struct hh_heap **out);

/*
 * A heap in memory of the caller's: shared between processes by whatever means, mapped
 * for as long as any door is open, aligned to a page, and wholly backed (the heap
 * neither asks for pages nor gives them back). With setup it is made anew, of the size
 * that fits (setup->bytes is not looked at); without, the heap that is there is opened.
 * token_fd is a file that all processes can open, for nothing but locks by which they
 * notice each other's death; it stays the caller's. Without one (-1) nobody is ever
 * taken for dead, so that what a killed process held is lost. Errors: -EINVAL
 * misaligned, or too small for any heap; else as of hh_create and hh_open.
 */
HH_MUST_USE int hh_attach(void *memory, size_t bytes, const struct hh_setup *setup,
                          int token_fd, struct hh_heap **out);

/*
 * A further door through the same mapping, for another thread, which may be the one to
 * call it on a door of a running thread.
 * Errors: -EUSERS no lane is left; -ENOMEM.   Safety: any thread.
 */
HH_MUST_USE int hh_clone(struct hh_heap *heap, struct hh_heap **out);

/* Gives the door's caches back and ends it; the process's last door ends the mapping,
 * and all pointers got from it. Locks still held are released. NULL is ignored. */
void hh_close(struct hh_heap *heap);

/* Takes the name of a file or POSIX shm object away; those who have it open go on.
 * Errors: -EBADMSG it is no heap (nothing is removed); what unlink(2) gives. */
HH_MUST_USE int hh_remove(struct hh_where where);

/* The segment's descriptor, to be handed to another process. It stays the heap's. */
int hh_fd_get(const struct hh_heap *heap);

/* --- blocks ----------------------------------------------------------------------- */

/*
 * A block of at least `bytes` bytes, aligned to 16, contents undefined.
 * Errors: -ENOMEM no room even after compaction within the policy's budget, or no
 * handle is left; -ENOSPC the disk or tmpfs is full. Safety: lock-free while this door
 * has a block of the class. Cost: 3 ns then.
 */
HH_MUST_USE HH_INLINE int hh_alloc(struct hh_heap *heap, size_t bytes, hh_handle *out);

/*
 * Gives a block back; from here on its handle is refused everywhere.
 * Errors: -ESTALE it names no block of this heap (freed already, foreign, forged);
 *   -EBUSY locked by this very door, or exclusively by any (HH_CHECKED: pinned by any).
 *   Freeing what another thread has pinned is the caller's error otherwise: the heap
 *   stays whole, the contents are undefined.
 * Safety: lock-free; any door may free any block. Cost: 3 ns with room in the magazine.
 */
HH_MUST_USE HH_INLINE int hh_free(struct hh_heap *heap, hh_handle block);

/*
 * Gives a block another size under the same handle; contents stay as far as they fit.
 * On failure everything is as before. Errors: -ESTALE; -EBUSY anybody has it locked,
 * this door included; -ENOMEM; -ENOSPC. Safety: lock-free. Cost: 10 ns within the size
 * class, else a barrier (1 to 10 us) and the copy.
 */
HH_MUST_USE int hh_realloc(struct hh_heap *heap, hh_handle block, size_t bytes);

/*
 * Allocates a block and stores its handle at `offset`, a multiple of 8, of another
 * block, so that no kill leaks it: found dead, this process has either done both or
 * neither. With an all-zero holder the block is this door's until hh_publish, and freed
 * if the process dies before. 16 blocks of a door may be unpublished at a time. Errors:
 * of hh_alloc; -ESTALE the holder; -EINVAL no such offset; -EMFILE too many.
 */
HH_MUST_USE int hh_alloc_to(struct hh_heap *heap, size_t bytes, hh_handle holder,
                            size_t offset, hh_handle *out);

/* Ends the state that hh_alloc_to leaves a block without holder in, once its handle is
 * stored where others find it. Errors: -ESTALE. */
HH_MUST_USE int hh_publish(struct hh_heap *heap, hh_handle block);

/* Takes a handle out of such a slot and empties it; of several doors one gets it.
 * Errors: -ENOENT the slot is empty; -ESTALE holder or block; -EINVAL no such offset.
 */
HH_MUST_USE int hh_take(struct hh_heap *heap, hh_handle holder, size_t offset,
                        hh_handle *out);

/* The size that was asked for. Errors: -ESTALE. Safety: lock-free. */
HH_MUST_USE int hh_bytes(struct hh_heap *heap, hh_handle block, size_t *out);

/* The size that may be used, hh_bytes at least. Errors: -ESTALE. Safety: lock-free. */
HH_MUST_USE int hh_usable(struct hh_heap *heap, hh_handle block, size_t *out);

/* --- locks ------------------------------------------------------------------------ */

#define HH_PIN       1u /* the block stays in its place; excludes nobody */
#define HH_EXCLUSIVE 2u /* a pin, and no other door locks it exclusively */

#define HH_NOWAIT     INT64_C(0) /* a deadline that has passed: try once */
#define HH_FOREVER    INT64_MAX  /* no deadline; a dead owner is still noticed */
#define HH_LOCKS      512u       /* distinct pins one door may hold */
#define HH_EXCLUSIVES 64u        /* exclusive locks */

/* The deadline `timeout_ns` from now. */
int64_t hh_deadline(int64_t timeout_ns);

/*
 * Locks a block and gives its address, good until the matching hh_unlock and in this
 * process alone. Locks nest: every lock wants one unlock. A pin never waits, whatever
 * the deadline; an exclusive lock waits for its owner. Errors: -ESTALE it names no
 * block; -EMFILE this door holds HH_LOCKS already; and, of an exclusive lock,
 * -ETIMEDOUT (hh_why names the holder), -EDEADLK waiting would close a circle, or this
 * door has it already. Returns -EOWNERDEAD with the lock HELD and *out written, once,
 * when the last exclusive owner died: the contents may be half changed. Safety: this
 * door's thread unlocks it. Lock-free but for the wait named. Cost: 1 ns a pin, 5 ns an
 * exclusive lock.
 */
HH_MUST_USE HH_INLINE int hh_lock(struct hh_heap *heap, hh_handle block, unsigned mode,
                                  int64_t deadline, void **out);

/*
 * Undoes this door's latest lock of that block that is not undone yet (pins before an
 * exclusive lock).  Errors: -EPERM this door has not locked it; -ESTALE foreign handle.
 */
HH_MUST_USE HH_INLINE int hh_unlock(struct hh_heap *heap, hh_handle block);

/* --- roots: where a newcomer finds the data ----------------------------------------
 */

#define HH_ROOTS     64u /* most names of a segment */
#define HH_ROOT_NAME 47u /* longest name, in bytes */

/* Binds a name to a handle (all zero: to none), for every process at once.
 * Errors: -ENAMETOOLONG, -ENOSPC all names are taken.  Safety: lock-free. */
HH_MUST_USE int hh_root_set(struct hh_heap *heap, const char *name, hh_handle block);

/* Errors: -ENOENT no such name, or bound to none; -ENAMETOOLONG.  Safety: lock-free. */
HH_MUST_USE int hh_root_get(struct hh_heap *heap, const char *name, hh_handle *out);

/* --- compaction --------------------------------------------------------------------
 */

struct hh_moved {
    uint64_t blocks;    /* moved */
    uint64_t bytes;     /* moved: capacity of those blocks */
    uint64_t cancelled; /* moves undone because somebody locked or freed meanwhile */
    uint64_t pinned;    /* skipped because locked */
    uint64_t returned_bytes; /* pages that became free */
    uint64_t punched_bytes;  /* of these and older ones, given back to the system */
};

/*
 * Moves blocks together until done or the budget is spent (a zero budget has no bound).
 * Errors: -EBUSY another door is moving.   Safety: nobody waits for it.
 * Cost: the budget, overrun by one batch at most.
 */
HH_MUST_USE int hh_compact(struct hh_heap *heap, uint64_t budget_bytes,
                           int64_t budget_ns, struct hh_moved *out);

enum hh_trigger {
    HH_TRIGGER_MANUAL = 0,     /* only hh_compact moves */
    HH_TRIGGER_IN_CALL = 1,    /* alloc and free move a step now and then */
    HH_TRIGGER_BACKGROUND = 2, /* somebody calls hh_compact in a loop */
};

/* The thresholds, kept in the segment, valid for all at once. Start values in brackets.
 */
struct hh_policy {
    double frag_start;        /* footprint / live above which moving starts [1.40] */
    double frag_stop;         /* and below which it stops [1.05] */
    double occupancy_max;     /* spans fuller than this share are left alone [0.80] */
    double overhead_max;      /* share of a caller's time that steps may take [0.05] */
    double credit;            /* bytes that may be moved per byte allocated [1.0] */
    uint64_t min_waste_bytes; /* below this waste never start [1 MiB] */
    uint64_t step_bytes;      /* most one step within alloc or free moves [64 KiB] */
    uint64_t step_ns;         /* and the longest it takes [20000] */
    uint64_t release_bytes;   /* empty memory kept before it is punched out [1 MiB] */
    uint32_t batch;           /* blocks moved per membarrier, 1 to 64 [64] */
    uint32_t trigger;         /* enum hh_trigger [HH_TRIGGER_IN_CALL] */
    uint32_t deterministic;   /* 1: budgets in bytes and calls alone, no clock [0] */
};

/* Errors: none but the general ones.  Safety: lock-free. */
HH_MUST_USE int hh_policy_get(struct hh_heap *heap, struct hh_policy *out);

/* Errors: -ERANGE hh_why names the value, or the pair in the wrong order. */
HH_MUST_USE int hh_policy_set(struct hh_heap *heap, const struct hh_policy *policy);

/* --- looking at it -----------------------------------------------------------------
 */

#define HH_LOG2 32

struct hh_stats {
    uint64_t bytes;           /* room for blocks */
    uint64_t segment_bytes;   /* length of the file */
    uint64_t footprint_bytes; /* pages the file has, tables included (st_blocks) */
    uint64_t used_bytes;      /* pages that belong to spans and large blocks */
    uint64_t live_blocks;     /* counted from the table */
    uint64_t live_bytes;      /* their capacity */
    uint64_t requested_bytes; /* what was asked for */
    uint64_t cached_blocks;   /* free blocks kept in magazines */
    uint64_t cached_bytes;
    uint64_t free_bytes;         /* pages of no span and no block */
    uint64_t largest_free_bytes; /* longest run of such pages */
    uint64_t table_bytes;        /* tables in use: handles, maps, magazines, lanes */
    uint64_t handles, handles_used;
    uint32_t clients, lanes; /* in use now */
    uint64_t allocs, frees;  /* since creation */
    uint64_t moved_blocks, moved_bytes, moves_cancelled, moves_pinned;
    uint64_t batches, steps, step_ns, step_ns_max;
    uint64_t mover_calls, mover_ns; /* every call that moved, steps included */
    uint64_t exclusive_waits, exclusive_wait_ns, exclusive_wait_ns_max;
    /* Log-scale histograms of ns: [i] counts 2^(i-1) to 2^i, [31] all longer ones. */
    uint64_t exclusive_wait_log2[HH_LOG2];
    uint64_t exclusive_hold_log2[HH_LOG2]; /* of one exclusive lock in 32 */
    uint64_t mover_hold_log2[HH_LOG2]; /* the one other lock there is: a call's moves */
    uint64_t recoveries;               /* dead clients recovered */
    double fragmentation;              /* used_bytes / live_bytes; 1 when empty */
};

/* Errors: none but the general ones.  Safety: others go on, so figures of a busy heap
 * are of slightly different moments.  Cost: a pass over the tables, some ns a handle.
 */
HH_MUST_USE int hh_stats(struct hh_heap *heap, struct hh_stats *out);

/*
 * Examines every invariant: geometry, clients, entries against span maps, tiling of
 * pages, magazines, pins. Errors: -EBADMSG hh_why names the first that is broken.
 * Safety: others go on; what is in flight is read again before it is called broken.
 */
HH_MUST_USE int hh_check(struct hh_heap *heap);

/*
 * Puts in order what dead processes left behind, whoever they are, as the next to meet
 * them would, and counts the figures anew that only guide. *out: how many were
 * recovered. Errors: none but the general ones; then hh_check tells whether all is
 * well. Safety: others go on. Cost: a pass over the tables for each.
 */
HH_MUST_USE int hh_repair(struct hh_heap *heap, uint32_t *out);

struct hh_block {
    hh_handle handle;
    uint64_t offset; /* of its bytes in the segment, just now */
    size_t bytes;    /* asked for */
    size_t usable;
    uint32_t pins;      /* by all doors */
    uint32_t exclusive; /* 1: somebody has it exclusively */
};

/* Calls visit for every live block until it returns non-zero, which is then returned.
 * Errors: visit's.  Safety: others go on; a block that comes or goes may be missed. */
HH_MUST_USE int hh_walk(struct hh_heap *heap,
                        int (*visit)(const struct hh_block *block, void *context),
                        void *context);

enum hh_extent_kind { HH_EXTENT_FREE = 0, HH_EXTENT_SPAN = 1, HH_EXTENT_LARGE = 2 };

/* A run of pages: free, cut into blocks of one class, or one large block. */
struct hh_extent {
    enum hh_extent_kind kind;
    uint64_t offset; /* in the segment */
    uint64_t bytes;
    uint32_t backed;      /* of a free one: 1 it has memory, 0 it is a hole */
    uint32_t block_bytes; /* of a span */
    uint32_t slots, live, cached, moving, pinned; /* blocks of a span */
};

/* The like for the pages, in the order of their offsets. */
HH_MUST_USE int hh_walk_extents(struct hh_heap *heap,
                                int (*visit)(const struct hh_extent *extent,
                                             void *context),
                                void *context);

/* A fixed text for an error, in the words of this heap. Safety: any thread. */
const char *hh_strerror(int error);

/* What exactly was wrong in this thread's latest failed call; "" when there is nothing
 * to add to hh_strerror. */
const char *hh_why(void);

#include "allocator/heap/fast.h"

#ifdef __cplusplus
}
#endif

#endif

// SPDX-License-Identifier: MIT
// What a workload sees of its worker: the subject's calls, counted and timed alike for
// all.
//
// Built on: allocator/subject.h, harness/measure/recorder.h. Units: bytes, ns.
// Concurrency: a struct sb_worker belongs to one worker; `shared` is shared by all.
// Why this way: every workload reaches every subject through these few inline calls, so
// the
//   price of locking, counting and stamping is the same in each arm.
#ifndef SB_WORKER_VIEW_H
#define SB_WORKER_VIEW_H

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "allocator/subject.h"
#include "harness/base/error.h"
#include "harness/measure/recorder.h"

struct sb_worker {
    const struct sb_subject *subject;
    struct sb_heap *heap; // this process's; for usage() in verify alone
    struct sb_ctx *ctx;
    struct sb_recorder recorder;
    bool pins;   // the subject has PIN: bytes are reached by lock, else by address
    bool verify; // write and compare patterns
    uint32_t index, workers;
    uint64_t seed;  // of this worker: same in every arm of a round
    uint64_t steps; // this worker will do
    const void *options;
    void *state;                  // state_bytes, this worker's
    void *shared;                 // shared_bytes, all workers'
    const atomic_uint *cancelled; // nonzero: the trial ends; set by the coordinator
    struct sb_error error;        // why a call failed, for the record
    int refusal;                  // why sb_reach last gave NULL: a negative errno
};

enum { SB_LOCK_TIMEOUT_MS = 5000 };

// Allocates `bytes`. A refusal is counted and returned.
static inline int sb_alloc(struct sb_worker *worker, uint64_t bytes, sb_ref *block)
{
    int rc = worker->subject->alloc(worker->ctx, bytes, block);
    struct sb_counters *counters = &worker->recorder.record->counters;
    if (__builtin_expect(rc != 0, 0)) {
        sb_counter_add(&counters->failures, 1);
        sb_recorder_end(&worker->recorder, SB_OP_OTHER);
        return rc;
    }
    // One by one (sb_counter_add sees to it): as one vector addition they would load
    // the word that free has just stored together with another, and wait for both.
    sb_counter_add(&counters->requested_bytes, bytes);
    sb_counter_add(&counters->allocated_bytes, bytes);
    sb_recorder_end(&worker->recorder, SB_OP_ALLOC);
    return 0;
}

// Frees a block of which `bytes` were asked for.
static inline int sb_free(struct sb_worker *worker, sb_ref block, uint64_t bytes)
{
    int rc = worker->subject->free(worker->ctx, block);
    if (__builtin_expect(rc != 0, 0)) {
        return sb_fail(&worker->error, rc, "free was refused (errno %d)", -rc);
    }
    sb_counter_add(&worker->recorder.record->counters.requested_bytes, -bytes);
    sb_recorder_end(&worker->recorder, SB_OP_FREE);
    return 0;
}

// Is this how a full heap answers? Then the step goes on; any other refusal of alloc
// ends the trial by sb_alloc_failed.
static inline bool sb_is_full(int rc)
{
    return rc == -ENOMEM || rc == -ENOSPC;
}

static inline int sb_alloc_failed(struct sb_worker *worker, int rc, uint64_t bytes)
{
    return sb_fail(&worker->error, rc, "alloc of %llu bytes was refused (errno %d)",
                   (unsigned long long)bytes, -rc);
}

// The same two outside of the measured steps: what is live is kept up to date, no
// operation is counted or timed.
static inline int sb_prepare_alloc(struct sb_worker *worker, uint64_t bytes,
                                   sb_ref *block)
{
    int rc = worker->subject->alloc(worker->ctx, bytes, block);
    if (rc != 0) {
        return sb_alloc_failed(worker, rc, bytes);
    }
    sb_counter_add(&worker->recorder.record->counters.requested_bytes, bytes);
    sb_counter_add(&worker->recorder.record->counters.allocated_bytes, bytes);
    return 0;
}

static inline int sb_prepare_free(struct sb_worker *worker, sb_ref block,
                                  uint64_t bytes)
{
    int rc = worker->subject->free(worker->ctx, block);
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "free was refused (errno %d)", -rc);
    }
    sb_counter_add(&worker->recorder.record->counters.requested_bytes, -bytes);
    return 0;
}

// Makes the bytes of a block reachable: by lock where the subject has PIN, else by
// address. Not timed: the caller ends the operation (SB_OP_ACCESS, or SB_OP_LOCK).
static inline void *sb_reach(struct sb_worker *worker, sb_ref block,
                             enum sb_lock_mode mode)
{
    void *bytes;
    if (!worker->pins) {
        bytes = worker->subject->address(worker->ctx, block);
        if (__builtin_expect(bytes == NULL, 0)) {
            worker->refusal =
                sb_fail(&worker->error, -EBADMSG, "a live block has no address");
        }
        return bytes;
    }
    int rc = worker->subject->lock(worker->ctx, block, mode,
                                   SB_LOCK_TIMEOUT_MS * UINT64_C(1000000), &bytes);
    if (__builtin_expect(rc != 0, 0)) {
        // Stale, though nobody freed it: the block is lost. All else is the lock's.
        worker->refusal = sb_fail(&worker->error, rc == -ESTALE ? -EBADMSG : rc,
                                  "lock was refused (errno %d)", -rc);
        return NULL;
    }
    return bytes;
}

static inline void sb_leave(struct sb_worker *worker, sb_ref block)
{
    if (worker->pins) {
        // A lock that was granted cannot fail to be released: a refusal here would show
        // as a pinned block in the check that ends the trial.
        (void)worker->subject->unlock(worker->ctx, block);
    }
}

// Are contents to be written whole and compared? Never on a subject that keeps none.
static inline bool sb_verifies(const struct sb_worker *worker)
{
    return worker->verify && (worker->subject->capabilities & SB_CAP_FORGETS) == 0;
}

// Has the trial been called off? For loops that wait for other workers.
static inline bool sb_cancelled(const struct sb_worker *worker)
{
    return atomic_load_explicit(worker->cancelled, memory_order_relaxed) != 0;
}

// One turn of a wait loop; *turns counts them. Spins a little, then lets others run,
// since there may be more workers than cores. Returns -ECANCELED once the trial is
// called off.
static inline int sb_wait_turn(const struct sb_worker *worker, uint32_t *turns)
{
    if (++*turns < 64) {
        __builtin_ia32_pause();
        return 0;
    }
    sched_yield();
    return sb_cancelled(worker) ? -ECANCELED : 0;
}

// When the requests of an open loop are due. Zeroed: all at once, long ago.
struct sb_schedule {
    uint64_t next_ticks; // the request before was due then
    uint64_t gap_ticks;  // mean distance
};
enum { SB_SCHEDULE_UNIT = 1 << 16 }; // the mean of the gaps that are drawn

// From now on.
static inline void sb_schedule_start(struct sb_schedule *schedule)
{
    schedule->next_ticks = sb_ticks();
}

// Waits, busy, for the next request, which comes `gap` after the one before, and begins
// its operation; *intended is when it was due, which may be past. Nobody else is let
// run meanwhile: that would delay the request. Errors: -ECANCELED.
static inline int sb_schedule_await(struct sb_worker *worker,
                                    struct sb_schedule *schedule, uint32_t gap,
                                    uint64_t *intended)
{
    uint64_t due = schedule->next_ticks + schedule->gap_ticks * gap / SB_SCHEDULE_UNIT;
    for (uint32_t turns = 1; sb_ticks() < due; turns++) {
        __builtin_ia32_pause();
        if (turns % 1024 == 0 && sb_cancelled(worker)) {
            return -ECANCELED;
        }
    }
    schedule->next_ticks = *intended = due;
    sb_recorder_mark(&worker->recorder);
    return 0;
}

#endif

// SPDX-License-Identifier: MIT
// What workers do in turns within a step: they meet, and one of them compacts.
//
// Built on: worker_view.h. Units: bytes. Concurrency: a meeting lies in the harness's
// shared memory and belongs to all workers; the number of meetings so far is each
// worker's own.
#ifndef SB_WORKLOADS_MEETING_H
#define SB_WORKLOADS_MEETING_H

#include "workloads/worker_view.h"

struct sb_meeting {
    _Alignas(64) _Atomic uint64_t arrivals; // of all workers, ever (acquire, release)
};

// Waits until all workers came here as often as this one; *before counts. Recorded as
// SB_OP_WAIT. Errors: -ECANCELED.
static inline int sb_meet(struct sb_worker *worker, struct sb_meeting *meeting,
                          uint64_t *before)
{
    uint64_t all = ++*before * worker->workers;
    uint32_t turns = 0;
    sb_recorder_mark(&worker->recorder);
    atomic_fetch_add_explicit(&meeting->arrivals, 1, memory_order_acq_rel);
    while (atomic_load_explicit(&meeting->arrivals, memory_order_acquire) < all) {
        int rc = sb_wait_turn(worker, &turns);
        if (rc != 0) {
            return rc;
        }
    }
    sb_recorder_end(&worker->recorder, SB_OP_WAIT);
    return 0;
}

// Compacts until nothing moves any more, `budget_bytes` a call (UINT64_MAX: no bound);
// each call is an SB_OP_COMPACT. For subjects with COMPACT. Errors: the subject's.
static inline int sb_compact_fully(struct sb_worker *worker, uint64_t budget_bytes)
{
    enum { CALLS_MOST = 1 << 20 };
    struct sb_compacted done = {0};
    sb_recorder_mark(&worker->recorder);
    for (uint32_t calls = 0; calls < CALLS_MOST && !done.finished; calls++) {
        int rc = worker->subject->compact(worker->ctx, budget_bytes, &done);
        if (rc != 0) {
            return sb_fail(&worker->error, rc, "compact was refused (errno %d)", -rc);
        }
        sb_recorder_end(&worker->recorder, SB_OP_COMPACT);
        if (done.moved_bytes == 0) {
            break;
        }
    }
    return 0;
}

#endif

// SPDX-License-Identifier: MIT
// One block, one user at a time: the subject's exclusive lock where it has one, else
// what its users would put beside it, a process-shared mutex.
//
// Built on: worker_view.h, POSIX mutexes. Concurrency: a guard lies in the shared
// memory of all workers and is made by one of them in begin.
// Why this way: a heap without locks is not spared the price of one, and a recoverable
// lock is compared with a recoverable one: the mutex is robust unless told otherwise.
#ifndef SB_GUARD_H
#define SB_GUARD_H

#include <pthread.h>

#include "workloads/worker_view.h"

struct sb_guard {
    _Alignas(64) pthread_mutex_t mutex; // unused where the subject has EXCLUSIVE
};

// Errors: -errno of pthread_mutex_init.
static inline int sb_guard_init(struct sb_guard *guard, bool robust)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);
    if (rc != 0) {
        return -rc;
    }
    rc = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (rc == 0 && robust) {
        rc = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (rc == 0) {
        rc = pthread_mutex_init(&guard->mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return -rc;
}

static inline bool sb_has_exclusive(const struct sb_worker *worker)
{
    return (worker->subject->capabilities & SB_CAP_EXCLUSIVE) != 0;
}

// Waits for the block and makes its bytes reachable; NULL as sb_reach.
// Not timed: the caller ends the operation (SB_OP_LOCK). A mutex is waited for without
// end: the watchdog speaks for it.
static inline void *sb_guard_enter(struct sb_worker *worker, struct sb_guard *guard,
                                   sb_ref block)
{
    if (sb_has_exclusive(worker)) {
        return sb_reach(worker, block, SB_LOCK_EXCLUSIVE);
    }
    int rc = pthread_mutex_lock(&guard->mutex);
    if (__builtin_expect(rc != 0, 0)) {
        worker->refusal = sb_fail(
            &worker->error, -rc, "the process-shared mutex was refused (errno %d)", rc);
        return NULL;
    }
    void *bytes = sb_reach(worker, block, SB_LOCK_PIN);
    if (__builtin_expect(bytes == NULL, 0)) {
        pthread_mutex_unlock(&guard->mutex);
    }
    return bytes;
}

static inline void sb_guard_leave(struct sb_worker *worker, struct sb_guard *guard,
                                  sb_ref block)
{
    sb_leave(worker, block);
    if (!sb_has_exclusive(worker)) {
        pthread_mutex_unlock(&guard->mutex);
    }
}

#endif

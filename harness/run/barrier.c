// SPDX-License-Identifier: MIT
// The barrier between the phases of a trial.
//
// Built on: barrier.h. Concurrency: see there; the futex words are shared by processes,
//   hence no FUTEX_PRIVATE_FLAG.
#include "harness/run/barrier.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const sb_phase_names[SB_PHASES + 1] = {
    "create", "attach", "begin",  "step",    "usage", "verify",
    "check",  "end",    "detach", "destroy", NULL,
};

enum { SPINS_BEFORE_YIELD = 200 };

static void wake_all(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void sb_barrier_arrive(struct sb_control *control, int event_fd)
{
    unsigned arrived =
        atomic_fetch_add_explicit(&control->arrived, 1, memory_order_acq_rel) + 1;
    if (arrived % control->workers == 0) {
        uint64_t one = 1;
        // A full counter (2^64 - 2) is the only way this can fail, and it would still
        // be readable.
        (void)!write(event_fd, &one, sizeof one);
    }
}

int sb_barrier_enter(struct sb_control *control, enum sb_phase phase)
{
    for (;;) {
        // The gate first: cancelling opens it wide, after it said so.
        unsigned gate = atomic_load_explicit(&control->gate, memory_order_acquire);
        if (atomic_load_explicit(&control->cancelled, memory_order_relaxed)) {
            return -ECANCELED;
        }
        if (gate > (unsigned)phase) {
            // Ordered already, by way of the coordinator. Where workers are threads,
            // the thread sanitizer sees only what its own process does: this is it.
            (void)atomic_load_explicit(&control->arrived, memory_order_acquire);
            return 0;
        }
        syscall(SYS_futex, &control->gate, FUTEX_WAIT, gate, NULL, NULL, 0);
    }
}

int sb_barrier_start(struct sb_control *control)
{
    atomic_fetch_add_explicit(&control->ready, 1, memory_order_acq_rel);
    for (unsigned turns = 0;; turns++) {
        if (atomic_load_explicit(&control->ready, memory_order_acquire) ==
            control->workers) {
            return 0;
        }
        if (atomic_load_explicit(&control->cancelled, memory_order_relaxed)) {
            return -ECANCELED;
        }
        if (turns < SPINS_BEFORE_YIELD) {
            __builtin_ia32_pause();
        } else {
            sched_yield(); // the one we wait for may need this very CPU
        }
    }
}

void sb_barrier_open(struct sb_control *control, enum sb_phase phase)
{
    atomic_store_explicit(&control->gate, (unsigned)phase + 1, memory_order_release);
    wake_all(&control->gate);
}

void sb_barrier_cancel(struct sb_control *control)
{
    atomic_store_explicit(&control->cancelled, 1, memory_order_relaxed);
    // The word must change too, or a waiter that looked just before would sleep on.
    atomic_fetch_or_explicit(&control->gate, 1u << 31, memory_order_release);
    wake_all(&control->gate);
}

// SPDX-License-Identifier: MIT
// The recorder: what a worker counts and times while it runs, in shared memory.
//
// Built on: histogram.h, base/clock.h. Units: histograms in clock ticks (converted to
//   ns when a trial is read), counters in events and bytes.
// Concurrency: one worker writes its record; the coordinator reads the counters while
//   it runs (relaxed, for the time line) and the rest after the worker passed the last
//   barrier.
// Why this way: an operation costs 5 to 50 ns and a stamp about 10, so stamps are
//   chained: the end of one operation is the start of the next, and trials for
//   throughput carry none.
#ifndef SB_MEASURE_RECORDER_H
#define SB_MEASURE_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/base/clock.h"
#include "harness/measure/histogram.h"

// Operations that latency is kept for. The names are in sb_op_names, same order.
enum sb_op {
    SB_OP_ALLOC,
    SB_OP_FREE,
    SB_OP_ACCESS, // lock (or address), one touch, unlock
    SB_OP_LOCK,   // waiting for a lock and getting it
    SB_OP_UNLOCK,
    SB_OP_REALLOC,
    SB_OP_COMPACT,
    SB_OP_WAIT, // a workload's own waiting (an empty or full queue)
    SB_OP_OTHER,
    SB_OP_RESPONSE, // no operation of its own: from when one was to begin to its end
    SB_OPS
};
extern const char *const sb_op_names[SB_OPS + 1]; // NULL-terminated

struct sb_counters {
    uint64_t steps;           // steps done: the heartbeat that the watchdog watches
    uint64_t ops[SB_OPS];     // operations done, timed or not
    uint64_t failures;        // alloc or realloc that the subject refused
    uint64_t requested_bytes; // live bytes this worker asked for, minus what it freed
                              // (may wrap below zero where others free: the sum counts)
    uint64_t allocated_bytes; // all bytes ever asked for
    uint64_t verified_bytes;  // contents compared by --verify
};

enum { SB_FIGURES_MOST = 4 };

struct sb_record {
    struct sb_counters counters;
    double figures[SB_FIGURES_MOST]; // of the workload, which names them
    uint32_t figures_set;            // a bit each
    uint64_t start_ticks, end_ticks; // of the steps of this worker
    struct sb_hist hist[SB_OPS];     // untouched in throughput trials
};

struct sb_recorder {
    struct sb_record *record;
    uint64_t last_ticks; // when the running operation began
    bool timed;
};

// Adds to a counter that this worker alone writes and others may read meanwhile. No
// locked instruction: a relaxed store is a plain one that a reader cannot see half of.
static inline void sb_counter_add(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

// A figure of the workload's own, the nth of those that its descriptor names. Each is
// set by one worker.
static inline void sb_figure_set(struct sb_recorder *recorder, uint32_t nth,
                                 double value)
{
    recorder->record->figures[nth] = value;
    recorder->record->figures_set |= 1u << nth;
}

// Reads another worker's counter while it runs.
static inline uint64_t sb_counter_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

// The running operation begins now: after think time or other unmeasured work.
static inline void sb_recorder_mark(struct sb_recorder *recorder)
{
    if (recorder->timed) {
        recorder->last_ticks = sb_ticks();
    }
}

// The running operation was `op` and ends now; the next begins.
static inline void sb_recorder_end(struct sb_recorder *recorder, enum sb_op op)
{
    sb_counter_add(&recorder->record->counters.ops[op], 1);
    if (recorder->timed) {
        uint64_t now = sb_ticks();
        sb_hist_record(&recorder->record->hist[op], now - recorder->last_ticks);
        recorder->last_ticks = now;
    }
}

// The operation that has just ended was to begin at `intended`: its response time holds
// what it waited for others, too. An earlier start than intended counts as none.
static inline void sb_recorder_respond(struct sb_recorder *recorder, uint64_t intended)
{
    sb_counter_add(&recorder->record->counters.ops[SB_OP_RESPONSE], 1);
    if (recorder->timed) {
        uint64_t end = recorder->last_ticks;
        sb_hist_record(&recorder->record->hist[SB_OP_RESPONSE],
                       end > intended ? end - intended : 0);
    }
}

#endif

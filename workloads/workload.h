// SPDX-License-Identifier: MIT
// The contract that every workload fulfils: one descriptor in one file.
//
// Built on: worker_view.h (what a workload sees of its worker). Units: steps.
// Concurrency: begin, step, end and verify are called by each worker for itself;
// barriers
//   lie between the phases, so that nobody steps before all began, verifies before all
//   stepped, or ends before all verified.
// Why this way: help, the table in the docs, the smoke test and the record follow from
// the
//   descriptor; adding a workload is one file and one line in workloads.def.
#ifndef SB_WORKLOAD_H
#define SB_WORKLOAD_H

#include "allocator/subject.h"
#include "workloads/worker_view.h"

enum sb_need {
    SB_NEED_EXCHANGE = 1u << 31, // blocks pass between workers: PRIVATE subjects only
                                 // do it when the workers are threads
    SB_NEED_CONTENTS = 1u << 30, // follows what it reads back: not on FORGETS subjects
};

struct sb_workload {
    const char *name;
    const char *summary;
    const char *source;     // paper or program the pattern comes from
    const char *stresses;   // what it shows
    const char *not_shown;  // and what it does not
    uint32_t needs;         // enum sb_capability | enum sb_need
    uint32_t workers_least; // fewest workers that make sense (article_demo: 3)
    const struct sb_option *options;
    size_t options_bytes;
    size_t state_bytes; // private state of a worker, zeroed

    // Bytes all workers share besides the heap (queues, roots), zeroed, cache-line
    // aligned. May be NULL: none.
    size_t (*shared_bytes)(const void *options, uint32_t workers, uint64_t steps);
    // Bytes that may be live at once over all workers, so that a segment can be sized.
    uint64_t (*live_bytes)(const void *options, uint32_t workers, uint64_t steps);
    // The segment it wants, for patterns that are about a full one; not below
    // live_bytes. May be NULL: by live_bytes, with much to spare. The user's word
    // (segment_bytes=) goes before both.
    uint64_t (*segment_bytes)(const void *options, uint32_t workers, uint64_t steps);
    // Names of the figures it sets (sb_figure_set), NULL-terminated, at most
    // SB_FIGURES_MOST. May be NULL: none.
    const char *const *figures;

    // Prepares (draws all randomness, fills the live set). Not measured.
    int (*begin)(struct sb_worker *worker);
    // Does steps first .. first + count - 1: the only measured call. The caller cuts
    // the worker's steps into such pieces, in order, and adds count to counters.steps
    // after each; workers need not be cut alike. Draws nothing, reads no clock but
    // through worker_view.h. A refused alloc is counted and gone on from where the
    // pattern allows it; a negative errno ends the trial as failed,
    // -EBADMSG as incorrect (verified steps compare contents too).
    int (*step)(struct sb_worker *worker, uint64_t first, uint64_t count);
    // What must hold afterwards (--verify): contents, counts, nothing lost. 0 or
    // -EBADMSG with worker->error saying what is wrong. Not measured.
    int (*verify)(struct sb_worker *worker);
    // Frees what is left. Not measured; called also when begin or a step failed (the
    // state is then as far as they came, zeroed before).
    void (*end)(struct sb_worker *worker);
};

#endif

// SPDX-License-Identifier: MIT
// The control segment: everything that the coordinator and the workers of one trial
// share.
//
// Built on: measure/recorder.h, measure/environment.h, allocator/subject.h. Units: in
// the names.
// Concurrency: the fields above `gate` are written by the coordinator before the first
//   worker starts and constant from then on; the others say who writes them.
// Why this way: a memfd of its own, apart from the heap under test, so that a subject
//   which tramples its segment cannot take the measurement with it, and so that a fresh
//   exec'd worker needs three descriptors and no argument. Options travel as text: the
//   worker parses them with the tables of its own build, and a worker of another build
//   is refused by version and size.
#ifndef SB_RUN_CONTROL_H
#define SB_RUN_CONTROL_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "allocator/subject.h"
#include "harness/base/clock.h"
#include "harness/measure/environment.h"
#include "harness/measure/recorder.h"

enum {
    SB_CONTROL_VERSION = 1,
    // Where a worker finds what it inherits; nothing else above 2 is open in it.
    SB_CONTROL_FD = 3,
    SB_EVENT_FD = 4,
    SB_SEGMENT_FD = 5,
    SB_WORKERS_MAX = 256,
};

// What a worker does next. A barrier lies between each two.
enum sb_phase {
    SB_PHASE_CREATE, // the first worker makes the segment (PRIVATE: each its own)
    SB_PHASE_ATTACH, // the others open it; all attach
    SB_PHASE_BEGIN,
    SB_PHASE_STEP,
    SB_PHASE_USAGE, // the coordinator has read the footprint; nothing freed yet
    SB_PHASE_VERIFY,
    SB_PHASE_CHECK, // the subject's own check, by the first worker alone
    SB_PHASE_END,
    SB_PHASE_DETACH,
    SB_PHASE_DESTROY, // by the first worker, after all others let go
    SB_PHASES
};
extern const char *const sb_phase_names[SB_PHASES + 1];

// One worker's part. Written by that worker, but for the initial zeroes.
struct sb_slot {
    _Alignas(64) atomic_uint phase; // relaxed: for the watchdog's report alone
    atomic_int status; // release: negative errno, the texts below are complete
    int32_t cpu;
    bool incorrect; // a correctness check failed
    char error[512];
    double stamp_ns;
    struct sb_self_covariates covariates; // of the steps
    struct sb_usage usage;                // first worker; PRIVATE: each
    _Alignas(64) struct sb_record record;
};

struct sb_control {
    uint32_t version;
    uint32_t slot_bytes; // sizeof(struct sb_slot): guards against another build
    uint64_t bytes;      // of the whole control segment
    uint64_t slots_offset, shared_offset, shared_bytes;
    pid_t coordinator;
    struct sb_clock clock;
    char subject[256];           // name, or path of a plugin
    char workload[64];           //
    char subject_options[4096];  // one "key=value" a line
    char workload_options[4096]; // the same
    char segment_path[256], segment_name[64];
    uint64_t segment_bytes;
    uint32_t medium, workers;
    bool threads, timed, verify;
    uint64_t seed, steps;
    cpu_set_t cpus; // that workers are pinned to, round robin

    // Highest phase that workers may enter, plus one. Coordinator; release, futex.
    _Alignas(64) atomic_uint gate;
    // Arrivals at barriers since the start. Workers; release; the last of a phase
    // signals the coordinator's event descriptor.
    _Alignas(64) atomic_uint arrived;
    // Workers that stand at the starting line. Workers; the last one starts them all.
    _Alignas(64) atomic_uint ready;
    // Nonzero: the trial is called off. Coordinator; relaxed.
    _Alignas(64) atomic_uint cancelled;
    // Index + 1 of the worker that failed first. Workers, by compare and swap.
    _Alignas(64) atomic_uint failed;
};

static inline struct sb_slot *sb_control_slot(struct sb_control *control,
                                              uint32_t index)
{
    return (struct sb_slot *)((char *)control + control->slots_offset) + index;
}

static inline void *sb_control_shared(struct sb_control *control)
{
    return control->shared_bytes ? (char *)control + control->shared_offset : NULL;
}

// Does this phase take place in the trial? Both sides ask, so that they agree.
static inline bool sb_phase_used(const struct sb_control *control, enum sb_phase phase)
{
    return control->verify || (phase != SB_PHASE_VERIFY && phase != SB_PHASE_CHECK);
}

#endif

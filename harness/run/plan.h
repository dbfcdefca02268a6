// SPDX-License-Identifier: MIT
// A plan: which arms (subjects) meet in which cells (workload, options, workers).
//
// Built on: allocator/subject.h, workloads/workload.h, base/option.h, base/ini.h.
// Units: in the names. Concurrency: made and read by the coordinator alone.
// Why this way: everything a run will do is decided, checked and printable
// (--show-plan)
//   before the first worker starts, so that a mistake costs one line and no
//   measurement.
#ifndef SB_RUN_PLAN_H
#define SB_RUN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/subject.h"
#include "harness/base/error.h"
#include "workloads/workload.h"

// Values of the [global] keys of a job file and of the command line; one option table
// (sb_settings_options) drives both.
struct sb_settings {
    uint64_t seed;
    uint64_t rounds;         // measured rounds of throughput trials; round 0 is dropped
    uint64_t latency_rounds; // further rounds whose trials carry stamps
    uint64_t budget_ns;      // 0: none; else rounds are reduced to fit
    uint64_t trial_ns;       // work is calibrated to about this
    uint64_t timeout_ns;     // watchdog: no progress of any worker for this long
    uint64_t segment_bytes;  // 0: sized by the workload
    uint32_t medium;         // index into memfd, shm, file
    uint32_t as;             // index into processes, threads
    bool verify;
    bool control; // add an A/A copy of the first arm
};
enum { SB_AS_PROCESSES, SB_AS_THREADS };
extern const struct sb_option sb_settings_options[];

struct sb_arm {
    char label[64];   // the subject's name, and its options where a job sets any
    char source[256]; // what finds it: its name, or the path of a plugin
    const struct sb_subject *subject;
    enum sb_medium medium; // where its segments live: the wanted medium, or the first
                           // of memfd, shm, file that it can; 0 for PRIVATE
    void *options;         // values, or NULL
    char version[96];      // from probe
    char missing[200];     // why the subject cannot be used here at all; empty: it can
    bool control;          // the A/A copy of arm 0
};

// One arm within one cell.
struct sb_pairing {
    bool na;     // cannot be done; `reason` says why, and it is recorded as such
    bool failed; // was tried and failed; `reason` says how: not tried again
    char reason[200];
    double work_scale;  // share of the cell's steps that this arm does (1, 1/4, ...)
    double pilot_ns;    // wall time of the last pilot trial, 0 before calibration
    double step_ns;     // by that pilot, wall time a step of each worker
    double expected_ns; // of one whole trial: by the pilot, then by the latest trial
};

struct sb_cell {
    char section[48]; // of the job file, or the workload's name
    const struct sb_workload *workload;
    void *options; // values, or NULL
    char set[256]; // options that differ from their initial value: "bytes=64 hold=1us"
    uint32_t workers;
    bool steps_fixed; // by the job: calibration leaves them alone
    uint64_t steps;   // a worker's; 0 before calibration unless the job fixes `steps`
    uint64_t segment_bytes; // of the trials: as set, or by the workload for its steps
    struct sb_pairing *pairings; // one an arm
};

struct sb_plan {
    char profile[48]; // or the job file's name
    struct sb_settings settings;
    uint32_t arms_count, cells_count;
    struct sb_arm *arms;
    struct sb_cell *cells;
};

// What the user asked for, as words; NULL or 0 where nothing was said.
struct sb_request {
    const char *const
        *jobs; // job files; a profile is resolved to its file by the caller
    uint32_t jobs_count;
    const char *profile;   // name for the record
    const char *subjects;  // "hh,malloc" or ./plugin.so; replaces the jobs' lists
    const char *workloads; // "pair,mix"; without jobs: these with their defaults, else
                           // a filter over the jobs' sections
    const char *workers;   // "1,2,4"
    const char *const *sets; // "workload.key=value" or "subject.key=value"
    uint32_t sets_count;
    const char *const *settings; // "key=value" of sb_settings_options
    uint32_t settings_count;
};

// Errors: -EINVAL, -ENOENT, -ERANGE with one line (file and line named for job files).
int sb_plan_make(const struct sb_request *request, struct sb_plan **plan,
                 struct sb_error *error);
void sb_plan_free(struct sb_plan *plan);

// Expected number of trials and time, before (pilot_ns 0: by trial_ns) or after
// calibration.
void sb_plan_expect(const struct sb_plan *plan, uint64_t *trials, uint64_t *total_ns);

#endif

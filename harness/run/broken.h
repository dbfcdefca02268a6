// SPDX-License-Identifier: MIT
// Workloads and subjects that misbehave on purpose, known to the test worker alone.
//
// Built on: workloads/workload.h. Concurrency: constant tables.
#ifndef SB_RUN_BROKEN_H
#define SB_RUN_BROKEN_H

#include "workloads/workload.h"

// Each does its mischief in the last worker, in step 100 where it is a matter of steps.
extern const struct sb_workload
    broken_none,   // counts its steps in the shared bytes and verifies the sum
    broken_crash,  // writes through a null pointer
    broken_exit,   // ends its process with status 7
    broken_hang,   // stands still and looks at nothing
    broken_wait,   // waits for the trial to be called off, as workloads do
    broken_refuse, // begin fails with a text
    broken_wrong;  // verify finds wrong contents
extern const struct sb_workload *const broken_workloads[];

extern const struct sb_subject broken_lossy, // hands the same block out again and again
    broken_shm,   // makes a POSIX shm object and nothing else of use
    broken_tight, // finds every segment too small
    broken_slow,  // takes 2 ms for an alloc
    broken_stuck; // takes 3 s for an alloc
extern const struct sb_subject *const broken_subjects[];

#endif

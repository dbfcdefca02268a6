// SPDX-License-Identifier: MIT
// The worker's side of a trial: a fresh process that runs one worker, or all as
// threads.
//
// Built on: control.h, barrier.h. Concurrency: main calls it once.
// Why this way: the executable is a main of one line, so that the tests can link one of
//   their own that knows further (broken) workloads and subjects.
#ifndef SB_RUN_WORKER_H
#define SB_RUN_WORKER_H

#include "allocator/subject.h"
#include "workloads/workload.h"

// Descriptors beside those of the suite; NULL-terminated arrays, or NULL.
struct sb_worker_extra {
    const struct sb_subject *const *subjects;
    const struct sb_workload *const *workloads;
};

// Takes part in the trial whose control segment was inherited; returns the process's
// exit status: 0, or 1 after the reason was written into the control segment, or 2 if
// there is none that this build understands.
int sb_worker_main(int argc, char **argv, const struct sb_worker_extra *extra);

#endif

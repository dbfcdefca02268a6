// SPDX-License-Identifier: MIT
// The workloads that come with the suite.
//
// Built on: workload.h, workloads.def. Concurrency: constant.
#ifndef SB_WORKLOADS_H
#define SB_WORKLOADS_H

#include "workloads/workload.h"

// All workloads, in the order of workloads.def, NULL-terminated.
extern const struct sb_workload *const sb_workloads[];

// Errors: -ENOENT, with the nearest name in the error.
int sb_workload_find(const char *name, const struct sb_workload **workload,
                     struct sb_error *error);

#endif

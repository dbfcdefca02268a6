// SPDX-License-Identifier: MIT
// Trials that the tests of the workloads run: subjects and workloads by name, small.
//
// Built on: bed.h. Concurrency: none.
#ifndef SB_WORKLOADS_SETUP_H
#define SB_WORKLOADS_SETUP_H

#include "workloads/bed.h"

// NULL: not installed here.
const struct sb_subject *setup_subject(const char *name);
const struct sb_workload *setup_workload(const char *name);
// Can the subject do the workload, with threads for workers?
bool setup_suits(const struct sb_workload *each, const struct sb_subject *on);
// Small enough for a test, with every option that shapes the work in use.
void setup_shrink(struct bed_setup *setup);
// All steps were done, and what is to be refused or found out was.
void setup_assert_ran(const struct bed_setup *setup, const struct bed_result *result);

#endif

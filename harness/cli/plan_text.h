// SPDX-License-Identifier: MIT
// --show-plan: what a run would do, before it does anything.
//
// Built on: run/plan.h. Concurrency: one thread.
#ifndef SB_CLI_PLAN_TEXT_H
#define SB_CLI_PLAN_TEXT_H

#include <stdio.h>

#include "harness/run/plan.h"

void sb_plan_print(FILE *file, const struct sb_plan *plan);

#endif

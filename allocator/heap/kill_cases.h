// SPDX-License-Identifier: MIT
/*
 * kill_cases.h - the calls that are killed at every instruction.
 *
 * Built on: kill_step.h. Concurrency: see kill_test.c.
 * Why this way: a table, so that a new call of the heap is one function and one line.
 */
#ifndef ALLOCATOR_HEAP_KILL_CASES_H
#define ALLOCATOR_HEAP_KILL_CASES_H

#include "allocator/heap/kill_step.h"

#define KILL_OLD     150u /* slots of the list that the neighbour uses */
#define KILL_OWN     200u /* first slot of the list that the victim uses */
#define KILL_CLIENTS 4u
#define KILL_TOKEN   (INT64_C(1) << 60) /* first byte of the liveness locks */

struct kill_plan {
    struct kill_case what;
    uint64_t
        every;  /* second kills for each nth image; 0: in full runs, for each 10th */
    bool pins;  /* the neighbour has blocks pinned */
    bool full;  /* in full runs alone */
    bool alone; /* what others do meanwhile may make it fail */
};

extern const struct kill_plan kill_plans[];
extern const size_t kill_plan_count;

/* Recovery itself, for second kills. */
extern const struct kill_case kill_second;

#endif

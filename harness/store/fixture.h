// SPDX-License-Identifier: MIT
// A plan of two arms and two cells with outcomes made by hand, for the store's tests.
//
// Built on: run/outcome.h. Concurrency: one thread, one fixture.
#ifndef SB_STORE_FIXTURE_H
#define SB_STORE_FIXTURE_H

#include "harness/run/outcome.h"

struct sb_fixture {
    struct sb_plan plan;
    struct sb_arm arms[2];
    struct sb_cell cells[2];
    struct sb_pairing pairings[2][2];
    struct sb_environment environment;
    struct sb_outcome outcome; // ok, kept, without stamps: cell 0, arm 0, round 1
    struct sb_worker_outcome workers[2];
    struct sb_moment moments[3];
    struct sb_hist *hist; // 1000 records: 10, 20, ... 10000 ticks of half a ns
};

// The seed that a double or a signed integer would spoil.
#define SB_FIXTURE_SEED UINT64_C(18446744073709551557)

void sb_fixture_make(struct sb_fixture *fixture);
void sb_fixture_free(struct sb_fixture *fixture);

// Turns the outcome into one with stamps, into an n/a pair, or back.
void sb_fixture_time(struct sb_fixture *fixture, bool timed);
void sb_fixture_na(struct sb_fixture *fixture, const char *why);

#endif

// SPDX-License-Identifier: MIT
// A plan and outcomes made by hand: see fixture.h.
#include "harness/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    uint64_t bytes;
    double share;
    bool plain;
    uint32_t order;
};

static const char *const orders[] = {"random", "fifo", NULL};
static const struct sb_option rows[] = {
    {"bytes", "size", SB_BYTES, offsetof(struct values, bytes), "64", 1, 1e6, NULL,
     SB_LOG},
    {"share", "part", SB_RATIO, offsetof(struct values, share), "0.25", 0, 1, NULL,
     SB_FIXED},
    {"plain", "flag", SB_FLAG, offsetof(struct values, plain), "yes", 0, 0, NULL,
     SB_FIXED},
    {"order", "choice", SB_CHOICE, offsetof(struct values, order), "fifo", 0, 0, orders,
     SB_FIXED},
    {0},
};

// Only what a record shows is filled in: nothing here is ever run.
static const struct sb_subject left = {
    .name = "left",
    .summary = "a \"quoted\" summary",
    .origin = "liba",
    .capabilities = SB_CAP_SHARE | SB_CAP_REMOTE_FREE | SB_CAP_PIN,
    .media = SB_MEMFD,
    .options = rows,
    .options_bytes = sizeof(struct values),
};
static const struct sb_subject right = {
    .name = "right",
    .summary = "another",
    .origin = "libb",
    .capabilities = SB_CAP_PRIVATE,
};
static const struct sb_workload load = {
    .name = "load",
    .summary = "s",
    .source = "s",
    .stresses = "s",
    .not_shown = "s",
    .workers_least = 1,
    .options = rows,
    .options_bytes = sizeof(struct values),
};
static struct values values;

static void make_environment(struct sb_environment *environment)
{
    static const struct sb_fact facts[] = {
        {"cpu_model", false, true, "A CPU", ""},
        {"cpus_online", true, true, "2", ""},
        {"clock_stamp_ns", true, false, "9.5", ""},
        {"steal_ms", true, false, "unknown", "cannot be read: look elsewhere"},
    };
    environment->count = sizeof facts / sizeof facts[0];
    memcpy(environment->facts, facts, sizeof facts);
    snprintf(environment->hash, sizeof environment->hash, "00c0ffee00c0ffee");
}

static void make_outcome(struct sb_fixture *fixture)
{
    fixture->outcome = (struct sb_outcome){
        .trial_id = 7,
        .round = 1,
        .position = 1,
        .kept = true,
        .plan = &fixture->plan,
        .cell = &fixture->cells[0],
        .arm = &fixture->arms[0],
        .status = SB_OK,
        .seed = SB_FIXTURE_SEED,
        .steps = 500,
        .work_scale = 1,
        .wall_ns = 100000,
        .total_ns = 200000,
        .segment_bytes = 1 << 20,
        .steps_done = 1000,
        .failures = 3,
        .ns_per_tick = 0.5,
        .stamp_ns = 9.5,
        .footprint_bytes = 300000,
        .requested_bytes = 200000,
        .peak_footprint_bytes = 400000,
        .workers_count = 2,
        .moments_count = 3,
        .workers = fixture->workers,
        .moments = fixture->moments,
        .covariates = {.steal_ms = 1, .psi_cpu_us = SB_COVARIATE_UNKNOWN},
    };
    struct sb_outcome *outcome = &fixture->outcome;
    outcome->ops[SB_OP_ALLOC] = 1000;
    outcome->ops[SB_OP_FREE] = 900;
    outcome->ops[SB_OP_WAIT] = 50;
    memset(&outcome->usage, 0xff, sizeof outcome->usage);
    outcome->usage.moved_bytes = 4096;
    outcome->usage.moves = 2;
    outcome->usage.compactions = 1;
    outcome->usage.usable_bytes = 250000;
    outcome->usage.locks_count = 1;
    outcome->usage.locks[0] = (struct sb_lock_usage){
        .name = "heap",
        .acquisitions = 1900,
        .contended = 19,
        .wait_ns = 20000,
        .longest_wait_ns = 900,
        .hold_ns = SB_UNKNOWN,
        .longest_hold_ns = SB_UNKNOWN,
    };
}

void sb_fixture_make(struct sb_fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    sb_options_default(rows, &values);
    fixture->plan = (struct sb_plan){
        .profile = "tiny job.ini",
        .arms_count = 2,
        .cells_count = 2,
        .arms = fixture->arms,
        .cells = fixture->cells,
    };
    sb_options_default(sb_settings_options, &fixture->plan.settings);
    fixture->arms[0] = (struct sb_arm){.label = "left bytes=1",
                                       .subject = &left,
                                       .options = &values,
                                       .version = "1.0",
                                       .medium = SB_MEMFD};
    fixture->arms[1] =
        (struct sb_arm){.label = "right", .subject = &right, .version = "2.0"};
    for (int i = 0; i < 2; i++) {
        fixture->cells[i] = (struct sb_cell){
            .section = "section/one",
            .workload = &load,
            .options = &values,
            .set = "bytes=64",
            .workers = 2,
            .steps = 500,
            .segment_bytes = 1 << 20,
            .pairings = fixture->pairings[i],
        };
        fixture->pairings[i][0].work_scale = fixture->pairings[i][1].work_scale = 1;
        fixture->workers[i] = (struct sb_worker_outcome){
            .wall_ns = 99000,
            .steps = 500,
            .ops = 975,
            .cpu = i - 1,
            .covariates = {.run_delay_ns = 5, .minor_faults = 6},
        };
    }
    for (uint64_t i = 0; i < 3; i++) {
        fixture->moments[i] = (struct sb_moment){i * 1000, i * 4096, i * 64, i * 10};
    }
    fixture->hist = calloc(1, sizeof *fixture->hist);
    for (uint64_t i = 1; fixture->hist != NULL && i <= 1000; i++) {
        sb_hist_record(fixture->hist, i * 10);
    }
    make_environment(&fixture->environment);
    make_outcome(fixture);
}

void sb_fixture_free(struct sb_fixture *fixture)
{
    free(fixture->hist);
}

void sb_fixture_time(struct sb_fixture *fixture, bool timed)
{
    fixture->outcome.timed = timed;
    fixture->outcome.hist[SB_OP_ALLOC] = timed ? fixture->hist : NULL;
}

void sb_fixture_na(struct sb_fixture *fixture, const char *why)
{
    struct sb_outcome *outcome = &fixture->outcome;
    *outcome = (struct sb_outcome){
        .trial_id = 8,
        .round = 1,
        .plan = &fixture->plan,
        .cell = &fixture->cells[1],
        .arm = &fixture->arms[1],
        .status = SB_NA,
        .work_scale = 1,
    };
    snprintf(outcome->detail, sizeof outcome->detail, "%s", why);
    snprintf(outcome->reason, sizeof outcome->reason, "not measured");
}

// SPDX-License-Identifier: MIT
// Writes a run folder from outcomes made by hand, for schema_test.py:
// store_sample FOLDER complete|killed.
//
// Built on: fixture.h, store.h. Concurrency: one thread.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness/store/fixture.h"
#include "harness/store/store.h"

static int write_trials(struct sb_fixture *fixture, struct sb_store *store,
                        struct sb_tally *tally, struct sb_error *error)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < 4; i++) {
        sb_fixture_time(fixture, i % 2 == 1);
        fixture->outcome.round = 1 + i / 2;
        fixture->outcome.trial_id = (uint64_t)i;
        rc = sb_store_trial(store, &fixture->outcome, error);
        if (rc == 0) {
            rc = sb_tally_add(tally, &fixture->outcome);
        }
    }
    if (rc == 0) {
        fixture->outcome.status = SB_HUNG;
        fixture->outcome.kept = false;
        snprintf(fixture->outcome.detail, sizeof fixture->outcome.detail,
                 "no progress\nsince \x01 \xff");
        rc = sb_store_trial(store, &fixture->outcome, error);
    }
    if (rc == 0) {
        sb_fixture_na(fixture, "cannot be shared");
        rc = sb_store_trial(store, &fixture->outcome, error);
    }
    return rc;
}

int main(int argc, char **argv)
{
    static struct sb_fixture fixture;
    struct sb_error error = {{0}};
    struct sb_store *store;
    struct sb_tally *tally;
    if (argc != 3) {
        return 1;
    }
    sb_fixture_make(&fixture);
    const char *jobs[] = {__FILE__};
    struct sb_store_about about = {
        .out = argv[1],
        .plan = &fixture.plan,
        .environment = &fixture.environment,
        .jobs = jobs,
        .jobs_count = 1,
        .argc = argc,
        .argv = argv,
    };
    int rc = sb_tally_make(&fixture.plan, &tally);
    if (rc == 0) {
        rc = sb_store_open(&about, &store, &error);
    }
    if (rc == 0) {
        rc = sb_store_calibrated(store, &error);
    }
    if (rc == 0) {
        sb_store_warn(store, "a warning of the run");
        rc = write_trials(&fixture, store, tally, &error);
    }
    if (rc == 0 && strcmp(argv[2], "killed") == 0) {
        raise(SIGKILL); // nothing is flushed, nothing is closed
    }
    if (rc == 0) {
        rc = sb_store_close(store, tally, SB_COMPLETE, NULL, &error);
    }
    if (rc != 0) {
        fprintf(stderr, "store_sample: %s (%d)\n", error.text, rc);
    }
    sb_tally_free(tally);
    sb_fixture_free(&fixture);
    return rc != 0;
}

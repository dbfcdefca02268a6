// SPDX-License-Identifier: MIT
// The run folder as it is written: the interface between the measuring and the reading
// parts (results/README.md explains each field, results/schema.json checks them).
//
// Built on: manifest.h, trial.h, tally.h, base/json.h (files replaced whole).
// Concurrency: one store a run, one thread.
// Why this way: a trial's line goes to the kernel in one write when the trial ends, so
// a run that is killed keeps all that it measured; nothing is kept back for the end but
// the manifest's last state and the merged histograms, which can be made again from the
// lines.
#ifndef SB_STORE_STORE_H
#define SB_STORE_STORE_H

#include "harness/run/outcome.h"
#include "harness/store/manifest.h"
#include "harness/store/tally.h"

struct sb_store;

struct sb_store_about {
    const char *out; // the folder the user named; NULL: results/RUN_ID, or
                     // shmbench-results/RUN_ID where there is no folder results
    const struct sb_plan *plan;               // must outlive the store
    const struct sb_environment *environment; // likewise
    const char *const *jobs;                  // job files whose text is recorded
    uint32_t jobs_count;
    int argc; // the words after the program's name, likewise
    char *const *argv;
};

// Makes the folder (its parent must exist; one that exists must be empty) and writes
// the manifest. Errors: -ENOENT no parent, -ENOTEMPTY, -ENOTDIR, -EACCES, -ENOSPC, ...
// with the folder named; nothing is then left behind.
int sb_store_open(const struct sb_store_about *about, struct sb_store **store,
                  struct sb_error *error);

const char *sb_store_folder(const struct sb_store *store);
const char *sb_store_run_id(const struct sb_store *store);

// The plan is complete: notes steps and scales of each cell. Errors: as sb_store_trial.
int sb_store_calibrated(struct sb_store *store, struct sb_error *error);

// Writes one line. Errors: errno of write, with the file named; a line cut short is
// taken back, so all lines before stay good.
int sb_store_trial(struct sb_store *store, const struct sb_outcome *outcome,
                   struct sb_error *error);

// Adds a line to the manifest's warnings. A warning that cannot be kept is dropped.
void sb_store_warn(struct sb_store *store, const char *text);

// Writes histograms and the final manifest and lets go of the store, whatever it
// returns. `failure` says why for SB_BROKEN, else NULL. Errors: errno of write with the
// file named; trials.ndjson is complete even then.
int sb_store_close(struct sb_store *store, const struct sb_tally *tally,
                   enum sb_state state, const char *failure, struct sb_error *error);

// Removes the folder, and the folders that were made for it: nothing was measured.
void sb_store_discard(struct sb_store *store);

#endif

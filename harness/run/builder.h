// SPDX-License-Identifier: MIT
// The parts that sb_plan_make is put together from; private to harness/run.
//
// Built on: plan.h, base/ini.h. Concurrency: one thread.
// Why this way: the user's words are first collected with the place they stand at, and
//   only then looked up, so that each complaint can name its file and line and the
//   order of keys does not matter.
#ifndef SB_RUN_BUILDER_H
#define SB_RUN_BUILDER_H

#include "harness/base/ini.h"
#include "harness/run/plan.h"

enum {
    SB_ARMS_MAX = 64,
    SB_CELLS_MAX = 1000,
    SB_WORDS_MAX = 256,
    SB_TIMED_COST = 2, // time of a timed trial over an untimed one, for expectations
    SB_WHERE_BYTES = 280,
};

// One word of the user's and where it stands: "job.ini:12", or the option's name.
struct sb_word {
    char *owner; // of a set: the workload or subject before the dot; else NULL
    char *key, *value;
    char where[SB_WHERE_BYTES];
};

struct sb_words {
    struct sb_word all[SB_WORDS_MAX];
    uint32_t count;
};

// One section to be expanded: its own words, later ones winning.
struct sb_section {
    char name[48];
    const struct sb_workload *workload;
    char where[SB_WHERE_BYTES];
    struct sb_words words;
    char *workers; // and where it was said
    char workers_where[SB_WHERE_BYTES];
    bool workers_strict; // said for this section alone: a misfit is an error
};

// Expected time of one trial of an arm in a cell, 0 where there is none.
double sb_pairing_expect_ns(const struct sb_plan *plan, const struct sb_cell *cell,
                            uint32_t arm);

struct sb_builder {
    const struct sb_request *request;
    struct sb_plan *plan;
    struct sb_error *error;
    char *subjects, *workers; // lists, NULL: nothing was said
    char subjects_where[SB_WHERE_BYTES], workers_where[SB_WHERE_BYTES];
    struct sb_words subject_sets, workload_sets;
    struct sb_section *sections;
    uint32_t sections_count;
};

// Adds key = value (owner may be NULL); a key said before is replaced. -E2BIG, -ENOMEM.
int sb_words_put(struct sb_words *words, const char *owner, const char *key,
                 const char *value, const char *where, struct sb_error *error);
void sb_words_free(struct sb_words *words);
// Replaces *text by a copy of `value` and notes the place.
int sb_word_say(char **text, char *where, const char *value, const char *place);

// Reads one job file into the builder: settings, lists, sets and sections.
int sb_builder_read_job(struct sb_builder *builder, const char *path);
// Sections for --workload without a job, or a filter over the jobs' sections.
int sb_builder_choose(struct sb_builder *builder);
// The arms, from the list of subjects and their sets.
int sb_builder_make_arms(struct sb_builder *builder);
// The cells, from the sections and their sweeps.
int sb_builder_make_cells(struct sb_builder *builder);
// The pairings, with the reasons of those that cannot be.
int sb_builder_make_pairings(struct sb_builder *builder);

// Why can this arm not do this cell? 0: it can; 1: `reason` says why not.
int sb_pairing_obstacle(const struct sb_plan *plan, const struct sb_cell *cell,
                        const struct sb_arm *arm, char *reason, size_t bytes);

#endif

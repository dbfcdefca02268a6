// SPDX-License-Identifier: MIT
// A plan, from the user's words to cells and arms.
//
// Built on: plan.h, builder.h. Concurrency: one thread.
#include "harness/run/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "harness/run/builder.h"
#include "workloads/workloads.h"

static const char *const media[] = {"memfd", "shm", "file", NULL};
static const char *const ways[] = {"processes", "threads", NULL};

#define ROW(field) offsetof(struct sb_settings, field)
const struct sb_option sb_settings_options[] = {
    {"seed", "seed of all randomness; the same seed does the same work", SB_COUNT,
     ROW(seed), "1", 0, 9e15, NULL, SB_FIXED},
    {"rounds", "measured rounds of throughput trials, after one that is dropped",
     SB_COUNT, ROW(rounds), "9", 0, 10000, NULL, SB_FIXED},
    {"latency_rounds", "further rounds whose trials time each operation", SB_COUNT,
     ROW(latency_rounds), "3", 0, 10000, NULL, SB_FIXED},
    {"budget", "time for all of it; rounds are reduced to fit, 0: no limit", SB_NS,
     ROW(budget_ns), "0", 0, 1e15, NULL, SB_FIXED},
    {"trial", "work is calibrated so that a trial takes about this long", SB_NS,
     ROW(trial_ns), "50ms", 1e5, 1e14, NULL, SB_FIXED},
    {"timeout", "a trial that makes no progress for so long is ended", SB_NS,
     ROW(timeout_ns), "10s", 1e7, 1e13, NULL, SB_FIXED},
    {"segment_bytes", "size of each segment, 0: by what the workload needs", SB_BYTES,
     ROW(segment_bytes), "0", 0, 1e13, NULL, SB_FIXED},
    {"medium", "where segments live, for subjects that have the choice", SB_CHOICE,
     ROW(medium), "memfd", 0, 0, media, SB_FIXED},
    {"as", "workers are processes, or threads of one process", SB_CHOICE, ROW(as),
     "processes", 0, 0, ways, SB_FIXED},
    {"verify", "check contents and counts after each trial", SB_FLAG, ROW(verify), "no",
     0, 0, NULL, SB_FIXED},
    {"control", "add a copy of the first arm (A/A), to show the noise", SB_FLAG,
     ROW(control), "no", 0, 0, NULL, SB_FIXED},
    {0},
};
#undef ROW

// "owner.key=value" of --set, for a workload (or section) or a subject.
static int read_set(struct sb_builder *builder, const char *set)
{
    char where[SB_WHERE_BYTES], owner[256], key[128];
    snprintf(where, sizeof where, "--set %.200s", set);
    const char *equals = strchr(set, '=');
    const char *dot = equals ? memrchr(set, '.', (size_t)(equals - set)) : NULL;
    if (!dot || dot == set || dot + 1 == equals || dot - set >= (long)sizeof owner ||
        equals - dot > (long)sizeof key) {
        return sb_fail(builder->error, -EINVAL,
                       "%s: not of the form workload.key=value or subject.key=value",
                       where);
    }
    snprintf(owner, sizeof owner, "%.*s", (int)(dot - set), set);
    snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), dot + 1);
    bool section = false;
    for (uint32_t i = 0; i < builder->sections_count && !section; i++) {
        section = strcmp(builder->sections[i].name, owner) == 0;
    }
    const struct sb_workload *workload;
    const struct sb_subject *subject;
    if (section || sb_workload_find(owner, &workload, NULL) == 0) {
        return sb_words_put(&builder->workload_sets, owner, key, equals + 1, where,
                            builder->error);
    }
    if (strchr(owner, '/') || sb_subject_find(owner, &subject, NULL) == 0) {
        return sb_words_put(&builder->subject_sets, owner, key, equals + 1, where,
                            builder->error);
    }
    return sb_fail(builder->error, -ENOENT,
                   "%s: %s is neither a workload nor a subject", where, owner);
}

static int read_request(struct sb_builder *builder)
{
    const struct sb_request *request = builder->request;
    int rc = 0;
    for (uint32_t i = 0; i < request->jobs_count && rc == 0; i++) {
        rc = sb_builder_read_job(builder, request->jobs[i]);
    }
    for (uint32_t i = 0; i < request->settings_count && rc == 0; i++) {
        char key[128];
        const char *setting = request->settings[i], *equals = strchr(setting, '=');
        if (!equals || equals - setting >= (long)sizeof key) {
            return sb_fail(builder->error, -EINVAL, "%s: not of the form key=value",
                           setting);
        }
        snprintf(key, sizeof key, "%.*s", (int)(equals - setting), setting);
        rc = sb_option_set(sb_settings_options, &builder->plan->settings, key,
                           equals + 1, builder->error);
    }
    if (rc == 0 && request->subjects) {
        rc = sb_word_say(&builder->subjects, builder->subjects_where, request->subjects,
                         "");
    }
    if (rc == 0) {
        rc = sb_builder_choose(builder);
    }
    for (uint32_t i = 0; i < request->sets_count && rc == 0; i++) {
        rc = read_set(builder, request->sets[i]);
    }
    return rc;
}

static void name_profile(struct sb_plan *plan, const struct sb_request *request)
{
    const char *name = request->profile;
    if (!name && request->jobs_count) {
        const char *slash = strrchr(request->jobs[0], '/');
        name = slash ? slash + 1 : request->jobs[0];
    }
    snprintf(plan->profile, sizeof plan->profile, "%s", name ? name : "none");
}

int sb_plan_make(const struct sb_request *request, struct sb_plan **plan,
                 struct sb_error *error)
{
    struct sb_error unread = {{0}};
    struct sb_builder *builder = calloc(1, sizeof *builder);
    struct sb_plan *made = calloc(1, sizeof *made);
    int rc = -ENOMEM;
    if (!builder || !made) {
        sb_fail(error, rc, "no memory for the plan");
        goto done;
    }
    builder->request = request;
    builder->plan = made;
    builder->error = error ? error : &unread;
    sb_options_default(sb_settings_options, &made->settings);
    name_profile(made, request);
    rc = read_request(builder);
    if (rc == 0) {
        rc = sb_builder_make_arms(builder);
    }
    if (rc == 0) {
        rc = sb_builder_make_cells(builder);
    }
    if (rc == 0) {
        rc = sb_builder_make_pairings(builder);
    }
    if (rc == 0 && made->settings.rounds + made->settings.latency_rounds == 0) {
        rc = sb_fail(builder->error, -EINVAL,
                     "rounds=0 and latency_rounds=0: nothing would be measured");
    }
done:
    if (builder) {
        for (uint32_t i = 0; i < builder->sections_count; i++) {
            sb_words_free(&builder->sections[i].words);
            free(builder->sections[i].workers);
        }
        free(builder->sections);
        sb_words_free(&builder->subject_sets);
        sb_words_free(&builder->workload_sets);
        free(builder->subjects);
        free(builder->workers);
        free(builder);
    }
    if (rc == 0) {
        *plan = made;
    } else {
        sb_plan_free(made);
    }
    return rc;
}

void sb_plan_free(struct sb_plan *plan)
{
    if (!plan) {
        return;
    }
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        free(plan->cells[i].options);
        free(plan->cells[i].pairings);
    }
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        free(plan->arms[i].options);
    }
    free(plan->cells);
    free(plan->arms);
    free(plan);
}

enum { OVERHEAD_GUESS_NS = 8000000 };

double sb_pairing_expect_ns(const struct sb_plan *plan, const struct sb_cell *cell,
                            uint32_t arm)
{
    const struct sb_pairing *pairing = &cell->pairings[arm];
    if (pairing->na || pairing->failed) {
        return 0;
    }
    return pairing->expected_ns > 0
               ? pairing->expected_ns
               : (double)plan->settings.trial_ns + OVERHEAD_GUESS_NS;
}

void sb_plan_expect(const struct sb_plan *plan, uint64_t *trials, uint64_t *total_ns)
{
    const struct sb_settings *settings = &plan->settings;
    uint64_t rounds = settings->rounds + settings->latency_rounds + 1, count = 0;
    double ns = 0;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
            double one = sb_pairing_expect_ns(plan, &plan->cells[i], arm);
            count += one > 0;
            ns += one;
        }
    }
    *trials = count * rounds;
    *total_ns = (uint64_t)(ns * (double)(1 + settings->rounds +
                                         SB_TIMED_COST * settings->latency_rounds));
}

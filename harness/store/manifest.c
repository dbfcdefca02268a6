// SPDX-License-Identifier: MIT
// manifest.json: see manifest.h.
#include "harness/store/manifest.h"

#include <stdlib.h>
#include <time.h>

#include "harness/store/build.h"
#include "harness/store/words.h"

enum { SCHEMA = 1 };

const char *const sb_state_names[] = {"running", "complete", "interrupted", "failed"};

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

void sb_time_text(double seconds, char *text, size_t bytes)
{
    time_t whole = (time_t)seconds;
    struct tm utc;
    gmtime_r(&whole, &utc);
    strftime(text, bytes, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void emit_fact(struct sb_emit *emit, const struct sb_fact *fact)
{
    char *end;
    double number = strtod(fact->value, &end);
    if (fact->number && end != fact->value && *end == '\0') {
        sb_emit_real(emit, fact->name, number);
    } else {
        sb_emit_string(emit, fact->name, fact->value);
    }
}

void sb_manifest_environment(struct sb_emit *emit, const char *key,
                             const struct sb_environment *environment)
{
    sb_emit_open(emit, key, '{');
    sb_emit_string(emit, "hash", environment->hash);
    sb_emit_open(emit, "facts", '{');
    for (uint32_t i = 0; i < environment->count; i++) {
        emit_fact(emit, &environment->facts[i]);
    }
    sb_emit_close(emit, '}');
    sb_emit_open(emit, "identity", '[');
    for (uint32_t i = 0; i < environment->count; i++) {
        if (environment->facts[i].identity) {
            sb_emit_string(emit, NULL, environment->facts[i].name);
        }
    }
    sb_emit_close(emit, ']');
    sb_emit_open(emit, "warnings", '[');
    for (uint32_t i = 0; i < environment->count; i++) {
        const struct sb_fact *fact = &environment->facts[i];
        if (fact->warning[0] != '\0') {
            sb_emit_open(emit, NULL, '{');
            sb_emit_string(emit, "fact", fact->name);
            sb_emit_string(emit, "text", fact->warning);
            sb_emit_close(emit, '}');
        }
    }
    sb_emit_close(emit, ']');
    sb_emit_close(emit, '}');
}

static void emit_capabilities(struct sb_emit *emit, uint32_t bits)
{
    sb_emit_open(emit, "capabilities", '[');
    for (uint32_t i = 0; sb_capability_name(i) != NULL; i++) {
        if ((bits & (1u << i)) != 0) {
            sb_emit_string(emit, NULL, sb_capability_name(i));
        }
    }
    sb_emit_close(emit, ']');
}

// enum sb_medium is a bit, the names are in their order; 0 is private memory.
static const char *medium_name(enum sb_medium medium)
{
    return medium == 0 ? NULL : sb_medium_names[__builtin_ctz((unsigned)medium)];
}

static void emit_arms(struct sb_emit *emit, const struct sb_plan *plan)
{
    sb_emit_open(emit, "arms", '[');
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        const struct sb_arm *arm = &plan->arms[i];
        sb_emit_open(emit, NULL, '{');
        sb_emit_string(emit, "label", arm->label);
        sb_emit_string(emit, "subject", arm->subject->name);
        sb_emit_string(emit, "version", or_null(arm->version));
        sb_emit_options(emit, "options", arm->subject->options, arm->options);
        sb_emit_string(emit, "medium", medium_name(arm->medium));
        sb_emit_bool(emit, "control", arm->control);
        sb_emit_string(emit, "missing", or_null(arm->missing));
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

static void emit_pairings(struct sb_emit *emit, const struct sb_plan *plan,
                          const struct sb_cell *cell)
{
    sb_emit_open(emit, "pairings", '[');
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        const struct sb_pairing *pairing = &cell->pairings[i];
        sb_emit_open(emit, NULL, '{');
        sb_emit_string(emit, "arm", plan->arms[i].label);
        sb_emit_bool(emit, "na", pairing->na);
        sb_emit_string(emit, "reason", or_null(pairing->reason));
        sb_emit_real(emit, "work_scale", pairing->work_scale);
        if (pairing->pilot_ns > 0) {
            sb_emit_ns(emit, "pilot_ns", pairing->pilot_ns);
        } else {
            sb_emit_null(emit, "pilot_ns");
        }
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

static void emit_cells(struct sb_emit *emit, const struct sb_plan *plan)
{
    sb_emit_open(emit, "cells", '[');
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        const struct sb_cell *cell = &plan->cells[i];
        sb_emit_open(emit, NULL, '{');
        sb_emit_whole(emit, "cell", i);
        sb_emit_string(emit, "section", cell->section);
        sb_emit_string(emit, "workload", cell->workload->name);
        sb_emit_string(emit, "set", cell->set);
        sb_emit_options(emit, "options", cell->workload->options, cell->options);
        sb_emit_whole(emit, "workers", cell->workers);
        sb_emit_whole(emit, "steps", cell->steps);
        sb_emit_whole(emit, "segment_bytes", cell->segment_bytes);
        emit_pairings(emit, plan, cell);
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

void sb_manifest_plan(struct sb_emit *emit, const char *key,
                      const struct sb_manifest *manifest)
{
    const struct sb_plan *plan = manifest->plan;
    sb_emit_open(emit, key, '{');
    sb_emit_string(emit, "profile", plan->profile);
    sb_emit_options(emit, "settings", sb_settings_options, &plan->settings);
    sb_emit_open(emit, "jobs", '[');
    for (uint32_t i = 0; i < manifest->jobs_count; i++) {
        sb_emit_open(emit, NULL, '{');
        sb_emit_string(emit, "name", manifest->jobs[i].name);
        sb_emit_string(emit, "text", manifest->jobs[i].text);
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
    sb_emit_bool(emit, "calibrated", manifest->calibrated);
    emit_arms(emit, plan);
    emit_cells(emit, plan);
    sb_emit_close(emit, '}');
}

// Two arms may be of one subject; it is listed once, with its first arm's version.
static void emit_subjects(struct sb_emit *emit, const struct sb_plan *plan)
{
    sb_emit_open(emit, "subjects", '[');
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        const struct sb_subject *subject = plan->arms[i].subject;
        uint32_t first = 0;
        while (plan->arms[first].subject != subject) {
            first++;
        }
        if (first != i) {
            continue;
        }
        sb_emit_open(emit, NULL, '{');
        sb_emit_string(emit, "name", subject->name);
        sb_emit_string(emit, "version", or_null(plan->arms[i].version));
        sb_emit_string(emit, "origin", subject->origin != NULL ? subject->origin : "");
        sb_emit_string(emit, "summary",
                       subject->summary != NULL ? subject->summary : "");
        emit_capabilities(emit, subject->capabilities);
        sb_emit_close(emit, '}');
    }
    sb_emit_close(emit, ']');
}

static void emit_times(struct sb_emit *emit, const struct sb_manifest *manifest)
{
    char text[32];
    sb_emit_real(emit, "start", manifest->start_s);
    sb_time_text(manifest->start_s, text, sizeof text);
    sb_emit_string(emit, "start_text", text);
    if (manifest->state == SB_RUNNING) {
        sb_emit_null(emit, "end");
        sb_emit_null(emit, "end_text");
        sb_emit_null(emit, "trials");
        sb_emit_null(emit, "trials_kept");
        return;
    }
    sb_emit_real(emit, "end", manifest->end_s);
    sb_time_text(manifest->end_s, text, sizeof text);
    sb_emit_string(emit, "end_text", text);
    sb_emit_whole(emit, "trials", manifest->trials);
    sb_emit_whole(emit, "trials_kept", manifest->trials_kept);
}

void sb_manifest_emit(struct sb_emit *emit, const struct sb_manifest *manifest)
{
    sb_emit_open(emit, NULL, '{');
    sb_emit_whole(emit, "schema", SCHEMA);
    sb_emit_string(emit, "run_id", manifest->run_id);
    sb_emit_string(emit, "state", sb_state_names[manifest->state]);
    sb_emit_bool(emit, "interrupted", manifest->state == SB_INTERRUPTED);
    if (manifest->failure != NULL) {
        sb_emit_string(emit, "failure", manifest->failure);
    }
    sb_emit_open(emit, "warnings", '[');
    for (uint32_t i = 0; i < manifest->warnings_count; i++) {
        sb_emit_string(emit, NULL, manifest->warnings[i]);
    }
    sb_emit_close(emit, ']');
    sb_emit_open(emit, "command_line", '[');
    sb_emit_string(emit, NULL, "shmbench");
    for (int i = 0; i < manifest->argc; i++) {
        sb_emit_string(emit, NULL, manifest->argv[i]);
    }
    sb_emit_close(emit, ']');
    emit_times(emit, manifest);
    sb_build_emit(emit, "build");
    emit_subjects(emit, manifest->plan);
    sb_emit_open(emit, "seeds", '{');
    sb_emit_whole(emit, "run", manifest->plan->settings.seed);
    sb_emit_close(emit, '}');
    sb_manifest_plan(emit, "plan", manifest);
    sb_manifest_environment(emit, "environment", manifest->environment);
    sb_emit_close(emit, '}');
}

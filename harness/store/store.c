// SPDX-License-Identifier: MIT
// The run folder as it is written: see store.h.
#include "harness/store/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/json.h"
#include "harness/measure/hist_text.h"
#include "harness/store/build.h"
#include "harness/store/folder.h"
#include "harness/store/trial.h"

static const char trials_name[] = "trials.ndjson", events_name[] = "events.ndjson";
static const char manifest_name[] = "manifest.json", hgrm_name[] = "hgrm";
enum { WARNINGS_MAX = 32 };

struct sb_store {
    struct sb_folder folder;
    char run_id[64];
    int trials_fd, events_fd;
    struct sb_manifest manifest;
    struct sb_job_text *jobs;
    char *warnings[WARNINGS_MAX];
};

static int write_manifest(struct sb_store *store, struct sb_error *error)
{
    char path[PATH_MAX];
    struct sb_emit emit = {.pretty = true};
    sb_folder_path(&store->folder, manifest_name, path);
    store->manifest.warnings = (const char *const *)store->warnings;
    sb_manifest_emit(&emit, &store->manifest);
    int rc = emit.failed ? sb_fail(error, -ENOMEM, "out of memory")
                         : sb_file_write(path, emit.text, emit.length, error);
    free(emit.text);
    return rc;
}

// Ends a line that was emitted and appends it. Frees the text.
static int append_line(struct sb_store *store, int fd, const char *name,
                       struct sb_emit *emit, struct sb_error *error)
{
    char path[PATH_MAX];
    sb_folder_path(&store->folder, name, path);
    int rc;
    if (emit->failed) {
        rc = sb_fail(error, -ENOMEM, "out of memory");
    } else {
        emit->text[emit->length] = '\n'; // in the place of its NUL
        rc = sb_folder_append(fd, path, emit->text, emit->length + 1, error);
    }
    free(emit->text);
    return rc;
}

// `cell` NULL: the event is about the whole run.
static int add_event(struct sb_store *store, const char *event, const char *text,
                     const struct sb_cell *cell, struct sb_error *error)
{
    struct sb_emit emit = {0};
    sb_emit_open(&emit, NULL, '{');
    sb_emit_real(&emit, "time", sb_wall_s());
    sb_emit_string(&emit, "event", event);
    sb_emit_string(&emit, "text", text);
    if (cell != NULL) {
        sb_emit_whole(&emit, "cell", (uint64_t)(cell - store->manifest.plan->cells));
        sb_emit_whole(&emit, "steps", cell->steps);
    }
    sb_emit_close(&emit, '}');
    return append_line(store, store->events_fd, events_name, &emit, error);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    if (file != NULL) {
        if (getdelim(&text, &room, '\0', file) < 0) {
            free(text);
            text = strdup("");
        }
        fclose(file);
    }
    return text;
}

// The plan was made of these files, so they can be read; one that has gone meanwhile is
// recorded by its name alone.
static int read_jobs(struct sb_store *store, const struct sb_store_about *about)
{
    store->jobs = calloc(about->jobs_count + 1, sizeof *store->jobs);
    if (store->jobs == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < about->jobs_count; i++) {
        const char *slash = strrchr(about->jobs[i], '/');
        char *text = read_text(about->jobs[i]);
        store->jobs[i].name = slash != NULL ? slash + 1 : about->jobs[i];
        store->jobs[i].text = text != NULL ? text : strdup("");
        if (store->jobs[i].text == NULL) {
            return -ENOMEM;
        }
        store->manifest.jobs_count++;
    }
    store->manifest.jobs = store->jobs;
    return 0;
}

static void store_free(struct sb_store *store)
{
    if (store->trials_fd >= 0) {
        close(store->trials_fd);
    }
    if (store->events_fd >= 0) {
        close(store->events_fd);
    }
    for (uint32_t i = 0; i < store->manifest.jobs_count; i++) {
        free((char *)(uintptr_t)store->jobs[i].text);
    }
    for (uint32_t i = 0; i < store->manifest.warnings_count; i++) {
        free(store->warnings[i]);
    }
    free(store->jobs);
    free(store);
}

static void note_warnings(struct sb_store *store,
                          const struct sb_environment *environment)
{
    if (!sb_build_storable()) {
        char text[200];
        snprintf(text, sizeof text,
                 "built with preset '%s': only figures of preset 'measure' without "
                 "sanitizers may be compared or published",
                 sb_build_preset());
        sb_store_warn(store, text);
    }
    for (uint32_t i = 0; i < environment->count; i++) {
        const struct sb_fact *fact = &environment->facts[i];
        // What the fact `build` warns of was said in front.
        if (fact->warning[0] != '\0' && strcmp(fact->name, "build") != 0) {
            char text[400];
            snprintf(text, sizeof text, "%s: %s", fact->name, fact->warning);
            sb_store_warn(store, text);
        }
    }
}

int sb_store_open(const struct sb_store_about *about, struct sb_store **store,
                  struct sb_error *error)
{
    struct sb_store *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return sb_fail(error, -ENOMEM, "out of memory");
    }
    made->trials_fd = made->events_fd = -1;
    made->manifest = (struct sb_manifest){
        .run_id = made->run_id,
        .state = SB_RUNNING,
        .plan = about->plan,
        .environment = about->environment,
        .argc = about->argc,
        .argv = about->argv,
        .start_s = sb_wall_s(),
    };
    sb_folder_run_id(made->manifest.start_s, about->plan->profile, made->run_id,
                     sizeof made->run_id);
    int rc = read_jobs(made, about);
    if (rc != 0) {
        sb_fail(error, rc, "out of memory");
        goto fail_free;
    }
    rc = sb_folder_make(about->out, made->run_id, &made->folder, error);
    if (rc != 0) {
        goto fail_free;
    }
    made->trials_fd = rc = sb_folder_open(&made->folder, trials_name, error);
    if (rc >= 0) {
        made->events_fd = rc = sb_folder_open(&made->folder, events_name, error);
    }
    if (rc < 0) {
        goto fail_discard;
    }
    note_warnings(made, about->environment);
    rc = write_manifest(made, error);
    if (rc == 0) {
        rc = add_event(made, "start", made->run_id, NULL, error);
    }
    if (rc != 0) {
        goto fail_discard;
    }
    *store = made;
    return 0;

fail_discard:
    sb_folder_discard(&made->folder);
fail_free:
    store_free(made);
    return rc;
}

const char *sb_store_folder(const struct sb_store *store)
{
    return store->folder.path;
}

const char *sb_store_run_id(const struct sb_store *store)
{
    return store->run_id;
}

int sb_store_calibrated(struct sb_store *store, struct sb_error *error)
{
    const struct sb_plan *plan = store->manifest.plan;
    store->manifest.calibrated = true;
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        int rc = add_event(store, "calibrated", plan->cells[i].section, &plan->cells[i],
                           error);
        if (rc != 0) {
            return rc;
        }
    }
    return write_manifest(store, error);
}

int sb_store_trial(struct sb_store *store, const struct sb_outcome *outcome,
                   struct sb_error *error)
{
    struct sb_emit emit = {0};
    sb_trial_emit(&emit, store->run_id, outcome);
    int rc = append_line(store, store->trials_fd, trials_name, &emit, error);
    if (rc == 0) {
        store->manifest.trials++;
        store->manifest.trials_kept += outcome->kept;
    }
    return rc;
}

void sb_store_warn(struct sb_store *store, const char *text)
{
    struct sb_error ignored;
    uint32_t *count = &store->manifest.warnings_count;
    char *copy = *count < WARNINGS_MAX ? strdup(text) : NULL;
    if (copy != NULL) {
        store->warnings[(*count)++] = copy;
    }
    add_event(store, "warning", text, NULL, &ignored);
}

// A part of a file's name: what would need quoting in a shell becomes '_'.
static void append_part(char *name, size_t bytes, const char *part)
{
    size_t used = strlen(name);
    for (; *part != '\0' && used + 1 < bytes; part++) {
        bool plain = isalnum((unsigned char)*part) || strchr("._=,-", *part) != NULL;
        name[used++] = plain ? *part : '_';
    }
    name[used] = '\0';
}

// `room` is for the histogram in full size.
static int write_histogram(struct sb_store *store, uint32_t cell_index, uint32_t arm,
                           int op, const struct sb_tally_entry *entry,
                           struct sb_hist *room, struct sb_error *error)
{
    const struct sb_plan *plan = store->manifest.plan;
    const struct sb_cell *cell = &plan->cells[cell_index];
    char name[200], path[PATH_MAX], about[600];
    snprintf(name, sizeof name, "%s/c%02u-", hgrm_name, cell_index);
    size_t folder = strlen(hgrm_name) + 1;
    append_part(name + folder, 80, cell->section);
    snprintf(name + strlen(name), 16, "-w%u.", cell->workers);
    append_part(name, sizeof name - 20, plan->arms[arm].label);
    snprintf(name + strlen(name), 20, ".%s.hgrm", sb_op_names[op]);
    sb_folder_path(&store->folder, name, path);
    snprintf(about, sizeof about,
             "run %s, %s %s, %u workers, %s, %s, ns, stamp %.1f ns", store->run_id,
             cell->section, cell->set, cell->workers, plan->arms[arm].label,
             sb_op_names[op], entry->stamp_ns);
    sb_merged_expand(&entry->latency[op], room);
    FILE *file = fopen(path, "wxe");
    int rc = file == NULL ? -errno : 0;
    if (rc == 0) {
        rc = sb_hist_write_hgrm(file, room, entry->ns_per_tick);
        fprintf(file, "#[%s]\n", about);
        if (fclose(file) != 0 && rc == 0) {
            rc = -errno;
        }
    }
    return rc == 0
               ? 0
               : sb_fail(error, rc, "%s cannot be written: %s", path, strerror(-rc));
}

// All operations of one arm in one cell.
static int write_entry(struct sb_store *store, uint32_t cell, uint32_t arm,
                       const struct sb_tally_entry *entry, struct sb_hist *room,
                       struct sb_error *error)
{
    char path[PATH_MAX];
    sb_folder_path(&store->folder, hgrm_name, path);
    for (int op = 0; op < SB_OPS; op++) {
        if (entry->latency[op].count == 0) {
            continue;
        }
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return sb_fail(error, -errno, "%s cannot be made: %s", path,
                           strerror(errno));
        }
        int rc = write_histogram(store, cell, arm, op, entry, room, error);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int write_histograms(struct sb_store *store, const struct sb_tally *tally,
                            struct sb_error *error)
{
    const struct sb_plan *plan = store->manifest.plan;
    struct sb_hist *room = malloc(sizeof *room);
    int rc = room == NULL ? sb_fail(error, -ENOMEM, "out of memory") : 0;
    for (uint32_t cell = 0; rc == 0 && cell < plan->cells_count; cell++) {
        for (uint32_t arm = 0; rc == 0 && arm < plan->arms_count; arm++) {
            rc = write_entry(store, cell, arm, sb_tally_at(tally, cell, arm), room,
                             error);
        }
    }
    free(room);
    return rc;
}

int sb_store_close(struct sb_store *store, const struct sb_tally *tally,
                   enum sb_state state, const char *failure, struct sb_error *error)
{
    static const char *const events[] = {
        [SB_RUNNING] = "end",
        [SB_COMPLETE] = "end",
        [SB_INTERRUPTED] = "interrupted",
        [SB_BROKEN] = "failed",
    };
    struct sb_error later;
    store->manifest.state = state;
    store->manifest.failure = failure;
    store->manifest.end_s = sb_wall_s();
    // Each is tried whatever became of the others; the first fault is told. The
    // manifest, which matters most, comes first.
    int rc = write_manifest(store, error);
    int rc_event = add_event(store, events[state], failure != NULL ? failure : "", NULL,
                             rc == 0 ? error : &later);
    rc = rc != 0 ? rc : rc_event;
    int rc_hist = write_histograms(store, tally, rc == 0 ? error : &later);
    rc = rc != 0 ? rc : rc_hist;
    store_free(store);
    return rc;
}

void sb_store_discard(struct sb_store *store)
{
    sb_folder_discard(&store->folder);
    store_free(store);
}

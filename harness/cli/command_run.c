// SPDX-License-Identifier: MIT
// shmbench run: makes a plan, has it carried out, keeps and shows what comes of it.
//
// Built on: wish.h (the line), run/run.h (the runner), store/ (the run folder and the
// sums), table.h, progress.h. Concurrency: one thread; signals set a flag.
// Why this way: the runner calls back for each outcome; it is written to the folder at
// once and added to the sums that the table shows, so an interrupted or failed run ends
// the same way as a whole one, with less in it.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/cli/line.h"
#include "harness/cli/plan_text.h"
#include "harness/cli/progress.h"
#include "harness/cli/table.h"
#include "harness/cli/verbs.h"
#include "harness/cli/wish.h"
#include "harness/run/run.h"
#include "harness/store/build.h"
#include "harness/store/store.h"
#include "harness/store/trial.h"

struct session {
    struct sb_wish wish;
    struct sb_plan *plan;
    struct sb_environment environment;
    struct sb_store *store; // NULL: no run folder is kept
    struct sb_tally *tally;
    struct sb_progress_view progress;
    struct sb_error error; // of a hook, which the runner only passes on by number
    bool failed;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

static void catch_signals(void)
{
    // No SA_RESTART: the runner's waits must end.
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction inherited = {.sa_handler = SIG_DFL};
    sigaction(SIGHUP, NULL, &inherited);
    if (inherited.sa_handler != SIG_IGN) { // as nohup leaves it
        sigaction(SIGHUP, &action, NULL);
    }
    // A file size limit shall be an error that is told, not the end of the process.
    signal(SIGXFSZ, SIG_IGN);
}

static int on_calibrated(void *context, const struct sb_plan *plan)
{
    struct session *session = context;
    (void)plan; // the store has it
    if (session->store == NULL) {
        return 0;
    }
    int rc = sb_store_calibrated(session->store, &session->error);
    session->failed = rc != 0;
    return rc;
}

static int print_trial(struct session *session, const struct sb_outcome *outcome)
{
    struct sb_emit emit = {0};
    char none[64] = "00000000-000000-none-0000";
    sb_trial_emit(&emit,
                  session->store != NULL ? sb_store_run_id(session->store) : none,
                  outcome);
    int rc = emit.failed ? -ENOMEM : 0;
    // Flushed here: whoever reads along sees each trial as it ends, and errno is this
    // output's own.
    if (rc == 0 && (printf("%s\n", emit.text) < 0 || fflush(stdout) != 0)) {
        rc = -errno;
        sb_fail(&session->error, rc, "the output could not be written: %s",
                strerror(errno));
        session->failed = true;
    }
    free(emit.text);
    return rc;
}

static int on_outcome(void *context, const struct sb_outcome *outcome)
{
    struct session *session = context;
    int rc = 0;
    if (session->store != NULL) {
        rc = sb_store_trial(session->store, outcome, &session->error);
        session->failed = rc != 0;
    }
    if (rc == 0) {
        rc = sb_tally_add(session->tally, outcome);
    }
    if (rc == 0 && session->wish.json) {
        rc = print_trial(session, outcome);
    }
    return rc;
}

static void on_progress(void *context, const struct sb_progress *progress)
{
    struct session *session = context;
    sb_progress_show(&session->progress, progress);
}

static int open_store(struct session *session, int argc, char **argv)
{
    if (session->wish.out == NULL && !sb_build_storable()) {
        fprintf(stderr,
                "shmbench: no run folder is kept: this is build '%s', and figures are "
                "stored from 'measure' alone (--out DIR keeps one, marked)\n",
                sb_build_preset());
        return 0;
    }
    struct sb_store_about about = {
        .out = session->wish.out,
        .plan = session->plan,
        .environment = &session->environment,
        .jobs = session->wish.jobs,
        .jobs_count = session->wish.request.jobs_count,
        .argc = argc,
        .argv = argv,
    };
    return sb_store_open(&about, &session->store, &session->error);
}

// The first pair that was not measured, and how many more there are: the reason why
// nothing was.
static int explain_nothing(const struct session *session)
{
    const struct sb_plan *plan = session->plan;
    const struct sb_tally *tally = session->tally;
    uint64_t others = 0;
    char first[700] = "no trial ended";
    for (uint32_t cell = 0; cell < plan->cells_count; cell++) {
        for (uint32_t arm = 0; arm < plan->arms_count; arm++) {
            const struct sb_tally_entry *entry = sb_tally_at(tally, cell, arm);
            if (entry->detail[0] == '\0') {
                continue;
            }
            if (strcmp(first, "no trial ended") == 0) {
                snprintf(first, sizeof first, "%s on %s: %s", plan->arms[arm].label,
                         plan->cells[cell].section, entry->detail);
            } else {
                others++;
            }
        }
    }
    if (others == 0) {
        return sb_complain("nothing was measured: %s", first);
    }
    return sb_complain("nothing was measured: %s (and %" PRIu64 " more pair%s)", first,
                       others, others == 1 ? "" : "s");
}

// Lets go of the store. Returns the exit code as far as it follows from that.
static int close_store(struct session *session, enum sb_state state,
                       const char *failure, bool nothing)
{
    if (session->store == NULL) {
        return SB_EXIT_OK;
    }
    if (nothing) {
        sb_store_discard(session->store);
        return SB_EXIT_OK;
    }
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", sb_store_folder(session->store));
    struct sb_error error;
    int rc = sb_store_close(session->store, session->tally, state, failure, &error);
    if (rc != 0 && !session->failed) {
        return sb_complain("%s; the trials in %s are complete", error.text, folder);
    }
    return SB_EXIT_OK;
}

// What is said and returned once the runner has come back with `rc`.
static int finish(struct session *session, int rc, const struct sb_error *why)
{
    const struct sb_tally *tally = session->tally;
    char folder[PATH_MAX] = "";
    if (session->store != NULL) {
        snprintf(folder, sizeof folder, "%s", sb_store_folder(session->store));
    }
    const char *text = session->failed        ? session->error.text
                       : why->text[0] != '\0' ? why->text
                                              : strerror(-rc);
    bool interrupted = rc == -EINTR || (rc != 0 && stop != 0);
    bool nothing = tally->kept == 0 && tally->incorrect == 0;
    enum sb_state state = rc == 0       ? SB_COMPLETE
                          : interrupted ? SB_INTERRUPTED
                                        : SB_BROKEN;
    int code = close_store(session, state, state == SB_BROKEN ? text : NULL, nothing);
    if (!nothing && !session->wish.json) {
        if (sb_table_print(stdout, tally) != 0) {
            code = sb_complain("out of memory");
        }
        if (folder[0] != '\0') {
            printf("run folder: %s\n", folder);
        }
    }
    fflush(stdout);
    const char *kept = folder[0] != '\0' ? folder : "the table (no run folder is kept)";
    if (interrupted) {
        code = SB_EXIT_INTERRUPTED;
        if (nothing) {
            sb_complain("interrupted before anything was measured; nothing is left "
                        "behind");
        } else {
            sb_complain("interrupted: the %" PRIu64 " trials that ended are in %s",
                        tally->trials, kept);
        }
    } else if (rc != 0 && nothing) {
        code = sb_complain("%s", text);
    } else if (rc != 0) {
        code = sb_complain("%s; the %" PRIu64 " trials before are in %s", text,
                           tally->trials, kept);
    } else if (nothing) {
        code = explain_nothing(session);
    } else if (tally->failed > tally->incorrect) {
        code = sb_complain("%" PRIu64 " of %" PRIu64
                           " trials failed or hung: see the notes",
                           tally->failed, tally->trials);
    }
    if (code != SB_EXIT_INTERRUPTED && code != SB_EXIT_FAULT && tally->incorrect > 0) {
        sb_complain("%" PRIu64 " trials are INCORRECT: see the notes",
                    tally->incorrect);
        code = SB_EXIT_INCORRECT;
    }
    return code;
}

static int show_plan(const struct session *session)
{
    if (!session->wish.json) {
        sb_plan_print(stdout, session->plan);
        return SB_EXIT_OK;
    }
    struct sb_emit emit = {.pretty = true};
    const struct sb_manifest manifest = {.plan = session->plan};
    sb_manifest_plan(&emit, NULL, &manifest);
    if (!emit.failed) {
        printf("%s\n", emit.text);
    }
    free(emit.text);
    return emit.failed ? sb_complain("out of memory") : SB_EXIT_OK;
}

static int measure(struct session *session, int argc, char **argv)
{
    struct sb_error why = {{0}};
    if (sb_tally_make(session->plan, &session->tally) != 0) {
        return sb_complain("out of memory");
    }
    catch_signals();
    sb_environment_read(&session->environment);
    if (open_store(session, argc, argv) != 0) {
        return sb_complain("%s", session->error.text);
    }
    const struct sb_run_hooks hooks = {
        .context = session,
        .calibrated = on_calibrated,
        .outcome = on_outcome,
        .progress = on_progress,
    };
    sb_progress_start(&session->progress, session->wish.quiet ? NULL : stderr);
    int rc = sb_run(session->plan, &hooks, &stop, &why);
    sb_progress_end(&session->progress);
    return finish(session, rc, &why);
}

int sb_command_run(int argc, char **argv)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return sb_complain("out of memory");
    }
    int code;
    if (sb_wish_read(argc, argv, &session->wish, &code)) {
        sb_clock_start();
        if (sb_plan_make(&session->wish.request, &session->plan, &session->error) !=
            0) {
            code = sb_complain("%s", session->error.text);
        } else if (session->wish.show_plan) {
            code = show_plan(session);
        } else {
            code = measure(session, argc, argv);
        }
    }
    sb_tally_free(session->tally);
    sb_plan_free(session->plan);
    free(session);
    return code;
}

// SPDX-License-Identifier: MIT
// What the line of `shmbench run` asks for: see wish.h.
#include "harness/cli/wish.h"

#include <stdio.h>
#include <string.h>

#include "harness/cli/line.h"
#include "harness/cli/places.h"

enum key {
    KEY_PROFILE = 0x2000,
    KEY_SUBJECT,
    KEY_WORKLOAD,
    KEY_WORKERS,
    KEY_SET,
    KEY_OUT,
    KEY_SHOW_PLAN,
    KEY_QUIET,
    KEY_JSON,
    KEY_VERIFY,
    KEY_SETTING, // and above: one of `shorthands`
};

// Options that are settings of a job file's [global] by another name.
static const char *const shorthands[] = {"as",     "seed",    "rounds",       "budget",
                                         "medium", "timeout", "segment_bytes"};
enum { SHORTHANDS = sizeof shorthands / sizeof shorthands[0] };

static const struct argp_option options[] = {
    {0, 0, NULL, 0, "What is measured:", 1},
    {"profile", KEY_PROFILE, "NAME", 0, "smoke, quick, ci, ...: a job file that ships",
     1},
    {"subject", KEY_SUBJECT, "A,B", 0,
     "Allocators, or ./plugin.so, instead of the jobs' own; the first is the "
     "baseline",
     1},
    {"workload", KEY_WORKLOAD, "X,Y", 0,
     "Workloads with their defaults; with a job, only these of its sections", 1},
    {"workers", KEY_WORKERS, "1,2,4", 0, "How many workers, a cell for each", 1},
    {"as", KEY_SETTING + 0, "processes|threads", 0, "What a worker is", 1},
    {"set", KEY_SET, "NAME.KEY=VALUE", 0,
     "An option of a workload or a subject (shmbench describe NAME lists them)", 1},
    {0, 0, NULL, 0, "How:", 2},
    {"seed", KEY_SETTING + 1, "N", 0, "The same seed does the same work", 2},
    {"rounds", KEY_SETTING + 2, "N", 0, "Measured rounds", 2},
    {"budget", KEY_SETTING + 3, "TIME", 0, "Fewer rounds if need be: 90s", 2},
    {"medium", KEY_SETTING + 4, "memfd|shm|file", 0, "Where segments live", 2},
    {"timeout", KEY_SETTING + 5, "TIME", 0, "End a trial that does not move on", 2},
    {"segment", KEY_SETTING + 6, "BYTES", 0, "Size of a segment", 2},
    {"verify", KEY_VERIFY, NULL, 0, "Check contents and counts too (exit code 2)", 2},
    {0, 0, NULL, 0, "What comes of it:", 3},
    {"show-plan", KEY_SHOW_PLAN, NULL, 0, "Say what would be done, and do nothing", 3},
    {"out", KEY_OUT, "DIR", 0, "The run folder (else results/RUN)", 3},
    {"json", KEY_JSON, NULL, 0, "Each trial as a line of JSON instead of the table", 3},
    {"quiet", KEY_QUIET, NULL, 0, "No progress", 3},
    {0},
};

static error_t add(const char **words, uint32_t *count, const char *word)
{
    if (*count == SB_WISH_WORDS) {
        return sb_line_refuse("run: more than %d of a kind: use a job file",
                              SB_WISH_WORDS);
    }
    words[(*count)++] = word;
    return 0;
}

static error_t add_setting(struct sb_wish *wish, const char *key, const char *value)
{
    uint32_t at = wish->request.settings_count;
    if (at < SB_WISH_WORDS) {
        char *text = wish->settings_text[at];
        size_t bytes = sizeof wish->settings_text[at];
        if ((size_t)snprintf(text, bytes, "%s=%s", key, value) >= bytes) {
            return sb_line_refuse("run: %s: '%.40s...' is too long", key, value);
        }
    }
    return add(wish->settings, &wish->request.settings_count, wish->settings_text[at]);
}

static error_t once(const char **word, const char *option, const char *value)
{
    if (*word != NULL) {
        return sb_line_refuse("run: --%s is given twice", option);
    }
    if (value[0] == '\0') {
        return sb_line_refuse("run: --%s is empty", option);
    }
    *word = value;
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    struct sb_wish *wish = state->input;
    struct sb_request *request = &wish->request;
    switch (key) {
    case KEY_PROFILE:
        return once(&request->profile, "profile", word);
    case KEY_SUBJECT:
        return once(&request->subjects, "subject", word);
    case KEY_WORKLOAD:
        return once(&request->workloads, "workload", word);
    case KEY_WORKERS:
        return once(&request->workers, "workers", word);
    case KEY_OUT:
        return once(&wish->out, "out", word);
    case KEY_SET:
        return add(wish->sets, &request->sets_count, word);
    case KEY_VERIFY:
        return add_setting(wish, "verify", "yes");
    case KEY_SHOW_PLAN:
        wish->show_plan = true;
        return 0;
    case KEY_QUIET:
        wish->quiet = true;
        return 0;
    case KEY_JSON:
        wish->json = true;
        return 0;
    case ARGP_KEY_ARG:
        return add(wish->jobs, &request->jobs_count, word);
    default:
        if (key >= KEY_SETTING && key < KEY_SETTING + SHORTHANDS) {
            return add_setting(wish, shorthands[key - KEY_SETTING], word);
        }
        return ARGP_ERR_UNKNOWN;
    }
}

bool sb_wish_read(int argc, char **argv, struct sb_wish *wish, int *exit_code)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[JOB.ini...]",
        .doc = "Measures subjects on workloads and keeps a run folder.\v"
               "Exit codes: 0 done; 1 usage, or something could not be run; 2 a "
               "correctness check failed; 130 interrupted (what was measured is kept).",
    };
    memset(wish, 0, sizeof *wish);
    struct sb_request *request = &wish->request;
    request->jobs = wish->jobs;
    request->sets = wish->sets;
    request->settings = wish->settings;
    if (!sb_line_parse(&argp, argc, argv, wish, exit_code)) {
        return false;
    }
    if (request->profile != NULL) {
        struct sb_error error;
        if (sb_place_of_profile(request->profile, wish->profile_path, &error) != 0) {
            *exit_code = sb_complain("%s", error.text);
            return false;
        }
        // Before the jobs of the line, which may so override it.
        memmove(wish->jobs + 1, wish->jobs, sizeof wish->jobs[0] * (SB_WISH_WORDS - 1));
        wish->jobs[0] = wish->profile_path;
        request->jobs_count += request->jobs_count < SB_WISH_WORDS;
    }
    if (request->jobs_count == 0 && request->profile == NULL) {
        request->profile = request->workloads; // the name of the run, for the record
    }
    if (request->jobs_count == 0 && request->workloads == NULL) {
        *exit_code = sb_complain("run: say what to measure: --profile quick, a job "
                                 "file, or --workload pair");
        return false;
    }
    return true;
}

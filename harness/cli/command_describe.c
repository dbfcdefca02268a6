// SPDX-License-Identifier: MIT
// shmbench describe: all that the descriptor of a subject or a workload says.
//
// Built on: allocator/subjects/subjects.h, workloads/workloads.h, harness/run/plan.h.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "harness/base/number.h"
#include "harness/base/text.h"
#include "harness/cli/line.h"
#include "harness/cli/verbs.h"
#include "harness/run/plan.h"
#include "harness/store/words.h"
#include "workloads/workloads.h"

static const char settings_name[] = "settings";

struct wish {
    const char *name;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    struct wish *wish = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (wish->name != NULL) {
            return sb_line_refuse("describe: one name at a time, not '%s' too", word);
        }
        wish->name = word;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_line(const char *what, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        printf("  %-14s %s\n", what, text);
    }
}

// What a row takes: "1 .. 1M", or the words of a choice.
static void range_text(const struct sb_option *row, char *text, size_t bytes)
{
    char least[SB_NUMBER_BYTES], most[SB_NUMBER_BYTES];
    size_t used = 0;
    text[0] = '\0';
    switch (row->type) {
    case SB_FLAG:
        snprintf(text, bytes, "yes|no");
        return;
    case SB_CHOICE:
        for (const char *const *word = row->choices; *word != NULL && used < bytes;
             word++) {
            used += (size_t)snprintf(text + used, bytes - used, "%s%s",
                                     used == 0 ? "" : "|", *word);
        }
        return;
    case SB_COUNT:
    case SB_BYTES:
    case SB_NS:
    case SB_RATIO:
        break;
    }
    sb_number_text(row->type, sb_number_of(row->type, row->least), least, sizeof least);
    sb_number_text(row->type, sb_number_of(row->type, row->most), most, sizeof most);
    if (row->type != SB_RATIO && row->most >= 0x1p63) {
        snprintf(most, sizeof most, "any");
    }
    snprintf(text, bytes, "%s .. %s", least, most);
}

static void print_options(const char *title, const struct sb_option *table)
{
    if (table == NULL || table->name == NULL) {
        printf("\n%s: none\n", title);
        return;
    }
    printf("\n%s\n  %-16s %-7s %-12s %-22s %s\n", title, "name", "type", "initial",
           "takes", "");
    for (const struct sb_option *row = table; row->name != NULL; row++) {
        char range[160];
        range_text(row, range, sizeof range);
        printf("  %-16s %-7s %-12s %-22s %s%s\n", row->name, sb_type_name(row->type),
               row->initial, range, row->summary,
               row->scale != SB_FIXED ? " [tunable]" : "");
    }
}

static void capabilities_text(uint32_t bits, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; sb_capability_name(i) != NULL && used < bytes; i++) {
        if ((bits & (1u << i)) != 0) {
            used += (size_t)snprintf(text + used, bytes - used, "%s%s",
                                     used == 0 ? "" : " ", sb_capability_name(i));
        }
    }
}

static void describe_subject(const struct sb_subject *subject)
{
    char text[320];
    printf("%s: %s\n\n", subject->name, subject->summary);
    print_line("origin", subject->origin);
    int rc = subject->probe(text, sizeof text);
    print_line(rc == 0 ? "version" : "n/a here", text);
    capabilities_text(subject->capabilities, text, sizeof text);
    print_line("capabilities", text);
    snprintf(text, sizeof text, "%s%s%s", subject->media & SB_MEMFD ? "memfd " : "",
             subject->media & SB_SHM ? "shm " : "",
             subject->media & SB_FILE ? "file" : "");
    print_line("media", subject->media == 0 ? "private memory" : text);
    print_options("options (--set SUBJECT.NAME=VALUE)", subject->options);
}

static void describe_workload(const struct sb_workload *workload)
{
    char text[320];
    printf("%s: %s\n\n", workload->name, workload->summary);
    print_line("source", workload->source);
    print_line("stresses", workload->stresses);
    print_line("does not show", workload->not_shown);
    capabilities_text(workload->needs, text, sizeof text);
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s%s",
             workload->needs & SB_NEED_EXCHANGE ? " blocks passed between workers" : "",
             workload->needs & SB_NEED_CONTENTS ? " contents kept" : "");
    print_line("needs", text[0] == '\0' ? "nothing beyond alloc and free" : text);
    snprintf(text, sizeof text, "%u or more",
             workload->workers_least > 0 ? workload->workers_least : 1u);
    print_line("workers", text);
    print_options("options (--set WORKLOAD.NAME=VALUE)", workload->options);
}

// What was meant is looked for among subjects, workloads and the settings together.
static int unknown(const char *name)
{
    size_t count = 2;
    for (const struct sb_subject *const *at = sb_subjects; *at != NULL; at++) {
        count++;
    }
    for (const struct sb_workload *const *at = sb_workloads; *at != NULL; at++) {
        count++;
    }
    const char **names = calloc(count, sizeof *names);
    if (names == NULL) {
        return sb_complain("out of memory");
    }
    size_t used = 0;
    for (const struct sb_subject *const *at = sb_subjects; *at != NULL; at++) {
        names[used++] = (*at)->name;
    }
    for (const struct sb_workload *const *at = sb_workloads; *at != NULL; at++) {
        names[used++] = (*at)->name;
    }
    names[used++] = settings_name;
    struct sb_error error;
    sb_unknown(&error, "subject or workload", name, names);
    free(names);
    return sb_complain("%s", error.text);
}

int sb_command_describe(int argc, char **argv)
{
    static const struct argp_option options[] = {{0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "NAME",
        .doc = "Describes a subject, a plugin (a path with a slash), a workload, or "
               "'settings': what [global] of a job file takes.",
    };
    struct wish wish = {NULL};
    int code;
    if (!sb_line_parse(&argp, argc, argv, &wish, &code)) {
        return code;
    }
    if (wish.name == NULL) {
        return sb_complain("describe: say which subject or workload (shmbench list "
                           "names them)");
    }
    const struct sb_subject *subject;
    const struct sb_workload *workload;
    struct sb_error error;
    if (strcmp(wish.name, settings_name) == 0) {
        print_options("settings ([global] of a job file)", sb_settings_options);
    } else if (sb_workload_find(wish.name, &workload, &error) == 0) {
        describe_workload(workload);
    } else if (sb_subject_find(wish.name, &subject, &error) == 0) {
        describe_subject(subject);
    } else if (strchr(wish.name, '/') != NULL) {
        return sb_complain("%s", error.text);
    } else {
        return unknown(wish.name);
    }
    return SB_EXIT_OK;
}

// SPDX-License-Identifier: MIT
// shmbench list: the subjects, workloads and profiles there are.
//
// Built on: allocator/subjects/subjects.h, workloads/workloads.h, places.h.
#include <stdio.h>
#include <string.h>

#include "allocator/subjects/subjects.h"
#include "harness/cli/line.h"
#include "harness/cli/places.h"
#include "harness/cli/verbs.h"
#include "workloads/workloads.h"

struct wish {
    const char *kind; // NULL: all
};

static const char *const kinds[] = {"subjects", "workloads", "profiles"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static error_t parse(int key, char *word, struct argp_state *state)
{
    struct wish *wish = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (wish->kind != NULL) {
            return sb_line_refuse("list: one kind at a time, not '%s' too", word);
        }
        for (int i = 0; i < KINDS; i++) {
            if (strcmp(word, kinds[i]) == 0) {
                wish->kind = kinds[i];
                return 0;
            }
        }
        return sb_line_refuse("list: '%s' is not subjects, workloads or profiles",
                              word);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool wants(const struct wish *wish, int kind)
{
    return wish->kind == NULL || wish->kind == kinds[kind];
}

static void list_subjects(void)
{
    printf("subjects\n");
    for (const struct sb_subject *const *at = sb_subjects; *at != NULL; at++) {
        char text[200] = "";
        int rc = (*at)->probe(text, sizeof text);
        printf("  %-16s %s\n", (*at)->name, (*at)->summary);
        printf("  %-16s %s%s\n", "", rc == 0 ? "version " : "n/a here: ", text);
    }
}

static void list_workloads(void)
{
    printf("workloads\n");
    for (const struct sb_workload *const *at = sb_workloads; *at != NULL; at++) {
        printf("  %-16s %s\n", (*at)->name, (*at)->summary);
    }
}

static int list_profiles(void)
{
    char **names, path[PATH_MAX];
    struct sb_error error;
    if (sb_places_profiles(&names, &error) != 0) {
        return sb_complain("%s", error.text);
    }
    printf("profiles\n");
    for (char **name = names; *name != NULL; name++) {
        if (sb_place_of_profile(*name, path, &error) == 0) {
            printf("  %-16s %s\n", *name, path);
        }
    }
    sb_places_free(names);
    return SB_EXIT_OK;
}

int sb_command_list(int argc, char **argv)
{
    static const struct argp_option options[] = {{0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[subjects|workloads|profiles]",
        .doc = "Lists the subjects (allocators under test), workloads and profiles "
               "there are.",
    };
    struct wish wish = {NULL};
    int code = SB_EXIT_OK;
    if (!sb_line_parse(&argp, argc, argv, &wish, &code)) {
        return code;
    }
    if (wants(&wish, 0)) {
        list_subjects();
    }
    if (wants(&wish, 1)) {
        list_workloads();
    }
    return wants(&wish, 2) ? list_profiles() : code;
}

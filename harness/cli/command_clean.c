// SPDX-License-Identifier: MIT
// shmbench clean: removes what runs that were killed left behind.
//
// Built on: harness/run/run.h. A run that still goes on is not touched.
#include <stdio.h>
#include <string.h>

#include "harness/cli/line.h"
#include "harness/cli/verbs.h"
#include "harness/run/run.h"

static error_t parse(int key, char *word, struct argp_state *state)
{
    (void)state;
    if (key == ARGP_KEY_ARG) {
        return sb_line_refuse("clean: takes no words, not '%s'", word);
    }
    return ARGP_ERR_UNKNOWN;
}

static void print_removed(const char *path, void *context)
{
    (void)context;
    printf("removed %s\n", path);
}

int sb_command_clean(int argc, char **argv)
{
    static const struct argp_option options[] = {{0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Removes segments of runs whose process is gone. Run folders stay.",
    };
    int code;
    if (!sb_line_parse(&argp, argc, argv, NULL, &code)) {
        return code;
    }
    int removed = sb_run_clean(print_removed, NULL);
    if (removed < 0) {
        return sb_complain("clean: %s", strerror(-removed));
    }
    if (removed == 0) {
        printf("nothing to remove\n");
    }
    return SB_EXIT_OK;
}

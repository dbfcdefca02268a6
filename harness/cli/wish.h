// SPDX-License-Identifier: MIT
// What the line of `shmbench run` asks for.
//
// Built on: line.h, places.h, run/plan.h. Concurrency: one thread.
// Why this way: words are only collected here; harness/run checks and expands them, so
// that a word on the command line and in a job file mean the same and fail the same.
#ifndef SB_CLI_WISH_H
#define SB_CLI_WISH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "harness/run/plan.h"

enum { SB_WISH_WORDS = 64 };

struct sb_wish {
    const char *out;
    bool show_plan, quiet, json;
    struct sb_request request; // its arrays are those below
    const char *jobs[SB_WISH_WORDS];
    const char *sets[SB_WISH_WORDS];
    const char *settings[SB_WISH_WORDS];
    char settings_text[SB_WISH_WORDS][128];
    char profile_path[PATH_MAX];
};

// Reads the line. False: the command is over, with *exit_code.
bool sb_wish_read(int argc, char **argv, struct sb_wish *wish, int *exit_code);

#endif

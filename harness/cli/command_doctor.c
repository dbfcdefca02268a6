// SPDX-License-Identifier: MIT
// shmbench doctor: what this machine is, and what about it would spoil a measurement.
//
// Built on: harness/measure/environment.h, harness/store/manifest.h (the same JSON as
// in a run folder).
#include <stdio.h>
#include <stdlib.h>

#include "harness/base/clock.h"
#include "harness/cli/line.h"
#include "harness/cli/verbs.h"
#include "harness/measure/environment.h"
#include "harness/store/manifest.h"

enum { KEY_JSON = 0x2000 };

struct wish {
    bool json;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    struct wish *wish = state->input;
    switch (key) {
    case KEY_JSON:
        wish->json = true;
        return 0;
    case ARGP_KEY_ARG:
        return sb_line_refuse("doctor: takes no words, not '%s'", word);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int print_json(const struct sb_environment *environment)
{
    struct sb_emit emit = {.pretty = true};
    sb_manifest_environment(&emit, NULL, environment);
    if (!emit.failed) {
        printf("%s\n", emit.text);
    }
    free(emit.text);
    return emit.failed ? sb_complain("out of memory") : SB_EXIT_OK;
}

static void print_text(const struct sb_environment *environment)
{
    unsigned warnings = 0;
    for (uint32_t i = 0; i < environment->count; i++) {
        const struct sb_fact *fact = &environment->facts[i];
        printf("%s %-26s %s\n", fact->warning[0] != '\0' ? "!" : " ", fact->name,
               fact->value);
        warnings += fact->warning[0] != '\0';
    }
    printf("  %-26s %s\n", "hash", environment->hash);
    printf("\n%u warning%s\n", warnings, warnings == 1 ? "" : "s");
    for (uint32_t i = 0; i < environment->count; i++) {
        const struct sb_fact *fact = &environment->facts[i];
        if (fact->warning[0] != '\0') {
            printf("! %s: %s\n", fact->name, fact->warning);
        }
    }
}

int sb_command_doctor(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", KEY_JSON, NULL, 0, "As in a run folder's manifest", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Reads what this machine is and warns of what would spoil a "
               "measurement. Each run stores the same.",
    };
    struct wish wish = {false};
    int code;
    if (!sb_line_parse(&argp, argc, argv, &wish, &code)) {
        return code;
    }
    struct sb_environment *environment = malloc(sizeof *environment);
    if (environment == NULL) {
        return sb_complain("out of memory");
    }
    sb_clock_start(); // the facts about the clock are about ours
    sb_environment_read(environment);
    code = SB_EXIT_OK;
    if (wish.json) {
        code = print_json(environment);
    } else {
        print_text(environment);
    }
    free(environment);
    return code;
}

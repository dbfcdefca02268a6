// SPDX-License-Identifier: MIT
// The command line of one verb: see line.h.
#include "harness/cli/line.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/text.h"
#include "harness/cli/verbs.h"

enum { KEY_HELP = 0x1000, WORDS = 64 };

// One line of a verb being parsed: what the parser of all verbs needs beside argp's.
struct line {
    const struct argp *argp;
    void *input;
    bool helped;
};

// A mistake was complained about already: argp only has to come back.
static bool refused;

static void complain(const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    // A user's word may hold anything; a complaint is one line and moves no cursor.
    for (char *c = text; *c != '\0'; c++) {
        if (iscntrl((unsigned char)*c)) {
            *c = '?';
        }
    }
    fprintf(stderr, "shmbench: %s\n", text);
}

int sb_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    return SB_EXIT_FAULT;
}

error_t sb_line_refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    refused = true;
    return EINVAL;
}

// Headings of groups have no name, but a text; the last row has neither.
static bool is_row(const struct argp_option *row)
{
    return row->name != NULL || row->doc != NULL;
}

// The option that `word` (after its dashes, up to `length`) names or abbreviates;
// *count is how many it could be.
static const struct argp_option *find(const struct argp *argp, const char *word,
                                      size_t length, unsigned *count)
{
    const struct argp_option *found = NULL;
    *count = 0;
    for (const struct argp_option *row = argp->options; is_row(row); row++) {
        if (row->name == NULL || strncmp(row->name, word, length) != 0) {
            continue;
        }
        if (strlen(row->name) == length) {
            *count = 1;
            return row;
        }
        found = row;
        ++*count;
    }
    return found;
}

// getopt only says that something is wrong with a word; this says what.
static void explain(const struct argp *argp, const char *verb, const char *word)
{
    if (strncmp(word, "--", 2) != 0 || strlen(word) == 2) {
        sb_line_refuse("%s: there is no option '%s' (shmbench %s --help lists them)",
                       verb, word, verb);
        return;
    }
    size_t length = strcspn(word + 2, "=");
    unsigned count;
    const struct argp_option *row = find(argp, word + 2, length, &count);
    if (count > 1) {
        sb_line_refuse("%s: '%s' could be several options; write it in full", verb,
                       word);
    } else if (row != NULL && row->arg != NULL) {
        sb_line_refuse("%s: --%s needs a value: --%s %s", verb, row->name, row->name,
                       row->arg);
    } else if (row != NULL) {
        sb_line_refuse("%s: --%s takes no value", verb, row->name);
    } else {
        const char *names[WORDS + 1] = {NULL};
        size_t used = 0;
        for (row = argp->options; is_row(row) && used < WORDS; row++) {
            if (row->name != NULL) {
                names[used++] = row->name;
            }
        }
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)length, word + 2);
        const char *near = sb_nearest(name, names);
        sb_line_refuse("%s: there is no option '--%s'%s%s%s (shmbench %s --help lists "
                       "them)",
                       verb, name, near != NULL ? "; did you mean --" : "",
                       near != NULL ? near : "", near != NULL ? "?" : "", verb);
    }
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    (void)word;
    struct line *line = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = line->input;
        return 0;
    case KEY_HELP:
        line->helped = true;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_ERROR:
        if (!refused) {
            int at = state->next > 1 ? state->next - 1 : 1;
            explain(line->argp, state->argv[0], state->argv[at]);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

bool sb_line_parse(const struct argp *argp, int argc, char **argv, void *input,
                   int *exit_code)
{
    // argp's own --help and messages are off (ARGP_NO_HELP, ARGP_NO_ERRS): they would
    // end the process, or say it in two lines.
    static const struct argp_option options[] = {
        {"help", KEY_HELP, NULL, 0, "Say this, and do nothing", -1},
        {"usage", KEY_HELP, NULL, OPTION_HIDDEN, NULL, -1},
        {0},
    };
    const struct argp_child children[] = {{argp, 0, NULL, 0}, {0}};
    const struct argp all = {
        .options = options,
        .parser = parse,
        .args_doc = argp->args_doc,
        .doc = argp->doc,
        .children = children,
    };
    struct line line = {.argp = argp, .input = input};
    refused = false;
    error_t rc = argp_parse(&all, argc, argv,
                            ARGP_NO_HELP | ARGP_NO_ERRS | ARGP_NO_EXIT, NULL, &line);
    if (line.helped) {
        struct argp shown = *argp;
        if (!is_row(argp->options)) {
            shown.options = NULL; // glibc leaks what it makes of an empty table
        }
        struct argp help = {.options = options};
        const struct argp_child help_child[] = {{&help, 0, NULL, 0}, {0}};
        shown.children = help_child;
        char name[64];
        snprintf(name, sizeof name, "shmbench %s", argv[0]);
        argp_help(&shown, stdout,
                  ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG |
                      ARGP_HELP_POST_DOC,
                  name);
        *exit_code = SB_EXIT_OK;
        return false;
    }
    if (rc != 0) {
        if (!refused) {
            sb_complain("%s: %s", argv[0], strerror(rc));
        }
        *exit_code = SB_EXIT_FAULT;
        return false;
    }
    return true;
}

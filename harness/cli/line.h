// SPDX-License-Identifier: MIT
// The command line of one verb, and how it complains.
//
// Built on: argp, verbs.h. Concurrency: one thread.
// Why this way: argp alone answers a wrong word with two lines and leaves it to getopt
// to word them; here every mistake is one line that says which word, and what was
// probably meant.
#ifndef SB_CLI_LINE_H
#define SB_CLI_LINE_H

#include <argp.h>
#include <stdbool.h>

// Parses the line of `verb` (argv[0] is the verb). --help and mistakes are dealt with
// here: then false is returned and *exit_code is what the process should return.
bool sb_line_parse(const struct argp *argp, int argc, char **argv, void *input,
                   int *exit_code);

// For a parser: complains in one line and makes sb_line_parse end with SB_EXIT_FAULT.
// Returns what the parser returns.
error_t sb_line_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

// "shmbench: ..." on stderr. Returns SB_EXIT_FAULT.
int sb_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

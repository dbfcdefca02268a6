// SPDX-License-Identifier: MIT
// The verbs of shmbench, and how each one ends.
//
// Built on: nothing. Concurrency: one verb a process.
#ifndef SB_CLI_VERBS_H
#define SB_CLI_VERBS_H

// Of several that apply, the first in the order 1 2 3 5 4 is returned.
enum sb_exit {
    SB_EXIT_OK = 0,
    SB_EXIT_FAULT = 1,      // usage, or it could not be run
    SB_EXIT_INCORRECT = 2,  // a correctness check failed
    SB_EXIT_REGRESSION = 3, // confirmed
    SB_EXIT_UNRESOLVED = 4, // too noisy to tell
    SB_EXIT_MISSED = 5,     // a target was missed
    SB_EXIT_INTERRUPTED = 130,
};

struct sb_verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv); // argv[0] is the verb; returns an enum sb_exit
};

int sb_command_list(int argc, char **argv);
int sb_command_describe(int argc, char **argv);
int sb_command_doctor(int argc, char **argv);
int sb_command_run(int argc, char **argv);
int sb_command_clean(int argc, char **argv);

#endif

// SPDX-License-Identifier: MIT
// Where the parts of an installation are: beside the running program, or below its
// prefix.
//
// Built on: base/error.h. Concurrency: any thread.
// Why this way: one rule serves the build folder and an installation anywhere, with no
// path compiled in.
#ifndef SB_CLI_PLACES_H
#define SB_CLI_PLACES_H

#include <limits.h>
#include <stddef.h>

#include "harness/base/error.h"

// The folder of the running executable, without a slash at its end.
int sb_place_of_program(char folder[PATH_MAX], struct sb_error *error);

// A profile's job file: jobs/NAME.ini beside the program, else
// ../share/shmbench/jobs/NAME.ini. Errors: -ENOENT lists the profiles there are.
int sb_place_of_profile(const char *name, char path[PATH_MAX], struct sb_error *error);

// The names of all profiles, sorted; NULL-terminated. Freed by sb_places_free.
int sb_places_profiles(char ***names, struct sb_error *error);

// What follows "shmbench-" in the names of the executables beside the program, sorted.
int sb_places_companions(char ***names, struct sb_error *error);
void sb_places_free(char **names);

#endif

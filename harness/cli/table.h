// SPDX-License-Identifier: MIT
// A run on the terminal: for each cell one line a subject, and what did not work.
//
// Built on: store/tally.h. Concurrency: one thread.
// Why this way: a reader compares subjects within a cell, so a cell is a table; what is
// missing stays in its place with the reason below, never left out.
#ifndef SB_CLI_TABLE_H
#define SB_CLI_TABLE_H

#include <stdio.h>

#include "harness/store/tally.h"

// Prints all cells, at most 100 columns wide. Errors: -ENOMEM; faults of the stream are
// left to ferror.
int sb_table_print(FILE *file, const struct sb_tally *tally);

#endif

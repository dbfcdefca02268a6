// SPDX-License-Identifier: MIT
// One row describes one option of a subject, a workload or a command.
//
// Built on: error.h. Units: `type` is the unit. Concurrency: tables are constant.
// Why this way: parsing, --help, the generated tables and the record in a run folder
// all follow from the same row, so that none of them can disagree (fio's option table
// is the model). This header is installed for plugins; it needs nothing of ours but
// error.h.
#ifndef SB_BASE_OPTION_H
#define SB_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/base/error.h"

enum sb_type {
    SB_COUNT,  // uint64_t; suffixes k, M, G are powers of ten
    SB_BYTES,  // uint64_t; suffixes K, M, G, T are powers of 1024
    SB_NS,     // uint64_t nanoseconds; suffixes ns, us, ms, s, min, h
    SB_RATIO,  // double; "12%" is 0.12
    SB_FLAG,   // bool; yes/no, true/false, on/off, 1/0
    SB_CHOICE, // uint32_t, index into choices
};

enum sb_scale { SB_FIXED, SB_LINEAR, SB_LOG }; // SB_FIXED: not to be tuned

struct sb_option {
    const char *name; // NULL ends a table
    const char *summary;
    enum sb_type type;
    size_t offset;       // into the struct of values
    const char *initial; // as a user would write it
    double least, most;  // inclusive, in the unit of the type; unused for flag, choice
    const char *const *choices; // SB_CHOICE: NULL-terminated
    enum sb_scale scale;        // how a tuner should search it
};

enum { SB_OPTIONS_MAX = 64 }; // rows of a table

// Fills the struct of values with every row's initial. Cost: one parse a row.
void sb_options_default(const struct sb_option *table, void *values);

// Parses `text` for the row called `name` into `values`.
// Errors: -ENOENT no such row (error names the rows there are, and the nearest one),
// -EINVAL not of the type, -ERANGE outside least..most (error names both).
// Safety: any thread, its own values.
int sb_option_set(const struct sb_option *table, void *values, const char *name,
                  const char *text, struct sb_error *error);

// Writes a row's value as text that sb_option_set takes back. `bytes` 64 always
// suffices.
void sb_option_text(const struct sb_option *row, const void *values, char *text,
                    size_t bytes);

// Is the table itself sound: names unique, each initial value in its row's range? For
// the tests of whoever defines one. Fills `values` as sb_options_default does.
int sb_options_check(const struct sb_option *table, void *values,
                     struct sb_error *error);

// The row called `name`, or NULL.
const struct sb_option *sb_option_find(const struct sb_option *table, const char *name);

// Numbers as users write them, for arguments that have no table row.
int sb_parse_number(enum sb_type type, const char *text, double *value,
                    struct sb_error *error);

// The word of a type as help texts show it: "count", "bytes", "ns", "ratio", ...
const char *sb_type_name(enum sb_type type);

#endif

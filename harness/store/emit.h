// SPDX-License-Identifier: MIT
// JSON as it is written: members are appended to a growing text, in order.
//
// Built on: base/option.h. Units: none. Concurrency: a struct sb_emit belongs to one
// thread.
// Why this way: base/json reads files and writes small ones as jansson trees. A trial's
// line holds thousands of histogram pairs and 64-bit seeds. A tree of values (jansson)
// would allocate each pair and stops at 63 bits; appending costs one pass, and memory
// errors are remembered once instead of checked at each member.
#ifndef SB_STORE_EMIT_H
#define SB_STORE_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/base/option.h"

struct sb_emit {
    char *text; // NUL-terminated once anything was written; the caller frees it
    size_t length, capacity;
    uint32_t depth; // open objects and arrays
    bool pretty;    // one member a line; else all on one line
    bool comma;     // a value stands before, at this depth
    bool failed;    // out of memory: everything since is dropped
};

// Every call takes the member's key, or NULL within an array and at the top.
void sb_emit_open(struct sb_emit *emit, const char *key, char bracket); // '{' or '['
void sb_emit_close(struct sb_emit *emit, char bracket);                 // '}' or ']'
// NULL writes null. Bytes that are not UTF-8 are replaced by U+FFFD.
void sb_emit_string(struct sb_emit *emit, const char *key, const char *value);
void sb_emit_whole(struct sb_emit *emit, const char *key, uint64_t value);
// SB_UNKNOWN (all ones) writes null.
void sb_emit_known(struct sb_emit *emit, const char *key, uint64_t value);
void sb_emit_signed(struct sb_emit *emit, const char *key, int64_t value);
// Up to 15 significant digits; what is not finite writes null.
void sb_emit_real(struct sb_emit *emit, const char *key, double value);
// Nanoseconds: a tenth of one below 1000, whole ones above, as precise as they are
// known.
void sb_emit_ns(struct sb_emit *emit, const char *key, double value);
void sb_emit_bool(struct sb_emit *emit, const char *key, bool value);
void sb_emit_null(struct sb_emit *emit, const char *key);
// An object of all rows of an option table with their values, each in its own type.
void sb_emit_options(struct sb_emit *emit, const char *key,
                     const struct sb_option *table, const void *values);

#endif

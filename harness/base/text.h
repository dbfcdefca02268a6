// SPDX-License-Identifier: MIT
// Figures and names as people read them: three digits and a unit, "did you mean".
//
// Built on: error.h. Units: named in each call. Concurrency: any thread.
// Why this way: one place decides how a figure looks, so tables, errors and progress
// lines agree.
#ifndef SB_BASE_TEXT_H
#define SB_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/error.h"

enum { SB_FORMAT_BYTES = 24 }; // room that always suffices for the sb_format_ calls

// Three significant digits and a unit. Each returns `text`, so that it can stand in an
// argument list. bytes: "1.50 MiB"; ns: "12.3 us"; count: "340 k".
char *sb_format_bytes(double value, char *text, size_t bytes);
char *sb_format_ns(double value, char *text, size_t bytes);
char *sb_format_count(double value, char *text, size_t bytes);

// Letters to insert, delete, replace or swap with a neighbour to make `b` of `a`; case
// does not count. Words over 63 letters are compared by their first 63.
uint32_t sb_edit_distance(const char *a, const char *b);

// The name in `names` (NULL-terminated) that `name` was most likely meant to be, or
// NULL when none is near enough to suggest.
const char *sb_nearest(const char *name, const char *const *names);

// Complains that there is no `what` called `name`, suggests the nearest and lists what
// there is. Returns -ENOENT.
int sb_unknown(struct sb_error *error, const char *what, const char *name,
               const char *const *names);

#endif

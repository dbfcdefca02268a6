// SPDX-License-Identifier: MIT
// JSON in files that survive a crash: whole files at once, or whole lines.
//
// Built on: file.h, jansson. Concurrency: any thread; one writer of a file at a time.
// Why this way: a reader never meets half a file or half a line, whenever the writer
// was killed.
#ifndef SB_BASE_JSON_H
#define SB_BASE_JSON_H

#include <jansson.h>

#include "harness/base/file.h"

// Errors: errno of open/read; -EINVAL with "path:line:column: ...".
// The caller owns *value.
int sb_json_read(const char *path, json_t **value, struct sb_error *error);

// Replaces the file in one step: a temporary file beside it, fsync, rename, fsync of
// the folder. Borrows `value`. Errors: errno of the failing call; the old file then
// stands and nothing is left beside it.
int sb_json_write(const char *path, const json_t *value, struct sb_error *error);

// Appends one line to a file opened with O_APPEND. Borrows `value`. `path` is for the
// error only. Errors: errno of write; a line cut short (-ENOSPC) is taken back.
int sb_json_append(int fd, const char *path, const json_t *value,
                   struct sb_error *error);

#endif

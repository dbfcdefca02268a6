// SPDX-License-Identifier: MIT
// Small files read in one piece and files replaced in one step.
//
// Built on: error.h. Concurrency: any thread; one writer of a file at a time.
#ifndef SB_BASE_FILE_H
#define SB_BASE_FILE_H

#include <stddef.h>

#include "harness/base/error.h"

// Reads at most bytes - 1 of the file and ends them with a zero; a newline at the very
// end is cut off. For /proc and /sys, whose files tell no size. Errors: errno.
int sb_file_read(const char *path, char *text, size_t bytes);

// Replaces the file in one step: a temporary file beside it, fsync, rename, fsync of
// the folder. Errors: errno of the failing call; the old file then stands and nothing
// is left beside it.
int sb_file_write(const char *path, const char *text, size_t bytes,
                  struct sb_error *error);

// Writes everything, however often the kernel takes only a part. Errors: errno; some
// bytes may then have been written.
int sb_write_all(int fd, const char *text, size_t bytes);

// Fills the error with "path: what errno means" and returns the code.
int sb_fail_path(struct sb_error *error, int code, const char *path);

#endif

// SPDX-License-Identifier: MIT
// The folder of a run: made, filled line by line, or taken away again.
//
// Built on: base/error.h. Concurrency: one thread.
#ifndef SB_STORE_FOLDER_H
#define SB_STORE_FOLDER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "harness/base/error.h"

struct sb_folder {
    char path[PATH_MAX - 256]; // leaves room for the names within
    char parent[32];           // made for it, relative; empty: none
    bool made;                 // else it was there, empty
};

// "20261122-131501-quick-ab12" of a start time and a profile's name. `bytes` 64
// suffices.
void sb_folder_run_id(double start_s, const char *profile, char *run_id, size_t bytes);

// `out` NULL: the default place. Errors: see sb_store_open.
int sb_folder_make(const char *out, const char *run_id, struct sb_folder *folder,
                   struct sb_error *error);

// The path of a file within.
void sb_folder_path(const struct sb_folder *folder, const char *name,
                    char path[PATH_MAX]);

// Opens a new file within, to append lines to. Returns the descriptor.
int sb_folder_open(const struct sb_folder *folder, const char *name,
                   struct sb_error *error);

// Appends whole lines or nothing: what a full disk cut short is taken back.
int sb_folder_append(int fd, const char *path, const char *text, size_t bytes,
                     struct sb_error *error);

// Removes everything below, and the folders that sb_folder_make made.
void sb_folder_discard(const struct sb_folder *folder);

#endif

// SPDX-License-Identifier: MIT
// Loads a malloc replacement as a plain library, so that it serves its own subject
// alone.
//
// Built on: dlopen. Concurrency: sb_library_load from any thread, under one lock of its
// own per struct. Why this way: linking such a library, or loading it with RTLD_GLOBAL,
//   would put it in the place of malloc in the processes of every other subject.
#ifndef SB_SUBJECTS_LIBRARY_H
#define SB_SUBJECTS_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct sb_library_symbol {
    const char *name;
    void *address; // of the pointer to be filled
};

struct sb_library {
    const char *file;    // soname
    const char *package; // that a user would install
    const struct sb_library_symbol *symbols;
    size_t symbols_count;
    pthread_mutex_t lock;
    void *handle; // under lock; set once, never closed (its threads' exit hooks stay)
};

// Loads it once in a process. Errors: -ENOENT missing, -ENOEXEC it cannot be loaded
// here or lacks a symbol; `text` (may be NULL) is then the reason in one line.
int sb_library_load(struct sb_library *library, char *text, size_t bytes);

#endif

// SPDX-License-Identifier: MIT
// jemalloc's calls, loaded once for the two subjects that use it.
//
// Built on: library.h, jemalloc 5. Concurrency: as library.h.
#ifndef SB_SUBJECTS_JEMALLOC_CALLS_H
#define SB_SUBJECTS_JEMALLOC_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_jemalloc {
    // The names that a program calls have a short cut in front that mallocx has not.
    void *(*malloc)(size_t bytes);
    void (*free)(void *memory);
    void *(*realloc)(void *memory, size_t bytes);
    int (*mallctl)(const char *name, void *old, size_t *old_bytes, void *fresh,
                   size_t fresh_bytes);
};
extern struct sb_jemalloc sb_jemalloc; // written by the first successful load alone

// Errors and text: as sb_library_load.
int sb_jemalloc_load(char *text, size_t bytes);
// For a probe: loads it and writes its version.
int sb_jemalloc_probe(char *text, size_t bytes);
// Reads one number by name. Errors: -ENOENT no such name in this version.
int sb_jemalloc_read(const char *name, size_t *value);

#endif

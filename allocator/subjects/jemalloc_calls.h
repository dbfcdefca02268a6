// SPDX-License-Identifier: MIT
// jemalloc's calls, loaded once for the two subjects that use it.
//
// Built on: library.h, jemalloc 5. Concurrency: as library.h.
#ifndef SB_SUBJECTS_JEMALLOC_CALLS_H
#define SB_SUBJECTS_JEMALLOC_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// jemalloc's public numbers, so that its header is not needed to build.
enum { SB_JE_LG_ARENA = 20, SB_JE_LG_TCACHE = 8 };

struct sb_jemalloc {
    void *(*mallocx)(size_t bytes, int flags);
    void (*sdallocx)(void *memory, size_t bytes, int flags);
    void (*dallocx)(void *memory, int flags);
    void *(*rallocx)(void *memory, size_t bytes, int flags);
    size_t (*sallocx)(const void *memory, int flags);
    size_t (*nallocx)(size_t bytes, int flags);
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

// SPDX-License-Identifier: MIT
// jemalloc's calls, loaded once: see jemalloc_calls.h.
//
// Built on: library.h. Concurrency: as library.h.
#include "allocator/subjects/jemalloc_calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "allocator/subjects/library.h"

struct sb_jemalloc sb_jemalloc;

static const struct sb_library_symbol symbols[] = {
    {"malloc", &sb_jemalloc.malloc},
    {"free", &sb_jemalloc.free},
    {"realloc", &sb_jemalloc.realloc},
    {"mallctl", &sb_jemalloc.mallctl},
};

static struct sb_library library = {
    .file = "libjemalloc.so.2",
    .package = "libjemalloc2",
    .symbols = symbols,
    .symbols_count = sizeof symbols / sizeof symbols[0],
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

int sb_jemalloc_load(char *text, size_t bytes)
{
    return sb_library_load(&library, text, bytes);
}

int sb_jemalloc_probe(char *text, size_t bytes)
{
    int rc = sb_jemalloc_load(text, bytes);
    if (rc != 0) {
        return rc;
    }
    const char *version = "unknown version";
    size_t size = sizeof version;
    sb_jemalloc.mallctl("version", &version, &size, NULL, 0);
    // "5.3.0-0-g54eaed1d8b...": the commit says nothing to a reader.
    snprintf(text, bytes, "jemalloc %.*s", (int)strcspn(version, "-"), version);
    return 0;
}

int sb_jemalloc_read(const char *name, size_t *value)
{
    size_t found = 0;
    size_t size = sizeof found;
    int rc = sb_jemalloc.mallctl(name, &found, &size, NULL, 0);
    if (rc != 0) {
        return -rc;
    }
    *value = found;
    return 0;
}

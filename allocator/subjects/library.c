// SPDX-License-Identifier: MIT
// Loads a malloc replacement as a plain library: see library.h.
//
// Built on: dlopen. Concurrency: as library.h.
#include "allocator/subjects/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "allocator/subjects/subjects.h"

#ifdef SB_SANITIZED
// A sanitizer's malloc ends the program at a request that no machine could serve,
// unless told to answer as malloc does. And jemalloc takes all its locks at a fork,
// more than the thread sanitizer's deadlock detector can hold (it ends the program at
// the 65th). Weak: a program may have options of its own.
__attribute__((weak)) const char *__asan_default_options(void);
__attribute__((weak)) const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1:detect_deadlocks=0";
}
#endif

static int explain(const struct sb_library *library, char *text, size_t bytes)
{
    const char *why = dlerror();
    int rc = -ENOEXEC;
    if (why == NULL) {
        why = "unknown error";
    }
    if (strstr(why, "No such file") != NULL) {
        rc = -ENOENT;
        if (text != NULL) {
            snprintf(text, bytes, "%s is not installed: install %s", library->file,
                     library->package);
        }
    } else if (text != NULL && strstr(why, "static TLS") != NULL) {
        snprintf(text, bytes, "%s needs a process started with GLIBC_TUNABLES=%s",
                 library->file, SB_SUBJECTS_TUNABLE);
    } else if (text != NULL) {
        snprintf(text, bytes, "%s cannot be loaded: %s", library->file, why);
    }
    return rc;
}

static int load(struct sb_library *library, char *text, size_t bytes)
{
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return explain(library, text, bytes);
    }
    for (size_t i = 0; i < library->symbols_count; i++) {
        void *found = dlsym(handle, library->symbols[i].name);
        if (found == NULL) {
            if (text != NULL) {
                snprintf(text, bytes, "%s has no %s: install %s", library->file,
                         library->symbols[i].name, library->package);
            }
            return -ENOEXEC; // stays loaded: its constructors ran, which is not undone
        }
        memcpy(library->symbols[i].address, &found, sizeof found);
    }
    library->handle = handle;
    return 0;
}

int sb_library_load(struct sb_library *library, char *text, size_t bytes)
{
    pthread_mutex_lock(&library->lock);
    int rc = library->handle != NULL ? 0 : load(library, text, bytes);
    pthread_mutex_unlock(&library->lock);
    return rc;
}

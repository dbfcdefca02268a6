// SPDX-License-Identifier: MIT
// The allocators under test that come with the suite, and how plugins join them.
//
// Built on: allocator/subject.h, subjects.def. Concurrency: any thread; plugins are
// loaded by the main thread before workers start.
#ifndef SB_SUBJECTS_H
#define SB_SUBJECTS_H

#include "allocator/subject.h"

// All built-in subjects, in the order of subjects.def, NULL-terminated.
extern const struct sb_subject *const sb_subjects[];

// A subject by name, or by the path of a plugin (a word with a slash in it), which is
// loaded and checked. The result lives as long as the process. Errors: -ENOENT unknown
// (error lists the names and the nearest), -ENOEXEC not a plugin or of another abi,
// -EINVAL an operation is missing for a capability it claims.
int sb_subject_find(const char *name, const struct sb_subject **subject,
                    struct sb_error *error);

// Do the operations agree with the capabilities? -EINVAL names the first that does not.
int sb_subject_validate(const struct sb_subject *subject, struct sb_error *error);

// What GLIBC_TUNABLES must hold when a process starts that is to load every subject:
// jemalloc keeps its thread data where libraries loaded late find little room.
#define SB_SUBJECTS_TUNABLE "glibc.rtld.optional_static_tls=65536"

// For the first line of a main: puts that into the environment unless it is there.
// True: it was not, so the program should now start itself again (execv of
// /proc/self/exe); if it does not, the probes of the subjects concerned say so.
// Safety: before any thread exists.
bool sb_subjects_prepare(void);

#endif

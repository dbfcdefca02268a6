// SPDX-License-Identifier: MIT
// A segment for subjects that bring none of their own: a file, mapped, whose pages are
// taken from the system step by step.
//
// Built on: allocator/subject.h. Units: bytes. Concurrency: a struct sb_segment belongs
// to a process; sb_segment_back may be called by any of its threads.
// Why this way: the file has its full length from the start but no pages. A store to a
//   page that tmpfs cannot provide ends a process with SIGBUS, so pages are asked for
//   by fallocate before they are used; asking for all of them at once would make every
//   footprint the capacity.
#ifndef SB_SUBJECTS_SEGMENT_H
#define SB_SUBJECTS_SEGMENT_H

#include "allocator/subject.h"

#ifdef __cplusplus
extern "C" {
#endif

// Where subjects live that keep absolute pointers. Free in processes of any layout, and
// within what the thread sanitizer lets an application map.
#define SB_AGREED_ADDRESS ((void *)0x7e9000000000)

struct sb_segment {
    unsigned char *base;
    uint64_t bytes; // whole pages
    int fd;
    char *remove; // the name to be taken away at the end; NULL: not ours
};

// Makes the file (of a memfd: takes it), gives it its length and maps it. `at` NULL: at
// any address, else there or not at all.
// Errors: -EEXIST the name is taken, -EADDRINUSE something lies at `at`, -ENOMEM,
// -EFBIG; what open(2) gives. Nothing is left behind on failure.
int sb_segment_create(const struct sb_place *place, void *at,
                      struct sb_segment *segment);
// Maps a segment that another process made; its length is the file's.
int sb_segment_open(const struct sb_place *place, void *at, struct sb_segment *segment);

// Makes sure that the pages of [from, until) exist. Errors: -ENOSPC the medium is full
// (then a part may exist), -ENOMEM, -EINVAL beyond the segment. Cost: a system call.
int sb_segment_back(const struct sb_segment *segment, uint64_t from, uint64_t until);
// Gives whole pages back; they read as zero afterwards and want backing before use.
int sb_segment_punch(const struct sb_segment *segment, uint64_t from, uint64_t until);

// Ends the mapping; the process that created it also takes the name away.
int sb_segment_close(struct sb_segment *segment);

#ifdef __cplusplus
}
#endif

#endif

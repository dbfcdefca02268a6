// SPDX-License-Identifier: MIT
// A segment for subjects that bring none of their own: see segment.h.
//
// Built on: open, ftruncate, fallocate, mmap. Concurrency: as segment.h.
#include "allocator/subjects/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static int map(struct sb_segment *segment, void *at)
{
    int flags = MAP_SHARED | (at != NULL ? MAP_FIXED_NOREPLACE : 0);
    void *base =
        mmap(at, segment->bytes, PROT_READ | PROT_WRITE, flags, segment->fd, 0);
    if (base == MAP_FAILED) {
        return errno == EEXIST ? -EADDRINUSE : -errno;
    }
    if (at != NULL && base != at) { // a kernel without NOREPLACE takes it as a hint
        munmap(base, segment->bytes);
        return -EADDRINUSE;
    }
    segment->base = base;
    return 0;
}

int sb_segment_create(const struct sb_place *place, void *at,
                      struct sb_segment *segment)
{
    struct sb_segment made = {.fd = -1};
    int rc = 0;
    bool named = place->medium != SB_MEMFD;
    made.bytes = (place->bytes + PAGE - 1) / PAGE * PAGE;
    if (made.bytes < place->bytes || made.bytes == 0 || made.bytes > INT64_MAX) {
        return -ENOMEM;
    }
    if (named && (made.remove = strdup(place->path)) == NULL) {
        return -ENOMEM;
    }
    made.fd =
        open(place->path, O_RDWR | O_CLOEXEC | (named ? O_CREAT | O_EXCL : 0), 0600);
    if (made.fd < 0) {
        rc = -errno;
        goto fail_name;
    }
    if (ftruncate(made.fd, (off_t)made.bytes) != 0) {
        rc = -errno;
        goto fail_file;
    }
    rc = map(&made, at);
    if (rc != 0) {
        goto fail_file;
    }
    *segment = made;
    return 0;

fail_file:
    close(made.fd);
    if (named) {
        unlink(place->path);
    }
fail_name:
    free(made.remove);
    return rc;
}

int sb_segment_open(const struct sb_place *place, void *at, struct sb_segment *segment)
{
    struct sb_segment made = {.fd = open(place->path, O_RDWR | O_CLOEXEC)};
    struct stat status;
    int rc;
    if (made.fd < 0) {
        return -errno;
    }
    if (fstat(made.fd, &status) != 0) {
        rc = -errno;
        goto fail;
    }
    made.bytes = (uint64_t)status.st_size / PAGE * PAGE;
    if (made.bytes == 0) {
        rc = -EBADMSG;
        goto fail;
    }
    rc = map(&made, at);
    if (rc != 0) {
        goto fail;
    }
    *segment = made;
    return 0;

fail:
    close(made.fd);
    return rc;
}

int sb_segment_back(const struct sb_segment *segment, uint64_t from, uint64_t until)
{
    if (from > until || until > segment->bytes) {
        return -EINVAL;
    }
    while (from < until) {
        if (fallocate(segment->fd, FALLOC_FL_KEEP_SIZE, (off_t)from,
                      (off_t)(until - from)) == 0) {
            break;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int sb_segment_punch(const struct sb_segment *segment, uint64_t from, uint64_t until)
{
    from = (from + PAGE - 1) / PAGE * PAGE;
    until = until / PAGE * PAGE;
    if (until > segment->bytes) {
        return -EINVAL;
    }
    if (from < until &&
        fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                  (off_t)(until - from)) != 0) {
        return -errno;
    }
    return 0;
}

int sb_segment_close(struct sb_segment *segment)
{
    int rc = 0;
    if (munmap(segment->base, segment->bytes) != 0) {
        rc = -errno;
    }
    close(segment->fd);
    if (segment->remove != NULL) {
        if (unlink(segment->remove) != 0 && rc == 0) {
            rc = -errno;
        }
        free(segment->remove);
    }
    *segment = (struct sb_segment){.fd = -1};
    return rc;
}

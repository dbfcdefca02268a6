// SPDX-License-Identifier: MIT
// The segment of one trial, and the removal of those that a killed run left.
//
// Built on: segment.h, run.h (sb_run_clean).
#include "harness/run/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "harness/run/control.h"
#include "harness/run/run.h"

static const char prefix[] = "shmbench-";

static const char *files_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && folder[0] == '/' ? folder : "/tmp";
}

// Start time of a process in clock ticks since boot; 0: there is no such process.
static uint64_t start_time(long pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) {
        return 0;
    }
    text[got] = '\0';
    // The command may hold blanks and brackets: count fields after the last bracket.
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static int room_check(struct sb_segment *segment, const char *folder,
                      uint64_t live_bytes, struct sb_error *error)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0) {
        return sb_fail(error, -ENOSPC, "%s cannot be used: %s", folder,
                       strerror(errno));
    }
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room >= segment->bytes) {
        return 0;
    }
    if (room < 2 * live_bytes + (1u << 20)) {
        return sb_fail(error, -ENOSPC,
                       "%s has room for %llu MiB, this needs %llu MiB "
                       "(a memfd needs none)",
                       folder, (unsigned long long)(room >> 20),
                       (unsigned long long)((2 * live_bytes + (1u << 20)) >> 20) + 1);
    }
    // A tmpfs that is full kills by SIGBUS: stay clear of its end.
    segment->bytes = (room - room / 16) & ~(uint64_t)0xffff;
    return 0;
}

int sb_segment_prepare(struct sb_segment *segment, enum sb_medium medium,
                       uint64_t bytes, uint64_t live_bytes, uint64_t number,
                       struct sb_error *error)
{
    struct sb_segment made = {.medium = medium, .bytes = bytes, .fd = -1};
    uint64_t started = start_time((long)getpid()); // not kept: a fork would inherit it
    snprintf(made.name, sizeof made.name, "%s%ld-%llu-%llu", prefix, (long)getpid(),
             (unsigned long long)started, (unsigned long long)number);
    if (medium == SB_MEMFD) {
        int fd = memfd_create(made.name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0) {
            return sb_fail(error, -errno, "no memfd: %s", strerror(errno));
        }
        // Clear of the numbers that workers find theirs at.
        made.fd = fcntl(fd, F_DUPFD_CLOEXEC, SB_SEGMENT_FD + 1);
        int rc = made.fd < 0 ? -errno : 0;
        close(fd);
        if (rc != 0) {
            return sb_fail(error, rc, "no memfd: %s", strerror(-rc));
        }
        snprintf(made.path, sizeof made.path, "/proc/self/fd/%d", SB_SEGMENT_FD);
    } else if (medium == SB_SHM || medium == SB_FILE) {
        const char *folder = medium == SB_SHM ? "/dev/shm" : files_folder();
        int rc = room_check(&made, folder, live_bytes, error);
        if (rc != 0) {
            return rc;
        }
        snprintf(made.path, sizeof made.path, "%s/%s", folder, made.name);
    }
    *segment = made;
    return 0;
}

uint64_t sb_segment_footprint(const struct sb_segment *segment)
{
    struct stat file;
    int rc = -1;
    if (segment->fd >= 0) {
        rc = fstat(segment->fd, &file);
    } else if (segment->path[0]) {
        rc = stat(segment->path, &file);
    }
    return rc == 0 ? (uint64_t)file.st_blocks * 512 : 0;
}

void sb_segment_remove(struct sb_segment *segment)
{
    if (segment->fd >= 0) {
        close(segment->fd);
        segment->fd = -1;
    } else if (segment->path[0]) {
        unlink(segment->path); // normally gone: the subject's destroy removed it
    }
    segment->path[0] = '\0';
}

static int clean_folder(const char *folder, void (*list)(const char *, void *),
                        void *context)
{
    DIR *open_folder = opendir(folder);
    int removed = 0;
    for (struct dirent *entry; open_folder && (entry = readdir(open_folder));) {
        char *rest;
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        long pid = strtol(entry->d_name + sizeof prefix - 1, &rest, 10);
        if (*rest != '-' || pid <= 0) {
            continue;
        }
        uint64_t started = strtoull(rest + 1, &rest, 10);
        if (*rest != '-' || start_time(pid) == started) {
            continue; // not ours, or of a run that is still going on
        }
        if (unlinkat(dirfd(open_folder), entry->d_name, 0) == 0) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            removed++;
            if (list) {
                list(path, context);
            }
        }
    }
    if (open_folder) {
        closedir(open_folder);
    }
    return removed;
}

int sb_run_clean(void (*list)(const char *path, void *context), void *context)
{
    return clean_folder("/dev/shm", list, context) +
           clean_folder(files_folder(), list, context);
}

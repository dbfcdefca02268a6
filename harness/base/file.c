// SPDX-License-Identifier: MIT
// Small files: see file.h.
#include "harness/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int sb_fail_path(struct sb_error *error, int code, const char *path)
{
    return sb_fail(error, code, "%s: %s", path, strerror(-code));
}

int sb_file_read(const char *path, char *text, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t used = 0;
    ssize_t got;
    do {
        got = read(fd, text + used, bytes - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    int rc = got < 0 ? -errno : 0;
    close(fd);
    used -= used > 0 && text[used - 1] == '\n';
    text[rc == 0 ? used : 0] = '\0';
    return rc;
}

int sb_write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(fd, text, bytes);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            return -errno;
        }
        text += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

// Makes the rename itself last. Some file systems refuse to sync a folder; the file's
// own bytes are safe by then.
static void sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int sb_file_write(const char *path, const char *text, size_t bytes,
                  struct sb_error *error)
{
    char temporary[PATH_MAX];
    int made = snprintf(temporary, sizeof(temporary), "%s.tmp-%d", path, (int)getpid());
    if (made < 0 || (size_t)made >= sizeof(temporary)) {
        return sb_fail_path(error, -ENAMETOOLONG, path);
    }
    int fd =
        open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        return sb_fail_path(error, -errno, path);
    }
    int rc = sb_write_all(fd, text, bytes);
    if (rc == 0 && fsync(fd) != 0) {
        rc = -errno;
    }
    if (close(fd) != 0 && rc == 0) {
        rc = -errno;
    }
    if (rc == 0 && rename(temporary, path) != 0) {
        rc = -errno;
    }
    if (rc != 0) {
        unlink(temporary);
        return sb_fail_path(error, rc, path);
    }
    sync_folder_of(path);
    return 0;
}

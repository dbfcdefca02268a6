// SPDX-License-Identifier: MIT
// JSON in files that survive a crash: see json.h.
#include "harness/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// 17 digits bring every double back as it was.
enum { DUMP_FLAGS = JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY };

static int fail_errno(struct sb_error *error, int code, const char *path)
{
    return sb_fail(error, code, "%s: %s", path, strerror(-code));
}

int sb_json_read(const char *path, json_t **value, struct sb_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return fail_errno(error, -errno, path);
    }
    json_error_t why;
    errno = 0;
    json_t *loaded = json_loadf(file, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    int rc = 0;
    if (ferror(file)) {
        rc = fail_errno(error, errno != 0 ? -errno : -EIO, path);
        json_decref(loaded);
    } else if (loaded == NULL) {
        rc = sb_fail(error, -EINVAL, "%s:%d:%d: %s", path, why.line, why.column,
                     why.text);
    } else {
        *value = loaded;
    }
    fclose(file);
    return rc;
}

static int write_all(int fd, const char *text, size_t bytes)
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
        return fail_errno(error, -ENAMETOOLONG, path);
    }
    int fd =
        open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        return fail_errno(error, -errno, path);
    }
    int rc = write_all(fd, text, bytes);
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
        return fail_errno(error, rc, path);
    }
    sync_folder_of(path);
    return 0;
}

// The text of `value`, ended by a newline.
static int dump_line(const json_t *value, size_t flags, char **text, size_t *bytes)
{
    char *dumped = json_dumps(value, flags);
    if (dumped == NULL) {
        return -ENOMEM;
    }
    size_t letters = strlen(dumped);
    char *grown = realloc(dumped, letters + 2);
    if (grown == NULL) {
        free(dumped);
        return -ENOMEM;
    }
    grown[letters] = '\n';
    grown[letters + 1] = '\0';
    *text = grown;
    *bytes = letters + 1;
    return 0;
}

int sb_json_write(const char *path, const json_t *value, struct sb_error *error)
{
    char *text;
    size_t bytes;
    int rc = dump_line(value, DUMP_FLAGS | JSON_INDENT(2), &text, &bytes);
    if (rc != 0) {
        return fail_errno(error, rc, path);
    }
    rc = sb_file_write(path, text, bytes, error);
    free(text);
    return rc;
}

int sb_json_append(int fd, const char *path, const json_t *value,
                   struct sb_error *error)
{
    char *text;
    size_t bytes;
    int rc = dump_line(value, DUMP_FLAGS | JSON_COMPACT, &text, &bytes);
    if (rc != 0) {
        return fail_errno(error, rc, path);
    }
    struct stat before;
    if (fstat(fd, &before) != 0) {
        rc = -errno;
        goto out;
    }
    rc = write_all(fd, text, bytes);
    if (rc != 0 && S_ISREG(before.st_mode) && ftruncate(fd, before.st_size) != 0) {
        rc = -errno; // half a line may remain; readers of NDJSON skip it
    }
out:
    free(text);
    return rc == 0 ? 0 : fail_errno(error, rc, path);
}

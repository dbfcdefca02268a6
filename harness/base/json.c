// SPDX-License-Identifier: MIT
// JSON in files that survive a crash: see json.h.
#include "harness/base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// 17 digits bring every double back as it was.
enum { DUMP_FLAGS = JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY };

int sb_json_read(const char *path, json_t **value, struct sb_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sb_fail_path(error, -errno, path);
    }
    json_error_t why;
    errno = 0;
    json_t *loaded = json_loadf(file, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    int rc = 0;
    if (ferror(file)) {
        rc = sb_fail_path(error, errno != 0 ? -errno : -EIO, path);
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
        return sb_fail_path(error, rc, path);
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
        return sb_fail_path(error, rc, path);
    }
    struct stat before;
    if (fstat(fd, &before) != 0) {
        rc = -errno;
        goto out;
    }
    rc = sb_write_all(fd, text, bytes);
    if (rc != 0 && S_ISREG(before.st_mode) && ftruncate(fd, before.st_size) != 0) {
        rc = -errno; // half a line may remain; readers of NDJSON skip it
    }
out:
    free(text);
    return rc == 0 ? 0 : sb_fail_path(error, rc, path);
}

// SPDX-License-Identifier: MIT
// The folder of a run: see folder.h.
#include "harness/store/folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char usual[] = "results", otherwise[] = "shmbench-results";
enum { PROFILE_BYTES = 24 };

void sb_folder_run_id(double start_s, const char *profile, char *run_id, size_t bytes)
{
    char date[32], name[PROFILE_BYTES + 1];
    time_t whole = (time_t)start_s;
    struct tm utc;
    gmtime_r(&whole, &utc);
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", &utc);
    // The name becomes a part of a path, and of names that split at '-'.
    snprintf(name, sizeof name, "%s", profile[0] != '\0' ? profile : "custom");
    for (char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && *at != '.') {
            *at = '_';
        }
    }
    uint16_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        random = (uint16_t)getpid();
    }
    snprintf(run_id, bytes, "%s-%s-%04x", date, name, random);
}

static bool is_folder(const char *path)
{
    struct stat stat_now;
    return stat(path, &stat_now) == 0 && S_ISDIR(stat_now.st_mode);
}

static int refuse(struct sb_error *error, const char *path, int code)
{
    return sb_fail(error, code, "the output folder '%s' cannot be written: %s", path,
                   strerror(-code));
}

// 0 where there is nothing in the folder.
static int check_empty(const char *path, struct sb_error *error)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return refuse(error, path, -errno);
    }
    bool entries = false, manifest = false;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            entries = true;
            manifest = manifest || strcmp(entry->d_name, "manifest.json") == 0;
        }
    }
    closedir(dir);
    if (entries) {
        return sb_fail(error, -ENOTEMPTY, "the output folder '%s' is not empty%s", path,
                       manifest ? ": it holds another run" : "");
    }
    return 0;
}

static int make_out(struct sb_folder *folder, struct sb_error *error)
{
    if (mkdir(folder->path, 0777) == 0) {
        folder->made = true;
        return 0;
    }
    int code = -errno;
    if (code == -EEXIST && is_folder(folder->path)) {
        return check_empty(folder->path, error);
    }
    if (code == -EEXIST) {
        return sb_fail(error, -ENOTDIR, "the output folder '%s' is a file",
                       folder->path);
    }
    if (code == -ENOENT) {
        return sb_fail(error, code,
                       "the output folder '%s' cannot be made: the folder above it "
                       "does not exist",
                       folder->path);
    }
    return refuse(error, folder->path, code);
}

int sb_folder_make(const char *out, const char *run_id, struct sb_folder *folder,
                   struct sb_error *error)
{
    struct sb_folder made = {.made = false};
    if (out != NULL) {
        if (out[0] == '\0' || strlen(out) >= sizeof made.path) {
            return sb_fail(error, -EINVAL, "the output folder '%.80s' is no path", out);
        }
        snprintf(made.path, sizeof made.path, "%s", out);
        for (size_t end = strlen(made.path); end > 1 && made.path[end - 1] == '/';) {
            made.path[--end] = '\0';
        }
    } else {
        const char *parent = is_folder(usual) ? usual : otherwise;
        if (mkdir(parent, 0777) == 0) {
            snprintf(made.parent, sizeof made.parent, "%s", parent);
        } else if (errno != EEXIST) {
            return refuse(error, parent, -errno);
        }
        snprintf(made.path, sizeof made.path, "%s/%s", parent, run_id);
    }
    int rc = make_out(&made, error);
    if (rc != 0) {
        if (made.parent[0] != '\0') {
            rmdir(made.parent);
        }
        return rc;
    }
    *folder = made;
    return 0;
}

void sb_folder_path(const struct sb_folder *folder, const char *name,
                    char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", folder->path, name);
}

int sb_folder_open(const struct sb_folder *folder, const char *name,
                   struct sb_error *error)
{
    char path[PATH_MAX];
    sb_folder_path(folder, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    return fd >= 0 ? fd : refuse(error, folder->path, -errno);
}

int sb_folder_append(int fd, const char *path, const char *text, size_t bytes,
                     struct sb_error *error)
{
    off_t start = lseek(fd, 0, SEEK_END);
    while (bytes > 0) {
        ssize_t wrote = write(fd, text, bytes);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            int code = -errno;
            // Failing that too, a reader still ignores a last line without its end.
            (void)!ftruncate(fd, start);
            return sb_fail(error, code, "%s cannot be written: %s", path,
                           strerror(-code));
        }
        text += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

static void remove_files(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
}

void sb_folder_discard(const struct sb_folder *folder)
{
    char within[PATH_MAX];
    sb_folder_path(folder, "hgrm", within);
    remove_files(within);
    rmdir(within);
    remove_files(folder->path);
    if (folder->made) {
        rmdir(folder->path);
    }
    if (folder->parent[0] != '\0') {
        rmdir(folder->parent); // fails, as it should, where another run is in it
    }
}

// SPDX-License-Identifier: MIT
// Where the parts of an installation are: see places.h.
#include "harness/cli/places.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/text.h"

static const char companion[] = "shmbench-", profile[] = ".ini";
static const char *const job_folders[] = {"jobs", "../share/shmbench/jobs"};
enum { JOB_FOLDERS = 2 };

int sb_place_of_program(char folder[PATH_MAX], struct sb_error *error)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0) {
        return sb_fail(error, -errno, "/proc/self/exe cannot be read: %s",
                       strerror(errno));
    }
    path[length] = '\0';
    snprintf(folder, PATH_MAX, "%s", dirname(path));
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void sb_places_free(char **names)
{
    if (names != NULL) {
        for (char **name = names; *name != NULL; name++) {
            free(*name);
        }
        free(names);
    }
}

// The part of a file's name between `before` and `after`, or NULL where it has none.
static char *between(const char *name, const char *before, const char *after)
{
    size_t length = strlen(name), skip = strlen(before), cut = strlen(after);
    if (length <= skip + cut || strncmp(name, before, skip) != 0 ||
        strcmp(name + length - cut, after) != 0) {
        return NULL;
    }
    return strndup(name + skip, length - skip - cut);
}

// All such parts of the files of a folder. A folder that is not there has none.
static int scan(const char *folder, const char *before, const char *after,
                int access_mode, char ***names, struct sb_error *error)
{
    char **found = calloc(1, sizeof *found);
    DIR *dir = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; found != NULL && dir != NULL;) {
        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        char *name = between(entry->d_name, before, after);
        if (name == NULL || faccessat(dirfd(dir), entry->d_name, access_mode, 0) != 0) {
            free(name);
            continue;
        }
        char **more = realloc(found, (count + 2) * sizeof *found);
        if (more == NULL) {
            free(name);
            sb_places_free(found);
            found = NULL;
            break;
        }
        found = more;
        found[count++] = name;
        found[count] = NULL;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (found == NULL) {
        return sb_fail(error, -ENOMEM, "out of memory");
    }
    qsort(found, count, sizeof *found, compare);
    *names = found;
    return 0;
}

int sb_places_profiles(char ***names, struct sb_error *error)
{
    char program[PATH_MAX], folder[PATH_MAX + 32];
    int rc = sb_place_of_program(program, error);
    for (int i = 0; rc == 0 && i < JOB_FOLDERS; i++) {
        snprintf(folder, sizeof folder, "%s/%s", program, job_folders[i]);
        rc = scan(folder, "", profile, R_OK, names, error);
        if (rc == 0 && (*names)[0] != NULL) {
            return 0;
        }
        if (rc == 0 && i + 1 < JOB_FOLDERS) {
            sb_places_free(*names);
        }
    }
    return rc;
}

int sb_place_of_profile(const char *name, char path[PATH_MAX], struct sb_error *error)
{
    char program[PATH_MAX];
    int rc = sb_place_of_program(program, error);
    if (rc != 0) {
        return rc;
    }
    for (int i = 0; i < JOB_FOLDERS && strchr(name, '/') == NULL; i++) {
        char tried[2 * PATH_MAX];
        snprintf(tried, sizeof tried, "%s/%s/%s%s", program, job_folders[i], name,
                 profile);
        if (strlen(tried) < PATH_MAX && access(tried, R_OK) == 0) {
            memcpy(path, tried, strlen(tried) + 1);
            return 0;
        }
    }
    char **names;
    rc = sb_places_profiles(&names, error);
    if (rc == 0) {
        rc = sb_unknown(error, "profile", name, (const char *const *)names);
        sb_places_free(names);
    }
    return rc;
}

int sb_places_companions(char ***names, struct sb_error *error)
{
    char program[PATH_MAX];
    int rc = sb_place_of_program(program, error);
    return rc != 0 ? rc : scan(program, companion, "", X_OK, names, error);
}

// SPDX-License-Identifier: MIT
// Facts about a container around us and its limits: see environment.h.
//
// Why this way: the limit that counts is the smallest on the way from our group to the
// root; a container often shows its group as "/", whose files are then its own.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/measure/facts.h"

// Our group in the hierarchy of `controller` (version 1), or in the one of version 2
// for NULL. Lines are number:controllers:/path.
static bool own_group(const char *controller, char *group, size_t bytes)
{
    char text[4096];
    if (sb_file_read("/proc/self/cgroup", text, sizeof(text)) != 0) {
        return false;
    }
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *names = strchr(line, ':');
        char *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL) {
            continue;
        }
        *path = '\0';
        bool ours = controller == NULL ? names[1] == '\0' : false;
        char *list = names + 1;
        for (char *name; controller != NULL && (name = strsep(&list, ",")) != NULL;) {
            ours = ours || strcmp(name, controller) == 0;
        }
        if (ours) {
            snprintf(group, bytes, "%s", path + 1);
            return true;
        }
    }
    return false;
}

// A limit as a group's folder states it; false: none there.
static bool limit_v2_memory(const char *folder, double *limit)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/memory.max", folder);
    return sb_file_number(path, limit);
}

static bool limit_v1_memory(const char *folder, double *limit)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", folder);
    // Version 1 writes no limit as the largest number of pages.
    return sb_file_number(path, limit) && *limit < 0x1p62;
}

static bool limit_v2_cpu(const char *folder, double *limit)
{
    char path[PATH_MAX], text[64];
    double quota, period;
    snprintf(path, sizeof(path), "%s/cpu.max", folder);
    if (sb_file_read(path, text, sizeof(text)) != 0 ||
        sscanf(text, "%lf %lf", &quota, &period) != 2 || period <= 0) {
        return false; // "max 100000": no limit
    }
    *limit = quota / period;
    return true;
}

static bool limit_v1_cpu(const char *folder, double *limit)
{
    char path[PATH_MAX];
    double quota, period;
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
    if (!sb_file_number(path, &quota) || quota <= 0) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
    if (!sb_file_number(path, &period) || period <= 0) {
        return false;
    }
    *limit = quota / period;
    return true;
}

typedef bool read_limit(const char *folder, double *limit);

// The smallest limit from our group up to the root of the hierarchy.
static bool least_limit(const char *mount, const char *controller, read_limit *read,
                        double *limit)
{
    char group[1024], folder[1200];
    bool any = false;
    if (!own_group(controller, group, sizeof(group))) {
        return false;
    }
    for (;;) {
        double here;
        snprintf(folder, sizeof(folder), "%s%s", mount, group);
        if (read(folder, &here) && (!any || here < *limit)) {
            *limit = here;
            any = true;
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL) {
            return any;
        }
        *slash = '\0';
    }
}

static bool limit_of(const char *mount_v1, const char *controller, read_limit *v2,
                     read_limit *v1, double *limit)
{
    return least_limit("/sys/fs/cgroup", NULL, v2, limit) ||
           least_limit("/sys/fs/cgroup/unified", NULL, v2, limit) ||
           least_limit(mount_v1, controller, v1, limit);
}

static const char *container_kind(void)
{
    if (access("/.dockerenv", F_OK) == 0) {
        return "docker";
    }
    if (access("/run/.containerenv", F_OK) == 0) {
        return "podman";
    }
    return getenv("KUBERNETES_SERVICE_HOST") != NULL ? "kubernetes" : "none";
}

void sb_facts_container(struct sb_environment *environment)
{
    sb_fact_text(environment, "container", SB_IDENTITY, "%s", container_kind());
    double cpus, bytes;
    char text[SB_FORMAT_BYTES];
    if (limit_of("/sys/fs/cgroup/cpu", "cpu", limit_v2_cpu, limit_v1_cpu, &cpus)) {
        sb_fact_number(environment, "cgroup_cpus", SB_IDENTITY, cpus);
        sb_fact_warn(environment,
                     "a quota of %.2f CPUs throttles bursts, which shows as pauses: "
                     "give the container whole CPUs (--cpuset-cpus)",
                     cpus);
    } else {
        sb_fact_text(environment, "cgroup_cpus", SB_IDENTITY, "unlimited");
    }
    if (limit_of("/sys/fs/cgroup/memory", "memory", limit_v2_memory, limit_v1_memory,
                 &bytes)) {
        sb_fact_number(environment, "cgroup_memory_bytes", SB_MOOD, bytes);
        if (bytes < 0x1p30) {
            sb_fact_warn(environment,
                         "only %s of memory for this group: segments count "
                         "towards it; allow at least 1 GiB",
                         sb_format_bytes(bytes, text, sizeof(text)));
        }
    } else {
        sb_fact_text(environment, "cgroup_memory_bytes", SB_MOOD, "unlimited");
    }
}

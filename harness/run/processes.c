// SPDX-License-Identifier: MIT
// The worker processes of one trial.
//
// Built on: processes.h.
#include "harness/run/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocator/subjects/subjects.h"

extern char **environ;

static int actions_fill(posix_spawn_file_actions_t *actions, int control_fd,
                        int event_fd, int segment_fd)
{
    // The sources are above SB_SEGMENT_FD, so no dup2 overwrites the next one's source.
    int rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null",
                                              O_RDONLY, 0);
    if (rc == 0) {
        // What an allocator prints must not end up among our caller's data.
        rc = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(actions, control_fd, SB_CONTROL_FD);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(actions, event_fd, SB_EVENT_FD);
    }
    if (rc == 0 && segment_fd >= 0) {
        rc = posix_spawn_file_actions_adddup2(actions, segment_fd, SB_SEGMENT_FD);
    }
    if (rc == 0) {
        int first = segment_fd >= 0 ? SB_SEGMENT_FD + 1 : SB_SEGMENT_FD;
        rc = posix_spawn_file_actions_addclosefrom_np(actions, first);
    }
    return rc;
}

static int attributes_fill(posix_spawnattr_t *attributes, pid_t group)
{
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    sigaddset(&defaults, SIGPIPE);
    int rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
                                                      POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    if (rc == 0) {
        rc = posix_spawnattr_setpgroup(attributes, group);
    }
    if (rc == 0) {
        rc = posix_spawnattr_setsigmask(attributes, &none);
    }
    if (rc == 0) {
        rc = posix_spawnattr_setsigdefault(attributes, &defaults);
    }
    return rc;
}

int sb_processes_start(struct sb_processes *processes, const char *path,
                       char *const *environment, int control_fd, int event_fd,
                       int segment_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return -rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        goto fail_actions;
    }
    rc = actions_fill(&actions, control_fd, event_fd, segment_fd);
    if (rc == 0) {
        rc = attributes_fill(&attributes, processes->group);
    }
    char name[] = "shmbench-worker", index[16];
    snprintf(index, sizeof index, "%u", processes->count);
    char *const arguments[] = {name, index, NULL};
    pid_t pid = 0;
    if (rc == 0) {
        rc = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
    }
    if (rc == 0) {
        struct sb_process *process = &processes->all[processes->count++];
        *process = (struct sb_process){.pid = pid, .pidfd = pidfd_open(pid, 0)};
        if (processes->group == 0) {
            processes->group = pid;
        }
        rc = process->pidfd < 0 ? errno : 0;
    }
    posix_spawnattr_destroy(&attributes);
fail_actions:
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static void reap(struct sb_process *process, int flags)
{
    pid_t got;
    do {
        got = waitpid(process->pid, &process->status, flags);
    } while (got < 0 && errno == EINTR);
    if (got == process->pid || (got < 0 && errno == ECHILD)) {
        process->reaped = true;
        if (process->pidfd >= 0) {
            close(process->pidfd);
            process->pidfd = -1;
        }
    }
}

uint32_t sb_processes_wait(struct sb_processes *processes, int event_fd,
                           uint64_t timeout_ns)
{
    struct pollfd polled[SB_WORKERS_MAX + 1];
    uint32_t owner[SB_WORKERS_MAX + 1], count = 1, alive = 0;
    polled[0] = (struct pollfd){.fd = event_fd, .events = POLLIN};
    for (uint32_t i = 0; i < processes->count; i++) {
        if (!processes->all[i].reaped) {
            owner[count] = i;
            polled[count++] =
                (struct pollfd){.fd = processes->all[i].pidfd, .events = POLLIN};
        }
    }
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u),
        .tv_nsec = (long)(timeout_ns % 1000000000u),
    };
    if (ppoll(polled, count, &timeout, NULL) < 0) {
        return count - 1; // a signal: the caller looks at its flag
    }
    if (polled[0].revents) {
        uint64_t events;
        (void)!read(event_fd, &events, sizeof events);
    }
    for (uint32_t i = 1; i < count; i++) {
        struct sb_process *process = &processes->all[owner[i]];
        if (polled[i].revents) {
            reap(process, 0);
        }
        alive += !process->reaped;
    }
    return alive;
}

void sb_processes_end(struct sb_processes *processes)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < processes->count; i++) {
        alive += !processes->all[i].reaped;
    }
    if (alive > 0) {
        // The group as well: a subject or workload may have started helpers of its own.
        // Safe, since a member of the group that we did not reap keeps its number ours.
        kill(-processes->group, SIGKILL);
    }
    for (uint32_t i = 0; i < processes->count; i++) {
        if (!processes->all[i].reaped) {
            kill(processes->all[i].pid, SIGKILL);
            reap(&processes->all[i], 0);
        }
    }
}

char **sb_environment_make(void)
{
    static const char key[] = "GLIBC_TUNABLES=";
    size_t count = 0, at = 0;
    while (environ[count]) {
        count++;
    }
    char **copy = calloc(count + 2, sizeof *copy);
    if (!copy) {
        return NULL;
    }
    const char *present = "";
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], key, sizeof key - 1) == 0) {
            present = environ[i] + sizeof key - 1;
        } else if (!(copy[at++] = strdup(environ[i]))) {
            goto fail;
        }
    }
    bool complete = strstr(present, SB_SUBJECTS_TUNABLE) != NULL;
    if (asprintf(&copy[at], "%s%s%s%s", key, present,
                 present[0] && !complete ? ":" : "",
                 complete ? "" : SB_SUBJECTS_TUNABLE) < 0) {
        copy[at] = NULL;
        goto fail;
    }
    return copy;
fail:
    sb_environment_free(copy);
    return NULL;
}

void sb_environment_free(char **environment)
{
    for (size_t i = 0; environment && environment[i]; i++) {
        free(environment[i]);
    }
    free(environment);
}

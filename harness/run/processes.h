// SPDX-License-Identifier: MIT
// The worker processes of one trial: started, watched for death, ended, reaped.
//
// Built on: control.h, posix_spawn(3), pidfd_open(2). Concurrency: one thread.
// Why this way: pidfds tell of a death at once and cannot name a stranger; a process
//   group of their own keeps a Ctrl-C at the terminal from reaching the workers before
//   the coordinator has decided what it means.
#ifndef SB_RUN_PROCESSES_H
#define SB_RUN_PROCESSES_H

#include <poll.h>

#include "harness/run/control.h"

struct sb_processes {
    uint32_t count;
    pid_t group; // 0: none yet
    struct sb_process {
        pid_t pid;
        int pidfd; // -1 once reaped
        int status;
        bool reaped;
    } all[SB_WORKERS_MAX];
};

// Starts one more worker process. The three descriptors become those of control.h in
// it; segment_fd may be -1. Errors: those of posix_spawn and pidfd_open.
int sb_processes_start(struct sb_processes *processes, const char *path,
                       char *const *environment, int control_fd, int event_fd,
                       int segment_fd);
// Waits until the event descriptor or a death shows, or timeout_ns passed, or a signal
// came. Fills in who died. Returns the number of processes still alive.
uint32_t sb_processes_wait(struct sb_processes *processes, int event_fd,
                           uint64_t timeout_ns);
// Kills whoever is left and reaps all. Who is reaped here is not marked as dead of its
// own accord: ask before.
void sb_processes_end(struct sb_processes *processes);

// The workers' environment: ours, and the room for static TLS that dlopen'ed allocators
// need, alike for every worker. NULL: no memory. Free with sb_environment_free.
char **sb_environment_make(void);
void sb_environment_free(char **environment);

#endif

// SPDX-License-Identifier: MIT
// What the trials of one run have in common: worker executable, CPUs, room for results.
//
// Built on: trial.h, processes.h. Concurrency: one thread.
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/processes.h"
#include "harness/run/trial.h"

static int find_worker(char *path, size_t bytes, struct sb_error *error)
{
    const char *given = getenv("SB_WORKER");
    if (given) {
        snprintf(path, bytes, "%s", given);
    } else {
        char self[512];
        ssize_t got = readlink("/proc/self/exe", self, sizeof self - 1);
        if (got < 0) {
            return sb_fail(error, -errno, "/proc/self/exe: %s", strerror(errno));
        }
        self[got] = '\0';
        snprintf(path, bytes, "%.480s/shmbench-worker", dirname(self));
    }
    if (access(path, X_OK) != 0) {
        return sb_fail(error, -ENOENT,
                       "no worker executable %s (it belongs beside shmbench)", path);
    }
    return 0;
}

int sb_runner_start(struct sb_runner *runner, const struct sb_plan *plan,
                    const volatile sig_atomic_t *stop, struct sb_error *error)
{
    struct sb_runner made = {.plan = plan, .stop = stop};
    uint32_t workers = 1;
    int rc = find_worker(made.worker_path, sizeof made.worker_path, error);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        workers = plan->cells[i].workers > workers ? plan->cells[i].workers : workers;
    }
    made.environment = sb_environment_make();
    made.workers = calloc(workers, sizeof *made.workers);
    bool complete =
        made.environment && made.workers &&
        sb_timeline_init(&made.timeline, sizeof(struct sb_moment), SB_MOMENTS_MAX) == 0;
    for (uint32_t op = 0; op < SB_OPS; op++) {
        made.hist[op] = malloc(sizeof *made.hist[op]);
        complete = complete && made.hist[op];
    }
    if (!complete) {
        sb_runner_end(&made);
        return sb_fail(error, -ENOMEM, "no memory for the results of a trial");
    }
    if (sched_getaffinity(0, sizeof made.cpus, &made.cpus) != 0) {
        CPU_ZERO(&made.cpus); // workers are then left unpinned, and say so
    }
    sb_clock_start();
    made.started_ns = sb_now_ns();
    *runner = made;
    return 0;
}

void sb_runner_end(struct sb_runner *runner)
{
    sb_environment_free(runner->environment);
    free(runner->workers);
    sb_timeline_free(&runner->timeline);
    for (uint32_t op = 0; op < SB_OPS; op++) {
        free(runner->hist[op]);
    }
    memset(runner, 0, sizeof *runner);
}

bool sb_runner_stopped(const struct sb_runner *runner)
{
    return runner->stop && *runner->stop;
}

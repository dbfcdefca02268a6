// SPDX-License-Identifier: MIT
// One trial, seen from the coordinator.
//
// Built on: trial.h, processes.h, segment.h, watchdog.h, barrier.h.
// Units: ns. Concurrency: one thread; the workers' slots are read after a barrier,
// their
//   counters relaxed at any time.
// Why this way: every exit passes through one clean-up: workers killed and reaped, the
//   segment's name removed, descriptors closed.
#include "harness/run/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/run/barrier.h"
#include "harness/run/gather.h"
#include "harness/run/processes.h"
#include "harness/run/sizing.h"
#include "harness/run/watchdog.h"

enum { TICK_NS = 100000000 }; // between two looks of the watchdog

enum verdict {
    VERDICT_GOOD,
    VERDICT_FAILED,
    VERDICT_HUNG,
    VERDICT_OVER,
    VERDICT_STOPPED,
};

struct trial {
    struct sb_runner *runner;
    const struct sb_trial_spec *spec;
    const struct sb_arm *arm;
    struct sb_control *control;
    int control_fd, event_fd;
    struct sb_segment segment;
    struct sb_processes processes;
    struct sb_watchdog watchdog;
    struct sb_memory memory;
    struct sb_outcome *outcome;
    unsigned arrivals; // expected so far
};

static int fd_raise(int fd)
{
    if (fd < 0) {
        return -errno;
    }
    int high = fcntl(fd, F_DUPFD_CLOEXEC, SB_SEGMENT_FD + 1);
    int rc = high < 0 ? -errno : high;
    close(fd);
    return rc;
}

// Options as lines of text. -E2BIG when they do not fit.
static int options_write(const struct sb_option *table, const void *values, char *text,
                         size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct sb_option *row = table; row && row->name && values; row++) {
        char value[64];
        sb_option_text(row, values, value, sizeof value);
        used +=
            (size_t)snprintf(text + used, bytes - used, "%s=%s\n", row->name, value);
        if (used >= bytes) {
            return -E2BIG;
        }
    }
    return 0;
}

static int control_map(struct trial *trial, uint64_t shared_bytes)
{
    uint32_t workers = trial->spec->cell->workers;
    uint64_t slots = (sizeof(struct sb_control) + 4095) & ~UINT64_C(4095);
    uint64_t shared = slots + workers * sizeof(struct sb_slot);
    shared = (shared + 4095) & ~UINT64_C(4095);
    uint64_t bytes = (shared + shared_bytes + 4095) & ~UINT64_C(4095);
    trial->control_fd = fd_raise(memfd_create("shmbench-control", MFD_CLOEXEC));
    if (trial->control_fd < 0) {
        return trial->control_fd;
    }
    if (ftruncate(trial->control_fd, (off_t)bytes) != 0) {
        return -errno;
    }
    void *map =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, trial->control_fd, 0);
    if (map == MAP_FAILED) {
        return -errno;
    }
    trial->control = map;
    trial->control->bytes = bytes;
    trial->control->slots_offset = slots;
    trial->control->shared_offset = shared;
    trial->control->shared_bytes = shared_bytes;
    return 0;
}

static int control_fill(struct trial *trial)
{
    const struct sb_trial_spec *spec = trial->spec;
    const struct sb_cell *cell = spec->cell;
    const struct sb_workload *workload = cell->workload;
    const struct sb_settings *settings = &trial->runner->plan->settings;
    struct sb_control *control = trial->control;
    control->version = SB_CONTROL_VERSION;
    control->slot_bytes = sizeof(struct sb_slot);
    control->coordinator = getpid();
    control->clock = sb_clock;
    snprintf(control->subject, sizeof control->subject, "%s", trial->arm->source);
    snprintf(control->workload, sizeof control->workload, "%s", workload->name);
    snprintf(control->segment_path, sizeof control->segment_path, "%s",
             trial->segment.path);
    snprintf(control->segment_name, sizeof control->segment_name, "%s",
             trial->segment.name);
    control->segment_bytes = trial->segment.bytes;
    control->medium = trial->segment.medium;
    control->workers = cell->workers;
    control->threads = settings->as == SB_AS_THREADS;
    control->timed = spec->timed;
    control->verify = settings->verify;
    control->seed = spec->seed;
    control->steps = spec->steps;
    control->cpus = trial->runner->cpus;
    int rc = options_write(workload->options, cell->options, control->workload_options,
                           sizeof control->workload_options);
    if (rc == 0) {
        rc = options_write(trial->arm->subject->options, trial->arm->options,
                           control->subject_options, sizeof control->subject_options);
    }
    return rc;
}

static int workers_start(struct trial *trial)
{
    uint32_t count = trial->control->threads ? 1 : trial->control->workers;
    for (uint32_t i = 0; i < count; i++) {
        int rc = sb_processes_start(&trial->processes, trial->runner->worker_path,
                                    trial->runner->environment, trial->control_fd,
                                    trial->event_fd, trial->segment.fd);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

// Has a worker failed or died? *last: deaths without a complaint are expected.
static bool failure_seen(struct trial *trial, bool last)
{
    if (atomic_load_explicit(&trial->control->failed, memory_order_acquire)) {
        return true;
    }
    for (uint32_t i = 0; i < trial->processes.count; i++) {
        const struct sb_process *process = &trial->processes.all[i];
        if (process->reaped && !(last && process->status == 0)) {
            return true;
        }
    }
    return false;
}

// Waits until all workers are through with `phase` (SB_PHASES: until all have ended).
static enum verdict await(struct trial *trial, unsigned phase)
{
    bool last = phase == SB_PHASES,
         sampled = phase == SB_PHASE_STEP && trial->spec->timed;
    uint64_t limit_ns = phase == SB_PHASE_STEP ? trial->spec->limit_ns : 0;
    uint64_t began = sb_now_ns(), looked = began;
    if (!last) {
        trial->arrivals += trial->control->workers;
    }
    for (;;) {
        unsigned arrived =
            atomic_load_explicit(&trial->control->arrived, memory_order_acquire);
        if (!last && arrived >= trial->arrivals) {
            return VERDICT_GOOD;
        }
        uint64_t tick_ns = sampled ? trial->memory.interval_ns : TICK_NS;
        uint32_t alive = sb_processes_wait(&trial->processes, trial->event_fd, tick_ns);
        if (sb_runner_stopped(trial->runner)) {
            return VERDICT_STOPPED;
        }
        if (failure_seen(trial, last || (phase == SB_PHASE_DESTROY))) {
            return VERDICT_FAILED;
        }
        if (last && alive == 0) {
            return VERDICT_GOOD;
        }
        if (sampled) {
            sb_memory_sample(&trial->memory, trial->control, &trial->segment);
        }
        uint64_t now = sb_now_ns();
        if (limit_ns && now - began > limit_ns) {
            return VERDICT_OVER;
        }
        if (now - looked >= TICK_NS / 2) {
            looked = now;
            if (sb_watchdog_expired(&trial->watchdog)) {
                return VERDICT_HUNG;
            }
        }
    }
}

static enum verdict conduct(struct trial *trial)
{
    const struct sb_settings *settings = &trial->runner->plan->settings;
    sb_watchdog_start(&trial->watchdog, trial->control, settings->timeout_ns,
                      10 * settings->timeout_ns + 20 * settings->trial_ns);
    for (unsigned phase = 0; phase < SB_PHASES; phase++) {
        if (!sb_phase_used(trial->control, phase)) {
            continue;
        }
        sb_barrier_open(trial->control, phase);
        enum verdict verdict = await(trial, phase);
        if (verdict != VERDICT_GOOD) {
            return verdict;
        }
        if (phase == SB_PHASE_STEP) {
            sb_gather_steps(trial->outcome, trial->control, &trial->segment,
                            trial->runner);
            sb_memory_finish(&trial->memory, trial->control, &trial->segment,
                             trial->outcome);
        } else if (phase == SB_PHASE_USAGE) {
            sb_gather_usage(trial->outcome, trial->control);
        } else if (phase == SB_PHASE_VERIFY) {
            sb_gather_verify(trial->outcome, trial->control);
        }
    }
    return await(trial, SB_PHASES);
}

static void cause_of_death(struct trial *trial, char *text, size_t bytes)
{
    for (uint32_t i = 0; i < trial->processes.count; i++) {
        const struct sb_process *process = &trial->processes.all[i];
        if (!process->reaped || process->status == 0) {
            continue;
        }
        char where[400];
        if (trial->control->threads) {
            sb_watchdog_describe(trial->control, where, sizeof where);
        } else {
            sb_watchdog_where(trial->control, i, where, sizeof where);
        }
        char who[64];
        if (trial->control->threads) {
            snprintf(who, sizeof who, "the workers' process");
        } else {
            snprintf(who, sizeof who, "worker %u", i);
        }
        if (WIFSIGNALED(process->status)) {
            int number = WTERMSIG(process->status);
            const char *name = sigabbrev_np(number);
            snprintf(text, bytes, "%s was killed by SIG%s %.360s%s", who,
                     name ? name : "?", where,
                     number == SIGBUS ? " (is the segment's medium full?)" : "");
        } else {
            snprintf(text, bytes, "%s ended with exit status %d %s", who,
                     WEXITSTATUS(process->status), where);
        }
        return;
    }
    snprintf(text, bytes, "a worker ended before the trial did");
}

static void blame(struct trial *trial, enum verdict verdict)
{
    struct sb_outcome *outcome = trial->outcome;
    char text[sizeof outcome->detail];
    outcome->status = SB_FAILED;
    unsigned failed =
        atomic_load_explicit(&trial->control->failed, memory_order_acquire);
    if (verdict == VERDICT_HUNG) {
        outcome->status = SB_HUNG;
        sb_watchdog_describe(trial->control, text, sizeof text);
        snprintf(outcome->detail, sizeof outcome->detail, "no progress: %.490s", text);
    } else if (verdict == VERDICT_OVER) {
        outcome->status = SB_NA;
        sb_watchdog_describe(trial->control, text, sizeof text);
        snprintf(outcome->detail, sizeof outcome->detail,
                 "too slow: after %.1f s %.480s", (double)trial->spec->limit_ns * 1e-9,
                 text);
    } else if (failed) {
        const struct sb_slot *slot = sb_control_slot(trial->control, failed - 1);
        outcome->incorrect = slot->incorrect;
        snprintf(outcome->detail, sizeof outcome->detail, "worker %u: %.490s",
                 failed - 1, slot->error);
    } else {
        cause_of_death(trial, outcome->detail, sizeof outcome->detail);
    }
}

static int set_up(struct trial *trial, struct sb_error *error)
{
    const struct sb_cell *cell = trial->spec->cell;
    uint64_t live_bytes, segment_bytes, shared_bytes;
    sb_cell_sizes(trial->runner->plan, cell, trial->spec->steps, &live_bytes,
                  &segment_bytes, &shared_bytes);
    int rc = sb_segment_prepare(&trial->segment, trial->arm->medium, segment_bytes,
                                live_bytes, trial->runner->trials, error);
    if (rc == -ENOSPC) {
        trial->outcome->status = SB_NA; // this machine has no room for it
        snprintf(trial->outcome->detail, sizeof trial->outcome->detail, "%s",
                 error->text);
        return 1;
    }
    if (rc != 0) {
        return rc;
    }
    trial->outcome->segment_bytes =
        trial->arm->medium ? trial->segment.bytes : UINT64_C(0);
    rc = control_map(trial, shared_bytes);
    if (rc == 0) {
        trial->event_fd = fd_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        rc = trial->event_fd < 0 ? trial->event_fd : control_fill(trial);
    }
    if (rc == 0) {
        sb_memory_start(&trial->memory, trial->runner);
        rc = workers_start(trial);
    }
    return rc != 0
               ? sb_fail(error, rc, "a trial could not be started: %s", strerror(-rc))
               : 0;
}

static void tear_down(struct trial *trial)
{
    if (trial->control) {
        sb_barrier_cancel(trial->control);
    }
    sb_processes_end(&trial->processes);
    sb_segment_remove(&trial->segment);
    if (trial->control) {
        munmap(trial->control, trial->control->bytes);
    }
    if (trial->event_fd >= 0) {
        close(trial->event_fd);
    }
    if (trial->control_fd >= 0) {
        close(trial->control_fd);
    }
}

int sb_trial_run(struct sb_runner *runner, const struct sb_trial_spec *spec,
                 struct sb_outcome *outcome, bool *over, struct sb_error *error)
{
    static struct trial trial; // the process table alone is 6 KiB
    trial = (struct trial){
        .runner = runner,
        .spec = spec,
        .arm = &runner->plan->arms[spec->arm],
        .control_fd = -1,
        .event_fd = -1,
        .segment = {.fd = -1},
        .outcome = outcome,
    };
    uint64_t began = sb_now_ns();
    sb_outcome_init(outcome, runner, spec);
    sb_covariates_read(&outcome->covariates);
    struct sb_covariates before = outcome->covariates;
    enum verdict verdict = VERDICT_GOOD;
    int rc = set_up(&trial, error);
    if (rc == 0) {
        verdict = conduct(&trial);
        if (verdict == VERDICT_STOPPED) {
            rc = sb_fail(error, -EINTR, "stopped");
        } else if (verdict != VERDICT_GOOD) {
            blame(&trial, verdict);
        }
    }
    tear_down(&trial);
    sb_covariates_read(&outcome->covariates);
    sb_covariates_since(&before, &outcome->covariates);
    outcome->total_ns = sb_now_ns() - began;
    runner->trials++;
    if (over) {
        *over = verdict == VERDICT_OVER;
    }
    return rc < 0 ? rc : 0;
}

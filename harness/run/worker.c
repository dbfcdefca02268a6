// SPDX-License-Identifier: MIT
// The worker's side of a trial: phases, slices of steps, and how a failure is told.
//
// Built on: control.h, barrier.h, workloads/workload.h, allocator/subjects/subjects.h.
// Units: steps. Concurrency: one struct task a worker (a process's only thread, or one
//   of n threads); tasks of a process share the struct host, whose heap is written by
//   one of them and read by the others after a barrier.
// Why this way: whatever goes wrong ends the whole process at once, with the reason in
//   the control segment: the memory of a trial is worth nothing once it failed, and the
//   coordinator removes the segment's name.
#include "harness/run/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocator/subjects/subjects.h"
#include "harness/base/random.h"
#include "harness/run/barrier.h"
#include "workloads/workloads.h"

enum {
    SLICE_STEPS_MOST = 1024, // between two looks at the cancel flag
    STAMP_SAMPLES = 4000,
};

struct host {
    struct sb_control *control;
    const struct sb_subject *subject;
    const struct sb_workload *workload;
    void *subject_options, *workload_options;
    struct sb_place place;
    struct sb_heap *heap;
};

struct task {
    struct host *host;
    struct sb_slot *slot;
    struct sb_worker worker;
    void *state;
    bool leader;  // opens and closes this process's heap
    bool creator; // and makes the segment
    pthread_t thread;
};

// Tells the coordinator and ends the process; what it holds dies with it.
_Noreturn static void give_up(struct task *task, int rc, const char *doing)
{
    struct sb_slot *slot = task->slot;
    struct sb_control *control = task->host->control;
    const char *why = task->worker.error.text;
    slot->incorrect = rc == -EBADMSG;
    snprintf(slot->error, sizeof slot->error, "%s: %.480s", doing,
             why[0] ? why : strerror(-rc));
    atomic_store_explicit(&slot->status, rc, memory_order_release);
    unsigned none = 0;
    atomic_compare_exchange_strong(&control->failed, &none, task->worker.index + 1);
    _exit(1); // wakes the coordinator through the pidfd
}

static int phase_create(struct task *task)
{
    struct host *host = task->host;
    if (!task->creator) {
        return 0;
    }
    int rc = host->subject->create(&host->place, host->subject_options, &host->heap);
    if (rc == -ENOMEM || rc == -ENOSPC) {
        sb_fail(&task->worker.error, rc,
                "a segment of %llu bytes is too small for %s (%s); set segment_bytes",
                (unsigned long long)host->place.bytes, host->subject->name,
                strerror(-rc));
    }
    return rc;
}

static int phase_attach(struct task *task)
{
    struct host *host = task->host;
    struct sb_worker *worker = &task->worker;
    if (task->leader && !task->creator) {
        int rc = host->subject->open(&host->place, host->subject_options, &host->heap);
        if (rc != 0) {
            return rc;
        }
    }
    worker->heap = host->heap;
    return host->subject->attach(host->heap, worker->index, &worker->ctx);
}

// What a stamp costs here, in the very code that the workloads' calls go through: the
// median distance of chained stamps with nothing between them.
static double stamp_cost_ns(void)
{
    struct sb_record *scratch = calloc(1, sizeof *scratch);
    if (!scratch) {
        return 0;
    }
    struct sb_recorder recorder = {.record = scratch, .timed = true};
    uint64_t median = 0;
    for (uint32_t pass = 0; pass < 2; pass++) { // the first warms the slots
        memset(&scratch->hist[SB_OP_OTHER], 0, sizeof scratch->hist[SB_OP_OTHER]);
        sb_recorder_mark(&recorder);
        for (uint32_t i = 0; i < STAMP_SAMPLES; i++) {
            sb_recorder_end(&recorder, SB_OP_OTHER);
        }
        (void)sb_hist_quantile(&scratch->hist[SB_OP_OTHER], 0.5, &median);
    }
    free(scratch);
    return sb_ticks_ns(median);
}

static int phase_begin(struct task *task)
{
    struct sb_worker *worker = &task->worker;
    struct sb_record *record = &task->slot->record;
    if (task->host->control->timed) {
        // First touches of histogram pages would show as slow operations.
        for (size_t at = 0; at < sizeof record->hist; at += 4096) {
            ((volatile char *)record->hist)[at] = 0;
        }
        task->slot->stamp_ns = stamp_cost_ns();
    }
    // What begin does is counted (its blocks are live) but neither timed nor kept
    // among the operations.
    worker->recorder.timed = false;
    int rc = task->host->workload->begin(worker);
    memset(record->counters.ops, 0, sizeof record->counters.ops);
    record->counters.failures = 0;
    record->counters.steps = 0;
    worker->recorder.timed = task->host->control->timed;
    return rc;
}

static int phase_step(struct task *task)
{
    const struct sb_workload *workload = task->host->workload;
    struct sb_worker *worker = &task->worker;
    struct sb_record *record = &task->slot->record;
    uint64_t steps = worker->steps, slice_most = steps / 64;
    if (slice_most > SLICE_STEPS_MOST) {
        slice_most = SLICE_STEPS_MOST;
    }
    struct sb_self_covariates before;
    sb_self_covariates_read(&before);
    int rc = sb_barrier_start(task->host->control);
    if (rc != 0) {
        return rc;
    }
    record->start_ticks = sb_ticks();
    worker->recorder.last_ticks = record->start_ticks;
    // Slices double from one, so that even a trial of few slow steps has a pulse.
    for (uint64_t first = 0, slice = 1; first < steps;) {
        uint64_t count = slice < steps - first ? slice : steps - first;
        rc = workload->step(worker, first, count);
        if (__builtin_expect(rc != 0, 0)) {
            break;
        }
        first += count;
        __atomic_store_n(&record->counters.steps, first, __ATOMIC_RELAXED);
        slice = slice * 2 <= slice_most ? slice * 2 : slice;
        if (__builtin_expect(sb_cancelled(worker), 0)) {
            rc = -ECANCELED;
            break;
        }
    }
    record->end_ticks = sb_ticks();
    sb_self_covariates_read(&task->slot->covariates);
    sb_self_covariates_since(&before, &task->slot->covariates);
    // end and verify go through the same calls: their work is not the trial's.
    worker->recorder.timed = false;
    return rc;
}

static int phase_usage(struct task *task)
{
    return task->creator
               ? task->host->subject->usage(task->host->heap, &task->slot->usage)
               : 0;
}

static int phase_verify(struct task *task)
{
    return task->host->workload->verify(&task->worker);
}

static int phase_check(struct task *task)
{
    const struct sb_subject *subject = task->host->subject;
    if (!task->creator || !subject->check) {
        return 0;
    }
    struct sb_error *error = &task->worker.error;
    int rc = subject->check(task->host->heap, error->text, sizeof error->text);
    if (rc == 0) {
        error->text[0] = '\0';
    }
    return rc;
}

static int phase_end(struct task *task)
{
    task->host->workload->end(&task->worker);
    return 0;
}

static int phase_detach(struct task *task)
{
    struct host *host = task->host;
    host->subject->detach(task->worker.ctx);
    if (task->leader && !task->creator) {
        return host->subject->destroy(host->heap);
    }
    return 0;
}

static int phase_destroy(struct task *task)
{
    return task->creator ? task->host->subject->destroy(task->host->heap) : 0;
}

static int (*const phases[SB_PHASES])(struct task *task) = {
    phase_create, phase_attach, phase_begin, phase_step,   phase_usage,
    phase_verify, phase_check,  phase_end,   phase_detach, phase_destroy,
};

static void pin(struct task *task)
{
    const cpu_set_t *allowed = &task->host->control->cpus;
    int count = CPU_COUNT(allowed);
    task->slot->cpu = -1;
    if (count == 0) {
        return;
    }
    int nth = (int)task->worker.index % count;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && nth-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            if (sched_setaffinity(0, sizeof one, &one) == 0) {
                task->slot->cpu = (int32_t)cpu;
            }
            return;
        }
    }
}

static void *task_run(void *argument)
{
    struct task *task = argument;
    struct sb_control *control = task->host->control;
    pin(task);
    for (unsigned phase = 0; phase < SB_PHASES; phase++) {
        if (!sb_phase_used(control, phase)) {
            continue;
        }
        if (sb_barrier_enter(control, phase) != 0) {
            _exit(1);
        }
        atomic_store_explicit(&task->slot->phase, phase, memory_order_relaxed);
        int rc = phases[phase](task);
        if (rc == -ECANCELED && sb_cancelled(&task->worker)) {
            _exit(1);
        }
        if (rc != 0) {
            give_up(task, rc, sb_phase_names[phase]);
        }
        sb_barrier_arrive(control, SB_EVENT_FD);
    }
    return NULL;
}

// "key=value" lines into a struct of values.
static int parse_options(const struct sb_option *table, size_t bytes,
                         const char *shared_lines, void **values,
                         struct sb_error *error)
{
    char lines[sizeof((struct sb_control *)NULL)->workload_options];
    snprintf(lines, sizeof lines, "%s", shared_lines);
    *values = NULL;
    if (!table) {
        return 0;
    }
    *values = calloc(1, bytes);
    if (!*values) {
        return sb_fail(error, -ENOMEM, "no memory for options");
    }
    sb_options_default(table, *values);
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        if (!equals) {
            return sb_fail(error, -EINVAL, "option '%s' has no value", line);
        }
        *equals = '\0';
        int rc = sb_option_set(table, *values, line, equals + 1, error);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int find_parts(struct host *host, const struct sb_worker_extra *extra,
                      struct sb_error *error)
{
    struct sb_control *control = host->control;
    for (size_t i = 0; extra && extra->subjects && extra->subjects[i]; i++) {
        if (strcmp(extra->subjects[i]->name, control->subject) == 0) {
            host->subject = extra->subjects[i];
        }
    }
    for (size_t i = 0; extra && extra->workloads && extra->workloads[i]; i++) {
        if (strcmp(extra->workloads[i]->name, control->workload) == 0) {
            host->workload = extra->workloads[i];
        }
    }
    int rc = 0;
    if (!host->subject) {
        rc = sb_subject_find(control->subject, &host->subject, error);
    }
    if (rc == 0 && !host->workload) {
        rc = sb_workload_find(control->workload, &host->workload, error);
    }
    if (rc == 0) {
        rc = parse_options(host->subject->options, host->subject->options_bytes,
                           control->subject_options, &host->subject_options, error);
    }
    if (rc == 0) {
        rc = parse_options(host->workload->options, host->workload->options_bytes,
                           control->workload_options, &host->workload_options, error);
    }
    host->place = (struct sb_place){
        .medium = control->medium,
        .path = control->segment_path,
        .name = control->segment_name,
        .bytes = control->segment_bytes,
        .workers = control->workers,
        .threads = control->threads,
    };
    return rc;
}

static int task_init(struct task *task, struct host *host, uint32_t index)
{
    struct sb_control *control = host->control;
    const struct sb_subject *subject = host->subject;
    task->host = host;
    task->slot = sb_control_slot(control, index);
    task->leader = !control->threads || index == 0;
    task->creator =
        index == 0 || (task->leader && (subject->capabilities & SB_CAP_PRIVATE));
    size_t bytes = host->workload->state_bytes;
    task->state = bytes ? calloc(1, bytes) : NULL;
    task->worker = (struct sb_worker){
        .subject = subject,
        .recorder = {.record = &task->slot->record},
        .pins = (subject->capabilities & SB_CAP_PIN) != 0,
        .verify = control->verify,
        .index = index,
        .workers = control->workers,
        .seed = sb_random_derive(control->seed, index),
        .steps = control->steps,
        .options = host->workload_options,
        .state = task->state,
        .shared = sb_control_shared(control),
        .cancelled = &control->cancelled,
    };
    return bytes && !task->state ? -ENOMEM : 0;
}

static int run_tasks(struct host *host, uint32_t index)
{
    struct sb_control *control = host->control;
    uint32_t count = control->threads ? control->workers : 1;
    struct task *tasks = calloc(count, sizeof *tasks);
    if (!tasks) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        int rc = task_init(&tasks[i], host, index + i);
        if (rc == 0 && i > 0) {
            rc = -pthread_create(&tasks[i].thread, NULL, task_run, &tasks[i]);
        }
        if (rc != 0) {
            give_up(&tasks[i], rc, "start");
        }
    }
    task_run(&tasks[0]);
    for (uint32_t i = 1; i < count; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        free(tasks[i].state);
    }
    free(tasks);
    return 0;
}

static struct sb_control *map_control(void)
{
    struct stat file;
    if (fstat(SB_CONTROL_FD, &file) != 0 ||
        (size_t)file.st_size < sizeof(struct sb_control)) {
        return NULL;
    }
    struct sb_control *control =
        mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
             SB_CONTROL_FD, 0);
    if (control == MAP_FAILED) {
        return NULL;
    }
    if (control->version != SB_CONTROL_VERSION ||
        control->slot_bytes != sizeof(struct sb_slot) ||
        control->bytes != (uint64_t)file.st_size) {
        return NULL;
    }
    return control;
}

int sb_worker_main(int argc, char **argv, const struct sb_worker_extra *extra)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sb_control *control = map_control();
    // The parent may have died before the line above took effect.
    if (!control || getppid() != control->coordinator || argc != 2) {
        static const char text[] =
            "shmbench-worker: started by shmbench alone, for one trial\n";
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        return 2;
    }
    uint32_t index = (uint32_t)strtoul(argv[1], NULL, 10);
    sb_clock_adopt(&control->clock);
    struct host host = {.control = control};
    struct task failing = {
        .host = &host,
        .slot = sb_control_slot(control, index),
        .worker = {.index = index},
    };
    int rc = find_parts(&host, extra, &failing.worker.error);
    if (rc == 0) {
        rc = run_tasks(&host, index);
    }
    if (rc != 0) {
        give_up(&failing, rc, "start");
    }
    free(host.subject_options);
    free(host.workload_options);
    munmap(control, control->bytes);
    return 0;
}

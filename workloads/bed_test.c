// SPDX-License-Identifier: MIT
// The test bed: see bed.h.
//
// Built on: bed.h. Concurrency: a thread a worker; a barrier between the phases.
#include "workloads/bed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/random.h"

_Thread_local bool bed_stepping;

struct bed {
    const struct bed_setup *setup;
    struct bed_result *result;
    struct sb_heap *heap;
    struct sb_worker workers[BED_WORKERS_MOST];
    pthread_barrier_t barrier;
    pthread_mutex_t mutex; // guards result
    atomic_uint cancelled;
};

struct seat {
    struct bed *bed;
    uint32_t index;
};

static void keep(struct bed *bed, const struct sb_worker *worker, int rc,
                 const char *phase)
{
    if (rc == 0 || rc == -ECANCELED) {
        return;
    }
    pthread_mutex_lock(&bed->mutex);
    if (bed->result->rc == 0) {
        bed->result->rc = rc;
        bed->result->phase = phase;
        bed->result->error = worker->error;
    }
    pthread_mutex_unlock(&bed->mutex);
    atomic_store(&bed->cancelled, 1);
}

static int step_all(struct sb_worker *worker, const struct sb_workload *workload)
{
    // Uneven slices: a workload may not depend on how its steps are cut.
    int rc = 0;
    for (uint64_t first = 0, slice = 1 + worker->index;
         rc == 0 && first < worker->steps; slice = slice * 2 % 1021) {
        uint64_t count = slice < worker->steps - first ? slice : worker->steps - first;
        bed_stepping = true;
        rc = workload->step(worker, first, count);
        bed_stepping = false;
        first += count;
        worker->recorder.record->counters.steps += count;
        if (rc == 0 && sb_cancelled(worker)) {
            rc = -ECANCELED;
        }
    }
    return rc;
}

static void add_up(struct bed *bed, const struct sb_record *record)
{
    struct sb_counters *into = &bed->result->counters;
    const struct sb_counters *from = &record->counters;
    pthread_mutex_lock(&bed->mutex);
    into->steps += from->steps;
    into->failures += from->failures;
    into->requested_bytes += from->requested_bytes;
    into->allocated_bytes += from->allocated_bytes;
    into->verified_bytes += from->verified_bytes;
    for (uint32_t nth = 0; nth < SB_FIGURES_MOST; nth++) {
        if ((record->figures_set & 1u << nth) != 0) {
            bed->result->figures[nth] = record->figures[nth];
        }
    }
    bed->result->figures_set |= record->figures_set;
    for (uint32_t op = 0; op < SB_OPS; op++) {
        into->ops[op] += from->ops[op];
        const struct sb_hist *hist = &record->hist[op];
        bed->result->recorded[op] += hist->count;
        for (uint32_t slot = 0; sb_hist_next(hist, &slot) == 0; slot++) {
            bool slow = sb_ticks_ns(sb_hist_slot_most(slot)) > BED_SLOW_NS;
            bed->result->slow[op] += slow ? hist->slots[slot] : 0;
        }
    }
    pthread_mutex_unlock(&bed->mutex);
}

static void *work(void *argument)
{
    struct seat *seat = argument;
    struct bed *bed = seat->bed;
    const struct bed_setup *setup = bed->setup;
    struct sb_worker *worker = &bed->workers[seat->index];
    int rc = setup->subject->attach(bed->heap, seat->index, &worker->ctx);
    bool attached = rc == 0;
    keep(bed, worker, rc, "attach");
    pthread_barrier_wait(&bed->barrier);
    bool begun = atomic_load(&bed->cancelled) == 0;
    pthread_barrier_wait(&bed->barrier);
    if (begun) {
        keep(bed, worker, setup->workload->begin(worker), "begin");
        memset(worker->recorder.record->counters.ops, 0,
               sizeof worker->recorder.record->counters.ops);
        worker->recorder.record->counters.failures = 0;
    }
    pthread_barrier_wait(&bed->barrier);
    if (atomic_load(&bed->cancelled) == 0) {
        worker->recorder.timed = setup->timed;
        sb_recorder_mark(&worker->recorder);
        rc = step_all(worker, setup->workload);
        worker->recorder.timed = false;
        keep(bed, worker, rc, "step");
    }
    add_up(bed, worker->recorder.record);
    pthread_barrier_wait(&bed->barrier);
    if (seat->index == 0 && setup->spoil != NULL) {
        setup->spoil(bed->workers, setup->workers);
    }
    pthread_barrier_wait(&bed->barrier);
    bool stepped = atomic_load(&bed->cancelled) == 0;
    pthread_barrier_wait(&bed->barrier);
    if (stepped && setup->verify) {
        keep(bed, worker, setup->workload->verify(worker), "verify");
    }
    pthread_barrier_wait(&bed->barrier);
    if (begun) {
        setup->workload->end(worker);
    }
    pthread_barrier_wait(&bed->barrier);
    if (attached) {
        setup->subject->detach(worker->ctx);
    }
    return NULL;
}

static int parse(const struct bed_setup *setup, void *options, struct sb_error *error)
{
    if (setup->workload->options == NULL) {
        return 0;
    }
    sb_options_default(setup->workload->options, options);
    for (uint32_t i = 0; setup->sets[i] != NULL; i++) {
        char key[64];
        const char *equals = strchr(setup->sets[i], '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - setup->sets[i]),
                 setup->sets[i]);
        int rc =
            sb_option_set(setup->workload->options, options, key, equals + 1, error);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

// The subject's heap in a fresh memfd; its descriptor, or a negative errno.
static int make_heap(struct bed *bed, const void *options, char *path, size_t bytes)
{
    const struct bed_setup *setup = bed->setup;
    int file = memfd_create("workloads-test", MFD_CLOEXEC);
    if (file < 0) {
        return -errno;
    }
    snprintf(path, bytes, "/proc/self/fd/%d", file);
    uint64_t live = setup->workload->live_bytes(options, setup->workers, setup->steps);
    uint64_t segment = live * 2 + (UINT64_C(32) << 20);
    if (setup->workload->segment_bytes != NULL) {
        segment = setup->workload->segment_bytes(options, setup->workers, setup->steps);
    }
    struct sb_place place = {
        .medium = SB_MEMFD,
        .path = path,
        .name = "workloads-test",
        .bytes = setup->segment_bytes != 0 ? setup->segment_bytes : segment,
        .workers = setup->workers,
        .threads = true,
    };
    void *values = calloc(1, setup->subject->options_bytes + 1);
    if (setup->subject->options != NULL) {
        sb_options_default(setup->subject->options, values);
    }
    int rc = setup->subject->create(&place, values, &bed->heap);
    free(values);
    if (rc != 0) {
        close(file);
        return rc;
    }
    return file;
}

static void run_workers(struct bed *bed, const void *options, void *shared)
{
    const struct bed_setup *setup = bed->setup;
    pthread_t threads[BED_WORKERS_MOST];
    struct seat seats[BED_WORKERS_MOST];
    pthread_barrier_init(&bed->barrier, NULL, setup->workers);
    for (uint32_t i = 0; i < setup->workers; i++) {
        bed->workers[i] = (struct sb_worker){
            .subject = setup->subject,
            .heap = bed->heap,
            .recorder = {.record = calloc(1, sizeof(struct sb_record))},
            .pins = (setup->subject->capabilities & SB_CAP_PIN) != 0,
            .verify = setup->verify,
            .index = i,
            .workers = setup->workers,
            .seed = sb_random_derive(12345, i),
            .steps = setup->steps,
            .options = options,
            .state = calloc(1, setup->workload->state_bytes + 1),
            .shared = shared,
            .cancelled = &bed->cancelled,
        };
        seats[i] = (struct seat){bed, i};
    }
    for (uint32_t i = 0; i < setup->workers; i++) {
        pthread_create(&threads[i], NULL, work, &seats[i]);
    }
    for (uint32_t i = 0; i < setup->workers; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < setup->workers; i++) {
        free(bed->workers[i].recorder.record);
        free(bed->workers[i].state);
    }
    pthread_barrier_destroy(&bed->barrier);
}

void bed_run(const struct bed_setup *setup, struct bed_result *result)
{
    *result = (struct bed_result){0};
    struct bed bed = {
        .setup = setup, .result = result, .mutex = PTHREAD_MUTEX_INITIALIZER};
    void *options = calloc(1, setup->workload->options_bytes + 1);
    char path[64];
    result->rc = parse(setup, options, &result->error);
    int file = result->rc == 0 ? make_heap(&bed, options, path, sizeof path) : -1;
    if (file < 0) {
        result->rc = result->rc != 0 ? result->rc : file;
        result->phase = "create";
        free(options);
        return;
    }
    size_t bytes =
        setup->workload->shared_bytes == NULL
            ? 0
            : setup->workload->shared_bytes(options, setup->workers, setup->steps);
    size_t rounded = (bytes + 4095) & ~(size_t)4095;
    // The last byte of what was asked for ends a page, and the next page is none: a
    // workload that asks for too little is caught here.
    unsigned char *pages = mmap(NULL, rounded + 4096, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + rounded, 4096, PROT_NONE);
    size_t start = (rounded - bytes) & ~(size_t)63;
    run_workers(&bed, options, pages + start);
    setup->subject->destroy(bed.heap);
    munmap(pages, rounded + 4096);
    close(file);
    free(options);
}

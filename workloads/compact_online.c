// SPDX-License-Identifier: MIT
// compact_online: workers serve requests that come when they come, while one compacts.
//
// Built on: content.h, tables.h. Units: bytes; a step is one request, in each of the
// serving workers; the compacting one keeps pace with the slowest of them.
// Concurrency: worker 0 compacts without a pause (compaction=off: waits as busily, so
// that the machine is equally loaded); each of the others has its own blocks on the one
// heap, which worker 0 moves under it.
// Why this way: requests arrive by a schedule (open loop) that a stall does not stop.
// Service time runs from the start of the work, response time from the moment at which
// it was to start: a pause is charged to all the requests that it delayed (coordinated
// omission). A write fills an empty slot or empties a filled one, so about half of them
// is filled, spans are never full, and compaction always finds something to do.
// Source: open-loop load as in wrk2 and Schroeder et al. 2006, 'Open versus closed';
// service while compacting as in the pause studies of concurrent collectors.
#include "workloads/content.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

enum { CHUNKS = 9, CHUNK = 512 }; // of requests, to measure the capacity
enum { READ = 1u << 31 };         // beside a place
enum { RATE };
enum arrivals { ARRIVALS_POISSON, ARRIVALS_FIXED };

struct options {
    uint64_t least_bytes, most_bytes, slots, rate, budget_bytes;
    double reads, load;
    uint32_t arrivals;
    bool compaction;
};

static const char *const arrivals[] = {"poisson", "fixed", NULL};

static const struct sb_option option_rows[] = {
    {"least", "smallest block", SB_BYTES, offsetof(struct options, least_bytes), "16",
     8, 64u << 20, NULL, SB_FIXED},
    {"most", "largest block, log-uniform (below the smallest: all blocks are alike)",
     SB_BYTES, offsetof(struct options, most_bytes), "8192", 8, 64u << 20, NULL,
     SB_FIXED},
    {"slots", "for blocks, per serving worker; about half of them are filled", SB_COUNT,
     offsetof(struct options, slots), "20000", 2, 10e6, NULL, SB_FIXED},
    {"reads", "share of the requests that read a block; the others allocate or free",
     SB_RATIO, offsetof(struct options, reads), "0.5", 0, 1, NULL, SB_FIXED},
    {"load", "rate of requests, over what the worker can do without a pause", SB_RATIO,
     offsetof(struct options, load), "0.7", 0.01, 2, NULL, SB_FIXED},
    {"rate", "requests a second and serving worker (0: by load)", SB_COUNT,
     offsetof(struct options, rate), "0", 0, 100e6, NULL, SB_FIXED},
    {"arrivals", "at random (exponential gaps) or at even distances", SB_CHOICE,
     offsetof(struct options, arrivals), "poisson", 0, 0, arrivals, SB_FIXED},
    {"compaction", "does worker 0 compact, or only wait", SB_FLAG,
     offsetof(struct options, compaction), "on", 0, 0, NULL, SB_FIXED},
    {"budget", "bytes moved a call of compact (0: no bound)", SB_BYTES,
     offsetof(struct options, budget_bytes), "0", 0, 1u << 30, NULL, SB_FIXED},
    {0},
};

// In the harness's shared memory, one for each worker. Written by its worker after each
// of its step calls (release), read by worker 0 between calls of compact.
struct pace {
    _Alignas(64) _Atomic uint64_t steps;
};

struct slot {
    sb_ref block; // zero: empty
    uint32_t bytes, sequence;
};

struct state {
    struct slot *slots;
    struct sb_table places, sizes, gaps;
    struct sb_schedule schedule;
    uint64_t count, requests, done;
};

static uint64_t base_of(const struct sb_worker *worker, const struct slot *slot)
{
    return sb_content_base(worker->index, slot->sequence, slot->bytes);
}

// Frees what is in the slot, or fills it.
static inline int write_slot(struct sb_worker *worker, struct slot *slot, bool verify)
{
    struct state *state = worker->state;
    if (slot->block.bits != 0) {
        int rc = verify ? sb_block_check(worker, slot->block, slot->bytes,
                                         base_of(worker, slot), "slot",
                                         (uint64_t)(slot - state->slots))
                        : 0;
        rc = rc == 0 ? sb_free(worker, slot->block, slot->bytes) : rc;
        slot->block.bits = rc == 0 ? 0 : slot->block.bits;
        return rc;
    }
    uint32_t bytes = sb_table_rotated_at(&state->sizes, state->requests);
    sb_ref block;
    int rc = sb_alloc(worker, bytes, &block);
    if (__builtin_expect(rc != 0, 0)) {
        return sb_is_full(rc) ? 0 : sb_alloc_failed(worker, rc, bytes);
    }
    *slot = (struct slot){block, bytes, (uint32_t)state->requests};
    uint64_t base = base_of(worker, slot);
    if (verify) {
        rc = sb_block_fill(worker, block, bytes, base);
        sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
        return rc;
    }
    return sb_block_touch(worker, block, base);
}

static inline int read_slot(struct sb_worker *worker, const struct slot *slot,
                            bool verify)
{
    const struct state *state = worker->state;
    uint64_t found = 0, which = (uint64_t)(slot - state->slots);
    if (verify) {
        int rc = sb_block_check(worker, slot->block, slot->bytes, base_of(worker, slot),
                                "slot", which);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = sb_block_look(worker, slot->block, &found);
    if (__builtin_expect(rc == 0 && found != base_of(worker, slot), 0)) {
        return sb_fail(&worker->error, -EBADMSG,
                       "slot %llu reads 0x%llx, expected 0x%llx",
                       (unsigned long long)which, (unsigned long long)found,
                       (unsigned long long)base_of(worker, slot));
    }
    return rc;
}

// Serves the next request, once it is due.
static inline int serve(struct sb_worker *worker, bool verify)
{
    struct state *state = worker->state;
    uint32_t entry = sb_table_at(&state->places, state->requests);
    uint64_t intended;
    int rc = sb_schedule_await(worker, &state->schedule,
                               sb_table_rotated_at(&state->gaps, state->requests),
                               &intended);
    if (__builtin_expect(rc != 0, 0)) {
        return rc;
    }
    struct slot *slot = &state->slots[entry & ~READ];
    if ((entry & READ) != 0) {
        struct slot *past = state->slots + state->count;
        for (uint64_t tries = 0; slot->block.bits == 0 && tries < state->count;
             tries++) {
            slot = slot + 1 < past ? slot + 1 : state->slots;
        }
    }
    bool reads = (entry & READ) != 0 && slot->block.bits != 0;
    rc = reads ? read_slot(worker, slot, verify) : write_slot(worker, slot, verify);
    if (__builtin_expect(rc != 0, 0)) {
        return rc;
    }
    state->requests++;
    sb_recorder_respond(&worker->recorder, intended);
    return 0;
}

static int draw(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    state->count = options->slots;
    state->slots = sb_pages_map(state->count * sizeof *state->slots);
    int rc = state->slots == NULL ? -ENOMEM : 0;
    rc = rc == 0 ? sb_table_draw_places(&state->places, &random, state->count) : rc;
    rc = rc == 0 ? sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                       options->most_bytes)
                 : rc;
    bool even = options->arrivals == ARRIVALS_FIXED;
    rc = rc == 0 ? sb_table_draw_gaps(&state->gaps, &random, !even) : rc;
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no memory for the tables");
    }
    for (uint32_t i = 0; i < SB_TABLE_LENGTH; i++) {
        bool read = sb_random_unit(&random) < options->reads;
        state->places.entries[i] |= read ? READ : 0;
    }
    for (uint64_t i = 0; i < state->count; i++) {
        if (sb_random_below(&random, 2) == 0) {
            continue;
        }
        struct slot *slot = &state->slots[i];
        uint32_t bytes = sb_table_rotated_at(&state->sizes, i);
        sb_ref block;
        rc = sb_prepare_alloc(worker, bytes, &block);
        if (rc == 0) {
            *slot = (struct slot){block, bytes, (uint32_t)i};
            rc = sb_block_fill(worker, block, bytes, base_of(worker, slot));
        }
        if (rc != 0) {
            return sb_fail_in(&worker->error, rc, "filling slot %llu of %llu",
                              (unsigned long long)i, (unsigned long long)state->count);
        }
    }
    return 0;
}

// The time that a request takes when the next is always due: the median of some chunks.
static int capacity(struct sb_worker *worker, uint64_t *ticks)
{
    uint64_t chunks[CHUNKS];
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint64_t start = sb_ticks();
        for (uint32_t k = 0; k < CHUNK; k++) {
            int rc = sb_verifies(worker) ? serve(worker, true) : serve(worker, false);
            if (rc != 0) {
                return sb_fail_in(&worker->error, rc, "measuring the capacity");
            }
        }
        uint64_t took = sb_ticks() - start;
        uint32_t place = i; // sorted in
        for (; place > 0 && chunks[place - 1] > took; place--) {
            chunks[place] = chunks[place - 1];
        }
        chunks[place] = took;
    }
    *ticks = chunks[CHUNKS / 2] / CHUNK;
    return 0;
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    if (worker->index == 0) {
        return 0;
    }
    int rc = draw(worker);
    double gap = 0;
    if (rc == 0 && options->rate == 0) {
        uint64_t ticks = 0;
        rc = capacity(worker, &ticks); // with a schedule of no gaps, long overdue
        gap = (double)ticks / options->load;
    } else if (rc == 0) {
        gap = 1e9 / (double)options->rate / sb_clock.ns_per_tick;
    }
    if (rc != 0) {
        return rc;
    }
    state->schedule.gap_ticks = gap > 1 ? (uint64_t)gap : 1;
    if (worker->index == 1) {
        sb_figure_set(&worker->recorder, RATE,
                      1e9 / ((double)state->schedule.gap_ticks * sb_clock.ns_per_tick));
    }
    return 0;
}

static uint64_t slowest(const struct sb_worker *worker)
{
    struct pace *pace = worker->shared;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 1; i < worker->workers; i++) {
        uint64_t steps = atomic_load_explicit(&pace[i].steps, memory_order_acquire);
        least = steps < least ? steps : least;
    }
    return least;
}

// Until all the others have done `steps`.
static int compact_beside(struct sb_worker *worker, uint64_t steps)
{
    const struct options *options = worker->options;
    uint64_t budget = options->budget_bytes != 0 ? options->budget_bytes : UINT64_MAX;
    uint32_t turns = 0;
    while (slowest(worker) < steps) {
        struct sb_compacted done = {0};
        if (sb_cancelled(worker)) {
            return -ECANCELED;
        }
        if (options->compaction) {
            sb_recorder_mark(&worker->recorder);
            int rc = worker->subject->compact(worker->ctx, budget, &done);
            if (rc != 0) {
                return sb_fail(&worker->error, rc, "compact was refused (errno %d)",
                               -rc);
            }
            sb_recorder_end(&worker->recorder, SB_OP_COMPACT);
        }
        int rc = done.moved_bytes == 0 ? sb_wait_turn(worker, &turns) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    struct state *state = worker->state;
    int rc = 0;
    if (worker->index == 0) {
        rc = compact_beside(worker, first + count);
        state->done += rc == 0 ? count : 0;
        return rc;
    }
    if (first == 0) {
        sb_schedule_start(&state->schedule);
    }
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = sb_verifies(worker) ? serve(worker, true) : serve(worker, false);
        state->done += rc == 0;
    }
    struct pace *pace = worker->shared;
    atomic_store_explicit(&pace[worker->index].steps, state->done,
                          memory_order_release);
    return rc;
}

static int verify(struct sb_worker *worker)
{
    const struct state *state = worker->state;
    uint64_t bytes = 0, counted = worker->recorder.record->counters.requested_bytes;
    for (uint64_t i = 0; i < state->count; i++) {
        const struct slot *slot = &state->slots[i];
        if (slot->block.bits == 0) {
            continue;
        }
        bytes += slot->bytes;
        int rc = sb_verifies(worker) ? sb_block_check(worker, slot->block, slot->bytes,
                                                      base_of(worker, slot), "slot", i)
                                     : 0;
        if (rc != 0) {
            return rc;
        }
    }
    if (bytes != counted || state->done != worker->steps) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu bytes are in the slots, %llu were counted; %llu requests "
                       "of %llu were served",
                       (unsigned long long)bytes, (unsigned long long)counted,
                       (unsigned long long)state->done,
                       (unsigned long long)worker->steps);
    }
    return 0;
}

static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    for (uint64_t i = 0; state->slots != NULL && i < state->count; i++) {
        if (state->slots[i].block.bits != 0) {
            (void)sb_prepare_free(worker, state->slots[i].block, state->slots[i].bytes);
        }
    }
    sb_pages_unmap(state->slots, state->count * sizeof *state->slots);
    sb_table_free(&state->places);
    sb_table_free(&state->sizes);
    sb_table_free(&state->gaps);
    *state = (struct state){0};
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)options;
    (void)steps;
    return workers * sizeof(struct pace);
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)steps;
    const struct options *options = options_in;
    double mean = sb_sizes_mean(options->least_bytes, options->most_bytes);
    // Half of the slots is filled in the mean; with few slots any share may be.
    return (uint64_t)(mean * 0.75 * (double)options->slots * (workers - 1)) +
           8 * options->most_bytes * workers;
}

static const char *const figures[] = {"rate_per_s", NULL};

const struct sb_workload sb_workload_compact_online = {
    .name = "compact_online",
    .summary = "requests that arrive by a schedule are served while worker 0 compacts",
    .source = "open-loop load (Schroeder et al. 2006, 'Open versus closed'; wrk2), "
              "with and without compaction beside",
    .stresses = "service and response times of alloc, free and reads while blocks are "
                "moved: compare compaction=on with off, at one `rate`; `rate_per_s` is "
                "what each serving worker was offered",
    .not_shown =
        "throughput: a step takes as long as the schedule says; by `load` each "
        "subject and trial gets the rate that it could do by itself, measured "
        "without time stamps, and one beyond its capacity falls ever further "
        "behind; with more workers than cores the scheduler speaks",
    .needs = SB_CAP_COMPACT | SB_CAP_PIN,
    .workers_least = 2,
    .options = option_rows,
    .options_bytes = sizeof(struct options),
    .figures = figures,
    .state_bytes = sizeof(struct state),
    .shared_bytes = shared_bytes,
    .live_bytes = live_bytes,
    .begin = begin,
    .step = step,
    .verify = verify,
    .end = end,
};

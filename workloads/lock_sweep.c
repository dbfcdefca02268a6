// SPDX-License-Identifier: MIT
// lock_sweep: workers lock blocks of a hot set, hold them, let go, think.
//
// Built on: guard.h, tables.h. Units: ns for hold and think; a step is one lock and
// unlock.
// Concurrency: all workers lock the same blocks. mode=exclusive: the subject's
// exclusive lock, a process-shared mutex beside each block where it has none. mode=pin:
// the subject's pin, which excludes nobody; a bare address where it has none. Why this
// way: each block counts its locks, plainly under an exclusive lock, atomically under a
// pin; the sum over the workers must agree, so a lock that lets two in, or a block that
// moves while pinned, shows as a lost update. Source: the axes of lock studies (hold
// time x think time x threads x locks), as in Boyd-Wickizer et al. 2012, 'Non-scalable
// locks are dangerous'.
#include "harness/base/clock.h"
#include "workloads/guard.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

enum { HOT_MOST = 1000 };
enum mode { MODE_EXCLUSIVE, MODE_PIN };
enum touch { TOUCH_WRITE, TOUCH_READ };
enum mutex { MUTEX_ROBUST, MUTEX_PLAIN };

struct options {
    uint64_t hold_ns, think_ns, hot, bytes;
    uint32_t mode, touch, mutex;
};

static const char *const modes[] = {"exclusive", "pin", NULL};
static const char *const touches[] = {"write", "read", NULL};
static const char *const mutexes[] = {"robust", "plain", NULL};

static const struct sb_option option_rows[] = {
    {"hold", "how long a lock is held (busy)", SB_NS, offsetof(struct options, hold_ns),
     "0", 0, 10e6, NULL, SB_FIXED},
    {"think", "time between unlock and the next lock (busy)", SB_NS,
     offsetof(struct options, think_ns), "0", 0, 10e6, NULL, SB_FIXED},
    {"hot", "blocks to choose from", SB_COUNT, offsetof(struct options, hot), "1", 1,
     HOT_MOST, NULL, SB_FIXED},
    {"bytes", "size of a block", SB_BYTES, offsetof(struct options, bytes), "64", 8,
     1 << 20, NULL, SB_FIXED},
    {"mode", "lock against others, or pin against moving alone", SB_CHOICE,
     offsetof(struct options, mode), "exclusive", 0, 0, modes, SB_FIXED},
    {"touch", "under a pin: count in the block, which its lockers share, or only read",
     SB_CHOICE, offsetof(struct options, touch), "write", 0, 0, touches, SB_FIXED},
    {"mutex", "kind of the process-shared mutex, where the subject has no lock",
     SB_CHOICE, offsetof(struct options, mutex), "robust", 0, 0, mutexes, SB_FIXED},
    {0},
};

// In the harness's shared memory: blocks and guards are made by worker 0 in begin.
// After it come the workers' tallies: locks taken of each block, a row a worker.
struct board {
    uint64_t made; // guards; written by worker 0
    sb_ref blocks[HOT_MOST];
    struct sb_guard guards[HOT_MOST];
};

struct state {
    struct sb_table places;
};

static uint64_t row_bytes(uint64_t hot)
{
    return (hot * sizeof(uint64_t) + 63) & ~UINT64_C(63);
}

static uint64_t *row_of(const struct sb_worker *worker, uint32_t index)
{
    struct board *board = worker->shared;
    uint64_t hot = ((const struct options *)worker->options)->hot;
    return (uint64_t *)((unsigned char *)(board + 1) + index * row_bytes(hot));
}

static int make_blocks(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct board *board = worker->shared;
    for (uint64_t i = 0; i < options->hot; i++) {
        int rc = sb_guard_init(&board->guards[i], options->mutex == MUTEX_ROBUST);
        if (rc != 0) {
            return sb_fail(&worker->error, rc, "no process-shared mutex (errno %d)",
                           -rc);
        }
        board->made++;
        rc = sb_prepare_alloc(worker, options->bytes, &board->blocks[i]);
        if (rc != 0) {
            return rc;
        }
        uint64_t *counter = sb_reach(worker, board->blocks[i], SB_LOCK_PIN);
        if (counter == NULL) {
            return worker->refusal;
        }
        *counter = 0;
        sb_leave(worker, board->blocks[i]);
    }
    return 0;
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    int rc = sb_table_draw_places(&state->places, &random, options->hot);
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no memory for the tables");
    }
    return worker->index == 0 ? make_blocks(worker) : 0;
}

// `exclusive` and `read` are constants in each of the callers, so that none tests them.
static inline __attribute__((always_inline)) int sweep(struct sb_worker *worker,
                                                       uint64_t first, uint64_t count,
                                                       bool exclusive, bool read)
{
    const struct options *options = worker->options;
    const struct state *state = worker->state;
    struct board *board = worker->shared;
    uint64_t *row = row_of(worker, worker->index);
    uint64_t hold_ns = options->hold_ns, think_ns = options->think_ns;
    for (uint64_t i = first; i < first + count; i++) {
        uint32_t which = sb_table_at(&state->places, i);
        sb_ref block = board->blocks[which];
        struct sb_guard *guard = &board->guards[which];
        sb_recorder_mark(&worker->recorder);
        void *bytes = exclusive ? sb_guard_enter(worker, guard, block)
                                : sb_reach(worker, block, SB_LOCK_PIN);
        if (__builtin_expect(bytes == NULL, 0)) {
            return worker->refusal;
        }
        sb_recorder_end(&worker->recorder, SB_OP_LOCK);
        if (exclusive) {
            ++*(volatile uint64_t *)bytes;
        } else if (read) {
            (void)atomic_load_explicit((_Atomic uint64_t *)bytes, memory_order_relaxed);
        } else {
            atomic_fetch_add_explicit((_Atomic uint64_t *)bytes, 1,
                                      memory_order_relaxed);
        }
        if (hold_ns != 0) {
            sb_spin_ns(hold_ns);
        }
        sb_recorder_mark(&worker->recorder);
        if (exclusive) {
            sb_guard_leave(worker, guard, block);
        } else {
            sb_leave(worker, block);
        }
        sb_recorder_end(&worker->recorder, SB_OP_UNLOCK);
        row[which]++;
        if (think_ns != 0) {
            sb_spin_ns(think_ns);
        }
    }
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    const struct options *options = worker->options;
    if (options->mode == MODE_EXCLUSIVE) {
        return sweep(worker, first, count, true, false);
    }
    return options->touch == TOUCH_READ ? sweep(worker, first, count, false, true)
                                        : sweep(worker, first, count, false, false);
}

// One worker looks at all blocks: that is enough.
static int verify(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct board *board = worker->shared;
    uint64_t all = 0;
    for (uint64_t i = 0; worker->index == 0 && i < options->hot; i++) {
        uint64_t taken = 0;
        for (uint32_t each = 0; each < worker->workers; each++) {
            taken += row_of(worker, each)[i];
        }
        all += taken;
        if ((worker->subject->capabilities & SB_CAP_FORGETS) != 0) {
            continue;
        }
        const uint64_t *counter = sb_reach(worker, board->blocks[i], SB_LOCK_PIN);
        if (counter == NULL) {
            return worker->refusal;
        }
        uint64_t found = *counter;
        sb_leave(worker, board->blocks[i]);
        worker->recorder.record->counters.verified_bytes += sizeof found;
        bool counts = options->mode == MODE_EXCLUSIVE || options->touch == TOUCH_WRITE;
        if (found != (counts ? taken : 0)) {
            return sb_fail(&worker->error, -EBADMSG,
                           "block %llu was locked %llu times and counts %llu: updates "
                           "were lost",
                           (unsigned long long)i, (unsigned long long)taken,
                           (unsigned long long)found);
        }
    }
    uint64_t wanted = worker->steps * worker->workers;
    if (worker->index == 0 && all != wanted) {
        return sb_fail(&worker->error, -EBADMSG, "%llu locks of %llu were taken",
                       (unsigned long long)all, (unsigned long long)wanted);
    }
    return 0;
}

static void end(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct board *board = worker->shared;
    sb_table_free(&state->places);
    for (uint64_t i = 0; worker->index == 0 && i < board->made; i++) {
        if (board->blocks[i].bits != 0) {
            (void)sb_prepare_free(worker, board->blocks[i], options->bytes);
        }
        pthread_mutex_destroy(&board->guards[i].mutex);
    }
    if (worker->index == 0) {
        board->made = 0;
    }
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)steps;
    return sizeof(struct board) +
           workers * row_bytes(((const struct options *)options)->hot);
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)workers;
    (void)steps;
    const struct options *options = options_in;
    return options->bytes * options->hot;
}

const struct sb_workload sb_workload_lock_sweep = {
    .name = "lock_sweep",
    .summary = "lock blocks of a hot set; a process-shared mutex where the subject has "
               "no lock",
    .source = "the axes of lock studies: hold time, think time, workers, number of "
              "locks (Boyd-Wickizer et al. 2012)",
    .stresses = "waiting for and handing over locks: hold 0..10 us x think 0..10 us x "
                "workers x hot set 1..1000; pins of one block by all (mode=pin)",
    .not_shown = "alloc and free (a step has none); the locks of a subject without "
                 "EXCLUSIVE: it is charged for a pthread mutex beside each block; and "
                 "with more workers than cores the scheduler speaks, not the lock",
    .needs = SB_NEED_EXCHANGE,
    .workers_least = 1,
    .options = option_rows,
    .options_bytes = sizeof(struct options),
    .state_bytes = sizeof(struct state),
    .shared_bytes = shared_bytes,
    .live_bytes = live_bytes,
    .begin = begin,
    .step = step,
    .verify = verify,
    .end = end,
};

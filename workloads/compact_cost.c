// SPDX-License-Identifier: MIT
// compact_cost: fill, free most of it at random, and pay for one full compaction.
//
// Built on: content.h, tables.h. Units: bytes; a step is one cycle: free what the last
// one left, fill, free again, pin, compact, unpin.
// Concurrency: each worker fills and pins its share; worker 0 compacts while the others
// read blocks of all workers. Two meetings in shared memory a cycle: nobody compacts
// before all have pinned, nobody unpins or frees before the compaction is over.
// Why this way: pins are held by all workers, since a compaction that only knows its
// own would be wrong; the survivors of each cycle are others than those of the last.
// Source: the compaction experiments of Anchorage (Wanninger et al. 2024) and Mesh
// (Powers et al. 2019): a share of live blocks, left at random places.
#include <stdlib.h>

#include "workloads/content.h"
#include "workloads/meeting.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

enum { READS_A_LOOK = 64 };

struct options {
    uint64_t least_bytes, most_bytes, fill_bytes, budget_bytes;
    double live, pinned;
};

static const struct sb_option option_rows[] = {
    {"least", "smallest block", SB_BYTES, offsetof(struct options, least_bytes), "1024",
     16, 16u << 20, NULL, SB_FIXED},
    {"most", "largest block, log-uniform (below the smallest: all blocks are alike)",
     SB_BYTES, offsetof(struct options, most_bytes), "1024", 16, 16u << 20, NULL,
     SB_FIXED},
    {"fill", "bytes allocated before the frees, over all workers", SB_BYTES,
     offsetof(struct options, fill_bytes), "16M", 65536, 1u << 30, NULL, SB_FIXED},
    {"live", "share of the blocks that survives the frees", SB_RATIO,
     offsetof(struct options, live), "0.5", 0.01, 1, NULL, SB_FIXED},
    {"pinned", "share of the survivors that is pinned meanwhile", SB_RATIO,
     offsetof(struct options, pinned), "0.01", 0, 1, NULL, SB_FIXED},
    {"budget", "bytes moved a call of compact (0: no bound)", SB_BYTES,
     offsetof(struct options, budget_bytes), "0", 0, 1u << 30, NULL, SB_FIXED},
    {0},
};

// In the harness's shared memory, then what each worker published: its survivors.
struct board {
    struct sb_meeting meeting;
    _Alignas(64) _Atomic uint64_t compacted; // cycles; written by worker 0 (release)
};

// Written by its worker before a meeting, read by all after it.
struct survivor {
    sb_ref block; // zero: the heap was full
    uint64_t first_word;
};

struct slot {
    sb_ref block; // zero: none
    uint32_t bytes, order;
    uint64_t sequence;
    const void *pinned; // where it was when it was locked; NULL: not locked
};

struct state {
    struct slot *slots;
    struct sb_table sizes, places;
    uint64_t count, survive, pin, meetings, done, reads;
};

static uint64_t blocks_of(const struct options *options, uint32_t workers)
{
    double mean = sb_sizes_mean(options->least_bytes, options->most_bytes);
    double count = (double)options->fill_bytes / mean / (double)workers;
    return count < 2 ? 2 : (uint64_t)count;
}

static uint64_t survivors_of(const struct options *options, uint32_t workers)
{
    uint64_t count = (uint64_t)((double)blocks_of(options, workers) * options->live);
    return count > 0 ? count : 1;
}

static struct survivor *published(const struct sb_worker *worker, uint64_t index)
{
    return (struct survivor *)((struct board *)worker->shared + 1) + index;
}

static uint64_t base_of(const struct sb_worker *worker, const struct slot *slot)
{
    return sb_content_base(worker->index, slot->sequence, slot->bytes);
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    state->count = blocks_of(options, worker->workers);
    state->survive = survivors_of(options, worker->workers);
    state->pin = (uint64_t)((double)state->survive * options->pinned);
    if (state->count > UINT32_MAX) {
        return sb_fail(&worker->error, -EINVAL, "more than 2^32 blocks a worker");
    }
    state->slots = sb_pages_map(state->count * sizeof *state->slots);
    uint32_t *order = malloc(state->count * sizeof *order);
    int rc = state->slots == NULL || order == NULL ? -ENOMEM : 0;
    rc = rc == 0 ? sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                       options->most_bytes)
                 : rc;
    rc = rc == 0 ? sb_table_draw_places(&state->places, &random,
                                        state->survive * worker->workers)
                 : rc;
    if (rc == 0) {
        sb_random_permute(&random, order, (uint32_t)state->count);
        for (uint64_t i = 0; i < state->count; i++) {
            state->slots[i].order = order[i];
        }
    }
    free(order);
    return rc != 0 ? sb_fail(&worker->error, rc, "no memory for the tables") : 0;
}

// The k-th slot in the random order of this cycle: the survivors first.
static struct slot *nth(struct state *state, uint64_t cycle, uint64_t k)
{
    uint64_t place = k + cycle * state->survive % state->count;
    place = place < state->count ? place : place - state->count;
    return &state->slots[state->slots[place].order];
}

static int free_slot(struct sb_worker *worker, struct slot *slot)
{
    if (slot->block.bits == 0) {
        return 0;
    }
    int rc = sb_free(worker, slot->block, slot->bytes);
    slot->block.bits = rc == 0 ? 0 : slot->block.bits;
    return rc;
}

static int fill(struct sb_worker *worker, uint64_t cycle)
{
    struct state *state = worker->state;
    for (uint64_t i = 0; i < state->count; i++) {
        struct slot *slot = &state->slots[i];
        sb_recorder_mark(&worker->recorder);
        int rc = free_slot(worker, slot); // a survivor of the last cycle
        if (rc != 0) {
            return rc;
        }
        uint64_t sequence = cycle * state->count + i;
        uint32_t bytes = sb_table_rotated_at(&state->sizes, sequence);
        sb_ref block;
        rc = sb_alloc(worker, bytes, &block);
        if (rc != 0 && !sb_is_full(rc)) {
            return sb_alloc_failed(worker, rc, bytes);
        }
        if (rc == 0) {
            slot->block = block;
            slot->bytes = bytes;
            slot->sequence = sequence;
            rc = sb_block_fill(worker, block, bytes, base_of(worker, slot));
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

// Frees all but the survivors, publishes these and pins the first of them.
static int thin(struct sb_worker *worker, uint64_t cycle)
{
    struct state *state = worker->state;
    sb_recorder_mark(&worker->recorder);
    for (uint64_t k = state->survive; k < state->count; k++) {
        int rc = free_slot(worker, nth(state, cycle, k));
        if (rc != 0) {
            return rc;
        }
    }
    struct survivor *own = published(worker, worker->index * state->survive);
    for (uint64_t k = 0; k < state->survive; k++) {
        struct slot *slot = nth(state, cycle, k);
        own[k] = (struct survivor){slot->block, base_of(worker, slot)};
        if (k < state->pin && slot->block.bits != 0) {
            slot->pinned = sb_reach(worker, slot->block, SB_LOCK_PIN);
            if (slot->pinned == NULL) {
                return sb_fail_in(&worker->error, worker->refusal, "pin %llu of %llu",
                                  (unsigned long long)k,
                                  (unsigned long long)state->pin);
            }
        }
    }
    return 0;
}

// Reads blocks of all workers until the compaction of this cycle is over.
static int read_beside(struct sb_worker *worker, uint64_t cycle)
{
    struct board *board = worker->shared;
    struct state *state = worker->state;
    while (atomic_load_explicit(&board->compacted, memory_order_acquire) <= cycle) {
        if (sb_cancelled(worker)) {
            return -ECANCELED;
        }
        sb_recorder_mark(&worker->recorder);
        for (uint32_t i = 0; i < READS_A_LOOK; i++) {
            uint32_t which = sb_table_rotated_at(&state->places, state->reads++);
            const struct survivor *survivor = published(worker, which);
            if (survivor->block.bits == 0) {
                continue;
            }
            uint64_t found = 0;
            int rc = sb_block_look(worker, survivor->block, &found);
            if (__builtin_expect(rc != 0, 0)) {
                return rc;
            }
            if (__builtin_expect(found != survivor->first_word, 0)) {
                return sb_fail(&worker->error, -EBADMSG,
                               "survivor %u reads 0x%llx during compaction, expected "
                               "0x%llx",
                               which, (unsigned long long)found,
                               (unsigned long long)survivor->first_word);
            }
        }
    }
    return 0;
}

// Contents of all survivors; a pinned one must be where it was.
static int check_survivors(struct sb_worker *worker)
{
    struct state *state = worker->state;
    for (uint64_t i = 0; i < state->count; i++) {
        struct slot *slot = &state->slots[i];
        if (slot->block.bits == 0) {
            continue;
        }
        int rc = sb_block_check(worker, slot->block, slot->bytes, base_of(worker, slot),
                                "survivor", i);
        if (rc != 0) {
            return rc;
        }
        if (slot->pinned != NULL) {
            const void *now = sb_reach(worker, slot->block, SB_LOCK_PIN);
            if (now == NULL) {
                return worker->refusal;
            }
            sb_leave(worker, slot->block);
            if (now != slot->pinned) {
                return sb_fail(&worker->error, -EBADMSG, "pinned block %llu was moved",
                               (unsigned long long)i);
            }
        }
    }
    return 0;
}

static void unpin(struct sb_worker *worker)
{
    struct state *state = worker->state;
    for (uint64_t i = 0; i < state->count; i++) {
        if (state->slots[i].pinned != NULL) {
            sb_leave(worker, state->slots[i].block);
            state->slots[i].pinned = NULL;
        }
    }
}

static int one_cycle(struct sb_worker *worker, uint64_t cycle)
{
    const struct options *options = worker->options;
    struct board *board = worker->shared;
    struct state *state = worker->state;
    uint64_t budget = options->budget_bytes;
    int rc = fill(worker, cycle);
    rc = rc == 0 ? thin(worker, cycle) : rc;
    rc = rc == 0 ? sb_meet(worker, &board->meeting, &state->meetings) : rc;
    if (rc != 0) {
        return rc;
    }
    if (worker->index == 0) {
        rc = sb_compact_fully(worker, budget != 0 ? budget : UINT64_MAX);
        atomic_store_explicit(&board->compacted, cycle + 1, memory_order_release);
    } else {
        rc = read_beside(worker, cycle);
    }
    rc = rc == 0 && sb_verifies(worker) ? check_survivors(worker) : rc;
    rc = rc == 0 ? sb_meet(worker, &board->meeting, &state->meetings) : rc;
    if (rc == 0) {
        unpin(worker);
    }
    return rc;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    struct state *state = worker->state;
    for (uint64_t i = first; i < first + count; i++) {
        int rc = one_cycle(worker, i);
        if (rc != 0) {
            return rc;
        }
        state->done++;
    }
    return 0;
}

static int verify(struct sb_worker *worker)
{
    struct state *state = worker->state;
    const struct sb_counters *counters = &worker->recorder.record->counters;
    uint64_t live = 0, bytes = 0;
    for (uint64_t i = 0; i < state->count; i++) {
        live += state->slots[i].block.bits != 0;
        bytes += state->slots[i].block.bits != 0 ? state->slots[i].bytes : 0;
    }
    bool whole = live == state->survive || counters->failures != 0;
    if (state->done != worker->steps || !whole || bytes != counters->requested_bytes) {
        return sb_fail(
            &worker->error, -EBADMSG,
            "%llu cycles of %llu were done; %llu blocks (%llu bytes) of %llu "
            "(%llu bytes) survive",
            (unsigned long long)state->done, (unsigned long long)worker->steps,
            (unsigned long long)live, (unsigned long long)bytes,
            (unsigned long long)state->survive,
            (unsigned long long)counters->requested_bytes);
    }
    return check_survivors(worker);
}

static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    if (state->slots != NULL) {
        unpin(worker);
        for (uint64_t i = 0; i < state->count; i++) {
            if (state->slots[i].block.bits != 0) {
                (void)sb_prepare_free(worker, state->slots[i].block,
                                      state->slots[i].bytes);
            }
        }
    }
    sb_pages_unmap(state->slots, state->count * sizeof *state->slots);
    sb_table_free(&state->sizes);
    sb_table_free(&state->places);
    *state = (struct state){0};
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)steps;
    return sizeof(struct board) +
           workers * survivors_of(options, workers) * sizeof(struct survivor);
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)steps;
    const struct options *options = options_in;
    double blocks = (double)blocks_of(options, workers) * (double)workers;
    double mean = sb_sizes_mean(options->least_bytes, options->most_bytes);
    return (uint64_t)(blocks * mean * 1.25) + 4 * options->most_bytes;
}

const struct sb_workload sb_workload_compact_cost = {
    .name = "compact_cost",
    .summary = "fill, free at random, then one full compaction with readers beside",
    .source = "the compaction experiments of Mesh (Powers et al. 2019) and Anchorage "
              "(Wanninger et al. 2024)",
    .stresses = "the mover: time of one full compaction by live share, pinned share "
                "and block size; what readers in other processes see meanwhile",
    .not_shown =
        "service over time; throughput is that of whole cycles, fill and frees "
        "included, and the readers' count follows from the compaction's length; "
        "a subject that compacts within free has less left to do here, and one "
        "that bounds the locks of a worker refuses a large pinned share",
    .needs = SB_CAP_COMPACT | SB_CAP_PIN,
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

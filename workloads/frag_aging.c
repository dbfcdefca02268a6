// SPDX-License-Identifier: MIT
// frag_aging: a heap under a cap whose blocks change in size, phase by phase.
//
// Built on: content.h, tables.h. Units: bytes; a step is one ageing: all its phases.
// Concurrency: all workers share one table of slots in the harness's memory. A slot is
// claimed by compare and swap of its state, so that any worker frees any other's
// blocks; the cap is kept by each worker for its share (what it allocated less what it
// freed), since one shared counter would be the thing measured. Why this way: a step
// ends at the end of its last phase, so that the footprint that the runner reads after
// the last step belongs to one defined moment, however fast the machine is. Blocks are
// evicted at random: by age, whole pages would come free. Source: the Redis case of
// Mesh (Powers et al. 2019): 700,000 values of 240 B, then 170,000 of 492 B, under a
// cap of 100 MB; PMDK's fragmentation benchmarks. Departures: scaled to `live`;
// eviction at random and not of the least recently used; the cap counts the blocks as
// asked for.
#include "workloads/content.h"
#include "workloads/meeting.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

#include <math.h>

enum { PHASES_MOST = 16, UNIT_BITS = 16 };

struct options {
    uint64_t small_bytes, large_bytes, live_bytes, phases;
    double spread, turnover;
    bool final_compact;
};

static const struct sb_option option_rows[] = {
    {"small", "mean size of a block in the first phase", SB_BYTES,
     offsetof(struct options, small_bytes), "240", 16, 1 << 20, NULL, SB_FIXED},
    {"large", "and in the last; between them by equal factors", SB_BYTES,
     offsetof(struct options, large_bytes), "492", 16, 1 << 20, NULL, SB_FIXED},
    {"spread", "sizes are uniform within this share of the mean, to either side",
     SB_RATIO, offsetof(struct options, spread), "0", 0, 0.5, NULL, SB_FIXED},
    {"phases", "of one ageing", SB_COUNT, offsetof(struct options, phases), "2", 1,
     PHASES_MOST, NULL, SB_FIXED},
    {"turnover", "bytes allocated in a phase, over the bytes alive", SB_RATIO,
     offsetof(struct options, turnover), "0.84", 0.01, 100, NULL, SB_FIXED},
    {"live", "cap of the bytes alive, over all workers", SB_BYTES,
     offsetof(struct options, live_bytes), "8M", 65536, UINT64_C(16) << 30, NULL,
     SB_FIXED},
    {"final_compact", "one full compaction after the last phase, where the subject can",
     SB_FLAG, offsetof(struct options, final_compact), "no", 0, 0, NULL, SB_FIXED},
    {0},
};

enum { EMPTY, BUSY, FULL }; // zeroed memory is EMPTY

struct slot {
    // Whoever makes it BUSY, by compare and swap (acquire), owns the rest of the slot
    // until it stores another (release).
    atomic_uint state;
    uint32_t bytes, maker, sequence;
    sb_ref block;
};

// In the harness's shared memory, then a tally for each worker, then the slots.
struct board {
    struct sb_meeting meeting;
};

struct tally {
    _Alignas(64) uint64_t balance; // of its worker, after each of its step calls
};

struct state {
    struct sb_table places, units;
    uint64_t slots, quota, made, evictions, done, least[PHASES_MOST],
        range[PHASES_MOST];
    int64_t balance; // bytes it allocated less those it freed
};

static uint64_t slots_of(const struct options *options, uint32_t workers)
{
    uint64_t least = options->small_bytes < options->large_bytes ? options->small_bytes
                                                                 : options->large_bytes;
    // A third stays empty even while all blocks are of the smallest mean.
    return options->live_bytes / least * 3 / 2 + 64 * (uint64_t)workers;
}

static struct tally *tally_of(const struct sb_worker *worker, uint32_t index)
{
    return (struct tally *)((struct board *)worker->shared + 1) + index;
}

static struct slot *slots_of_all(const struct sb_worker *worker)
{
    return (struct slot *)tally_of(worker, worker->workers);
}

static uint64_t base_of(const struct slot *slot)
{
    return sb_content_base(slot->maker, slot->sequence, slot->bytes);
}

// Place `nth` of a table that may be far shorter than there are slots: each pass over
// it is shifted against the one before.
static uint64_t place_at(const struct state *state, uint64_t nth)
{
    uint64_t shift = (nth >> SB_TABLE_BITS) * (SB_TABLE_LENGTH + SB_TABLE_ROTATE);
    return (sb_table_rotated_at(&state->places, nth) + shift) % state->slots;
}

static inline uint32_t size_at(const struct state *state, uint64_t phase, uint64_t nth)
{
    uint64_t unit = sb_table_rotated_at(&state->units, nth);
    return (uint32_t)(state->least[phase] + (state->range[phase] * unit >> UNIT_BITS));
}

// The first slot in `from` at or after `place`, now BUSY; NULL: there is none.
static inline struct slot *claim(const struct sb_worker *worker, uint64_t place,
                                 unsigned from)
{
    const struct state *state = worker->state;
    struct slot *slots = slots_of_all(worker);
    for (uint64_t tries = 0; tries < state->slots; tries++) {
        struct slot *slot = &slots[place];
        unsigned seen = atomic_load_explicit(&slot->state, memory_order_relaxed);
        if (seen == from && atomic_compare_exchange_strong_explicit(
                                &slot->state, &seen, BUSY, memory_order_acquire,
                                memory_order_relaxed)) {
            return slot;
        }
        place = place + 1 < state->slots ? place + 1 : 0;
    }
    return NULL;
}

// Puts a block that its caller just made into a slot of the table.
static int publish(struct sb_worker *worker, sb_ref block, uint32_t bytes)
{
    struct state *state = worker->state;
    struct slot *slot = claim(worker, place_at(state, state->made), EMPTY);
    if (__builtin_expect(slot == NULL, 0)) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu slots are full: more is live than the cap allows",
                       (unsigned long long)state->slots);
    }
    slot->bytes = bytes;
    slot->maker = worker->index;
    slot->sequence = (uint32_t)state->made++;
    slot->block = block;
    state->balance += bytes;
    atomic_store_explicit(&slot->state, FULL, memory_order_release);
    return 0;
}

static void means_make(struct state *state, const struct options *options)
{
    double factor = (double)options->large_bytes / (double)options->small_bytes;
    for (uint64_t i = 0; i < options->phases; i++) {
        double share =
            options->phases > 1 ? (double)i / (double)(options->phases - 1) : 0;
        double mean = (double)options->small_bytes * pow(factor, share);
        double least = round(mean * (1 - options->spread));
        state->least[i] = least > 8 ? (uint64_t)least : 8;
        state->range[i] = (uint64_t)round(2 * mean * options->spread) + 1;
    }
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    state->slots = slots_of(options, worker->workers);
    state->quota = options->live_bytes / worker->workers;
    means_make(state, options);
    int rc = sb_table_draw_places(&state->places, &random, state->slots);
    rc = rc == 0 ? sb_table_draw_places(&state->units, &random, 1u << UNIT_BITS) : rc;
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no memory for the tables");
    }
    for (;;) {
        uint32_t bytes = size_at(state, 0, state->made);
        sb_ref block;
        if ((uint64_t)state->balance + bytes > state->quota) {
            return 0;
        }
        rc = sb_prepare_alloc(worker, bytes, &block);
        if (rc == 0) {
            rc = sb_block_fill(
                worker, block, bytes,
                sb_content_base(worker->index, (uint32_t)state->made, bytes));
            rc = rc == 0 ? publish(worker, block, bytes) : rc;
        }
        if (rc != 0) {
            return sb_fail_in(&worker->error, rc, "filling up to the cap, block %llu",
                              (unsigned long long)state->made);
        }
    }
}

// Frees a block of anybody's. 1: there was none.
static inline int evict(struct sb_worker *worker, bool verify)
{
    struct state *state = worker->state;
    // Another order than that of the places where blocks are put.
    uint64_t nth = SB_TABLE_LENGTH / 2 + 1 + state->evictions++;
    struct slot *slot = claim(worker, place_at(state, nth), FULL);
    if (__builtin_expect(slot == NULL, 0)) {
        return 1;
    }
    int rc = verify ? sb_block_check(worker, slot->block, slot->bytes, base_of(slot),
                                     "evicted block", slot->sequence)
                    : 0;
    sb_recorder_mark(&worker->recorder);
    rc = rc == 0 ? sb_free(worker, slot->block, slot->bytes) : rc;
    if (__builtin_expect(rc != 0, 0)) {
        atomic_store_explicit(&slot->state, FULL, memory_order_release);
        return rc;
    }
    state->balance -= slot->bytes;
    atomic_store_explicit(&slot->state, EMPTY, memory_order_release);
    return 0;
}

static inline int put(struct sb_worker *worker, uint32_t bytes, bool verify)
{
    struct state *state = worker->state;
    uint32_t sequence = (uint32_t)state->made;
    sb_ref block;
    sb_recorder_mark(&worker->recorder);
    int rc = sb_alloc(worker, bytes, &block);
    if (__builtin_expect(rc != 0, 0)) {
        state->made++;
        return sb_is_full(rc) ? 0 : sb_alloc_failed(worker, rc, bytes);
    }
    if (verify) {
        rc = sb_block_fill(worker, block, bytes,
                           sb_content_base(worker->index, sequence, bytes));
        sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
    } else {
        rc = sb_block_touch(worker, block, sequence);
    }
    rc = rc == 0 ? publish(worker, block, bytes) : rc;
    if (__builtin_expect(rc != 0, 0)) {
        (void)worker->subject->free(worker->ctx, block);
    }
    return rc;
}

// `verify` is a constant in each of the two callers, so that neither tests it.
static inline __attribute__((always_inline)) int age(struct sb_worker *worker,
                                                     bool verify)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    uint64_t wanted = (uint64_t)((double)state->quota * options->turnover);
    for (uint64_t phase = 0; phase < options->phases; phase++) {
        for (uint64_t asked = 0; asked < wanted;) {
            if (__builtin_expect(sb_cancelled(worker), 0)) {
                return -ECANCELED;
            }
            uint32_t bytes = size_at(state, phase, state->made);
            int rc = 0;
            while (rc == 0 && state->balance + bytes > (int64_t)state->quota) {
                rc = evict(worker, verify);
            }
            // All that is left may be in the hands of others: then go on above the cap.
            rc = rc < 0 ? rc : put(worker, bytes, verify);
            if (__builtin_expect(rc != 0, 0)) {
                return rc;
            }
            asked += bytes;
        }
    }
    return 0;
}

// The last worker's last step is over before the compaction begins.
static int compact_at_last(struct sb_worker *worker)
{
    struct board *board = worker->shared;
    uint64_t before = 0;
    int rc = sb_meet(worker, &board->meeting, &before);
    bool mine = worker->index == 0 && worker->subject->compact != NULL;
    return rc == 0 && mine ? sb_compact_fully(worker, UINT64_MAX) : rc;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    int rc = 0;
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = sb_verifies(worker) ? age(worker, true) : age(worker, false);
        state->done += rc == 0;
    }
    tally_of(worker, worker->index)->balance = (uint64_t)state->balance;
    if (rc == 0 && options->final_compact && first + count == worker->steps) {
        rc = compact_at_last(worker);
    }
    return rc;
}

static int verify(struct sb_worker *worker)
{
    const struct state *state = worker->state;
    uint64_t bytes = 0, balance = 0;
    for (uint64_t i = 0; i < state->slots; i++) {
        const struct slot *slot = &slots_of_all(worker)[i];
        unsigned seen = atomic_load_explicit(&slot->state, memory_order_acquire);
        if (seen == BUSY) {
            return sb_fail(&worker->error, -EBADMSG, "slot %llu was never let go",
                           (unsigned long long)i);
        }
        bytes += seen == FULL ? slot->bytes : 0;
        if (seen == FULL && i % worker->workers == worker->index &&
            sb_verifies(worker)) {
            int rc = sb_block_check(worker, slot->block, slot->bytes, base_of(slot),
                                    "slot", i);
            if (rc != 0) {
                return rc;
            }
        }
    }
    for (uint32_t i = 0; i < worker->workers; i++) {
        balance += tally_of(worker, i)->balance;
    }
    uint64_t counted = worker->recorder.record->counters.requested_bytes;
    if (bytes != balance || counted != (uint64_t)state->balance ||
        state->done != worker->steps) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu bytes are in the table, %llu were put and not evicted; "
                       "%llu ageings of %llu were done",
                       (unsigned long long)bytes, (unsigned long long)balance,
                       (unsigned long long)state->done,
                       (unsigned long long)worker->steps);
    }
    return 0;
}

// Each worker frees its share of the slots.
static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    for (uint64_t i = worker->index; i < state->slots; i += worker->workers) {
        struct slot *slot = &slots_of_all(worker)[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) == FULL) {
            (void)sb_prepare_free(worker, slot->block, slot->bytes);
            atomic_store_explicit(&slot->state, EMPTY, memory_order_relaxed);
        }
    }
    sb_table_free(&state->places);
    sb_table_free(&state->units);
    *state = (struct state){0};
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)steps;
    return sizeof(struct board) + workers * sizeof(struct tally) +
           slots_of(options, workers) * sizeof(struct slot);
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)steps;
    const struct options *options = options_in;
    uint64_t most = options->small_bytes > options->large_bytes ? options->small_bytes
                                                                : options->large_bytes;
    return options->live_bytes + 4 * most * workers;
}

const struct sb_workload sb_workload_frag_aging = {
    .name = "frag_aging",
    .summary = "blocks change in size by phases, under a cap; workers free each "
               "other's",
    .source = "Mesh's Redis case (Powers et al. 2019): 700,000 x 240 B, then "
              "170,000 x 492 B under a cap, scaled to `live`; PMDK's fragmentation "
              "benchmarks",
    .stresses = "what a shift of sizes leaves behind: read footprint / usable live "
                "bytes (headers and tables apart) and footprint / live bytes as asked "
                "for, at the end of the last phase",
    .not_shown =
        "lifetimes that depend on size or age (the oldest go first in a cache, "
        "which is kinder); locality; with final_compact=yes throughput holds "
        "one full compaction",
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

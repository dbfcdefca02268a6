// SPDX-License-Identifier: MIT
// frag_then_big: fill the heap, free every second block, then ask for ever larger ones.
//
// Built on: content.h, tables.h, meeting.h. Units: bytes; a step is one such cycle.
// Concurrency: workers fill at the same time, so that their blocks lie side by side;
// each frees every second block of the next worker's. Then worker 0 asks alone.
// Why this way: half of the heap is free and no two free blocks touch, so whatever is
// larger than a block can be had only by moving some. The figure is the largest block
// obtained, by doubling and then halving the distance, as a share of the bytes given
// back (as asked for when they were allocated): what the user may think is free. At
// most that much is asked for.
// Source: the textbook worst case of external fragmentation (Robson 1971; Knuth 2.5).
#include "workloads/content.h"
#include "workloads/meeting.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

enum { PRECISION = 128 }; // the largest block is found to within limit / PRECISION
enum { LARGEST_SHARE, FILLED_SHARE };

struct options {
    uint64_t least_bytes, most_bytes, heap_bytes;
    bool compact;
};

static const struct sb_option option_rows[] = {
    {"least", "smallest block to fill with", SB_BYTES,
     offsetof(struct options, least_bytes), "256", 16, 1 << 20, NULL, SB_FIXED},
    {"most", "largest, log-uniform (below the smallest: all blocks are alike)",
     SB_BYTES, offsetof(struct options, most_bytes), "4096", 16, 1 << 20, NULL,
     SB_FIXED},
    {"heap", "size of the segment, which is filled until it refuses", SB_BYTES,
     offsetof(struct options, heap_bytes), "16M", 4u << 20, UINT64_C(16) << 30, NULL,
     SB_FIXED},
    {"compact", "one full compaction before asking, where the subject can", SB_FLAG,
     offsetof(struct options, compact), "no", 0, 0, NULL, SB_FIXED},
    {0},
};

// In the harness's shared memory, then a row of pieces for each worker.
struct board {
    struct sb_meeting meeting;
};

// Written by its worker while it fills, by the worker before it while that one frees,
// with a meeting between.
struct piece {
    sb_ref block; // zero: none
    uint32_t bytes, sequence;
};

struct row {
    _Alignas(64) uint64_t count; // of pieces, in this cycle; by its worker
    uint64_t bytes;              // of them
    uint64_t freed;              // bytes that its worker freed (of the next one's row)
    struct piece pieces[];
};

struct state {
    struct sb_table sizes;
    uint64_t made, meetings, done;
    double largest_shares, filled_shares; // worker 0: sums over the cycles
};

static uint64_t pieces_of(const struct options *options)
{
    // One worker may fill all of it; a segment may be a little roomier than asked for.
    return options->heap_bytes / options->least_bytes * 9 / 8 + 64;
}

static uint64_t row_bytes(const struct options *options)
{
    uint64_t bytes = sizeof(struct row) + pieces_of(options) * sizeof(struct piece);
    return (bytes + 63) & ~UINT64_C(63);
}

static struct row *row_of(const struct sb_worker *worker, uint32_t index)
{
    unsigned char *rows = (unsigned char *)((struct board *)worker->shared + 1);
    return (struct row *)(rows + index * row_bytes(worker->options));
}

static struct row *own_row(const struct sb_worker *worker)
{
    return row_of(worker, worker->index);
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    int rc = sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                 options->most_bytes);
    return rc != 0 ? sb_fail(&worker->error, rc, "no memory for the tables") : 0;
}

static int free_piece(struct sb_worker *worker, struct piece *piece)
{
    if (piece->block.bits == 0) {
        return 0;
    }
    int rc = sb_free(worker, piece->block, piece->bytes);
    piece->block.bits = rc == 0 ? 0 : piece->block.bits;
    return rc;
}

// Frees what is left of the cycle before.
static int sweep(struct sb_worker *worker)
{
    struct row *row = own_row(worker);
    sb_recorder_mark(&worker->recorder);
    for (uint64_t i = 0; i < row->count; i++) {
        int rc = free_piece(worker, &row->pieces[i]);
        if (rc != 0) {
            return rc;
        }
    }
    row->count = row->bytes = 0;
    return 0;
}

static int fill(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct row *row = own_row(worker);
    for (uint64_t most = pieces_of(options); row->count < most; state->made++) {
        uint32_t bytes = sb_table_rotated_at(&state->sizes, state->made);
        sb_ref block;
        sb_recorder_mark(&worker->recorder);
        int rc = sb_alloc(worker, bytes, &block);
        if (rc != 0) {
            return sb_is_full(rc) ? 0 : sb_alloc_failed(worker, rc, bytes);
        }
        row->pieces[row->count++] = (struct piece){block, bytes, (uint32_t)state->made};
        row->bytes += bytes;
        rc =
            sb_block_fill(worker, block, bytes,
                          sb_content_base(worker->index, (uint32_t)state->made, bytes));
        if (rc != 0) {
            return rc;
        }
    }
    return sb_fail(&worker->error, -EINVAL,
                   "%llu blocks were had of a segment of %llu bytes: choose its size "
                   "by the option `heap`, not by segment_bytes",
                   (unsigned long long)row->count,
                   (unsigned long long)options->heap_bytes);
}

// Every second block of the next worker's.
static int thin(struct sb_worker *worker)
{
    struct row *row = row_of(worker, (worker->index + 1) % worker->workers);
    struct row *own = own_row(worker);
    own->freed = 0;
    sb_recorder_mark(&worker->recorder);
    for (uint64_t i = 1; i < row->count; i += 2) {
        int rc = free_piece(worker, &row->pieces[i]);
        if (rc != 0) {
            return rc;
        }
        own->freed += row->pieces[i].bytes;
    }
    return 0;
}

// Asks for one block and gives it back. 1: had it, 0: refused.
static int ask(struct sb_worker *worker, uint64_t bytes)
{
    sb_ref block;
    sb_recorder_mark(&worker->recorder);
    int rc = sb_alloc(worker, bytes, &block);
    if (rc != 0) {
        return sb_is_full(rc) ? 0 : sb_alloc_failed(worker, rc, bytes);
    }
    if (sb_verifies(worker)) {
        uint64_t base = sb_content_base(worker->index, bytes, bytes);
        rc = sb_block_fill(worker, block, bytes, base);
        rc = rc == 0 ? sb_block_check(worker, block, bytes, base, "large block", bytes)
                     : rc;
    } else {
        rc = sb_block_touch(worker, block, bytes);
    }
    sb_recorder_mark(&worker->recorder);
    int freed = sb_free(worker, block, bytes);
    rc = rc == 0 ? freed : rc;
    return rc == 0 ? 1 : rc;
}

static int search(struct sb_worker *worker, uint64_t limit, uint64_t *largest)
{
    const struct options *options = worker->options;
    uint64_t most = options->most_bytes > options->least_bytes ? options->most_bytes
                                                               : options->least_bytes;
    uint64_t had = 0, refused = 0;
    for (uint64_t bytes = 2 * most; refused == 0 && had < limit; bytes *= 2) {
        uint64_t now = bytes < limit ? bytes : limit;
        int rc = ask(worker, now);
        if (rc < 0) {
            return rc;
        }
        had = rc == 1 ? now : had;
        refused = rc == 1 ? 0 : now;
    }
    while (refused > had + limit / PRECISION + 1) {
        uint64_t now = had + (refused - had) / 2;
        int rc = ask(worker, now);
        if (rc < 0) {
            return rc;
        }
        had = rc == 1 ? now : had;
        refused = rc == 1 ? refused : now;
    }
    *largest = had;
    return 0;
}

// Worker 0, while the others wait.
static int look_for_largest(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    uint64_t filled = 0, freed = 0, largest = 0;
    for (uint32_t i = 0; i < worker->workers; i++) {
        filled += row_of(worker, i)->bytes;
        freed += row_of(worker, i)->freed;
    }
    int rc = options->compact && worker->subject->compact != NULL
                 ? sb_compact_fully(worker, UINT64_MAX)
                 : 0;
    rc = rc == 0 ? search(worker, freed, &largest) : rc;
    if (rc != 0) {
        return rc;
    }
    state->largest_shares += freed > 0 ? (double)largest / (double)freed : 0;
    state->filled_shares += (double)filled / (double)options->heap_bytes;
    double cycles = (double)(state->done + 1);
    sb_figure_set(&worker->recorder, LARGEST_SHARE, state->largest_shares / cycles);
    sb_figure_set(&worker->recorder, FILLED_SHARE, state->filled_shares / cycles);
    return 0;
}

static int check_survivors(struct sb_worker *worker)
{
    const struct row *row = own_row(worker);
    for (uint64_t i = 0; i < row->count; i++) {
        const struct piece *piece = &row->pieces[i];
        if (piece->block.bits == 0) {
            continue;
        }
        int rc = sb_block_check(
            worker, piece->block, piece->bytes,
            sb_content_base(worker->index, piece->sequence, piece->bytes), "survivor",
            i);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int one_cycle(struct sb_worker *worker)
{
    struct sb_meeting *meeting = &((struct board *)worker->shared)->meeting;
    struct state *state = worker->state;
    int rc = sweep(worker);
    // Nobody fills before all is swept, or it would be full too soon.
    rc = rc == 0 ? sb_meet(worker, meeting, &state->meetings) : rc;
    rc = rc == 0 ? fill(worker) : rc;
    rc = rc == 0 ? sb_meet(worker, meeting, &state->meetings) : rc;
    rc = rc == 0 ? thin(worker) : rc;
    rc = rc == 0 ? sb_meet(worker, meeting, &state->meetings) : rc;
    rc = rc == 0 && worker->index == 0 ? look_for_largest(worker) : rc;
    rc = rc == 0 ? sb_meet(worker, meeting, &state->meetings) : rc;
    return rc == 0 && sb_verifies(worker) ? check_survivors(worker) : rc;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    (void)first;
    struct state *state = worker->state;
    for (uint64_t i = 0; i < count; i++) {
        int rc = one_cycle(worker);
        if (rc != 0) {
            return rc;
        }
        state->done++;
    }
    return 0;
}

static int verify(struct sb_worker *worker)
{
    const struct state *state = worker->state;
    uint64_t live = 0, filled = 0, freed = 0;
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct row *row = row_of(worker, i);
        filled += row->bytes;
        freed += row->freed;
        for (uint64_t k = 0; k < row->count; k++) {
            live += row->pieces[k].block.bits != 0 ? row->pieces[k].bytes : 0;
        }
    }
    if (state->done != worker->steps || live + freed != filled) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu cycles of %llu were done; of %llu bytes %llu were freed "
                       "and %llu survive",
                       (unsigned long long)state->done,
                       (unsigned long long)worker->steps, (unsigned long long)filled,
                       (unsigned long long)freed, (unsigned long long)live);
    }
    return check_survivors(worker);
}

static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    struct row *row = own_row(worker);
    for (uint64_t i = 0; i < row->count; i++) {
        if (row->pieces[i].block.bits != 0) {
            (void)sb_prepare_free(worker, row->pieces[i].block, row->pieces[i].bytes);
            row->pieces[i].block.bits = 0;
        }
    }
    sb_table_free(&state->sizes);
    *state = (struct state){0};
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)steps;
    return sizeof(struct board) + workers * row_bytes(options);
}

static uint64_t heap_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)workers;
    (void)steps;
    return ((const struct options *)options)->heap_bytes;
}

static const char *const figures[] = {"largest_share", "filled_share", NULL};

const struct sb_workload sb_workload_frag_then_big = {
    .name = "frag_then_big",
    .summary = "fill the heap, free every second block, ask for ever larger ones",
    .source = "the textbook worst case of external fragmentation (Robson 1971)",
    .stresses = "external fragmentation: `largest_share` is the largest block that "
                "could be had with half of the heap free, over the bytes given back, "
                "mean of the steps; `filled_share` what the full segment held, over "
                "its size",
    .not_shown = "throughput of any use: a step is a whole cycle; refused allocations "
                 "are how full and too large are found out, not failures; blocks "
                 "larger than what was given back are not asked for",
    .needs = SB_CAP_SHARE | SB_NEED_EXCHANGE | SB_NEED_CONTENTS,
    .workers_least = 1,
    .options = option_rows,
    .options_bytes = sizeof(struct options),
    .figures = figures,
    .state_bytes = sizeof(struct state),
    .shared_bytes = shared_bytes,
    .live_bytes = heap_bytes,
    .segment_bytes = heap_bytes,
    .begin = begin,
    .step = step,
    .verify = verify,
    .end = end,
};

// SPDX-License-Identifier: MIT
// prodcon: half of the workers allocate, the other half frees what they are sent.
//
// Built on: content.h, tables.h. Units: bytes; a producer's step is one block, a
// consumer's its share of them.
// Concurrency: one bounded ring for each producer and consumer, in the harness's shared
// memory, with one writer at either end; batches go round the consumers in turn.
// Why this way: which block goes where follows from its sequence alone, so the work is
// fixed, uneven numbers of workers included, and each consumer knows what to expect.
// Source: xmalloc-test (Lever & Boreham 2000; batches as in mimalloc-bench).
// Departures: a ring for each pair instead of one queue behind a lock, so that the lock
// of the queue is not what is measured.
#include "workloads/content.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

struct options {
    uint64_t least_bytes, most_bytes, batch, queue;
};

static const struct sb_option option_rows[] = {
    {"least", "smallest block", SB_BYTES, offsetof(struct options, least_bytes), "64",
     8, 64u << 20, NULL, SB_FIXED},
    {"most", "largest block, log-uniform (below the smallest: all blocks are alike)",
     SB_BYTES, offsetof(struct options, most_bytes), "64", 8, 64u << 20, NULL,
     SB_FIXED},
    {"batch", "blocks sent at a time", SB_COUNT, offsetof(struct options, batch),
     "4096", 1, 1 << 20, NULL, SB_FIXED},
    {"queue", "batches a queue holds before its producer waits", SB_COUNT,
     offsetof(struct options, queue), "2", 1, 64, NULL, SB_FIXED},
    {0},
};

struct item {
    sb_ref block; // zero: the heap was full
    uint64_t bytes;
};

struct ring {
    // Written by the producer (release: the items before it), read by the consumer.
    _Alignas(64) _Atomic uint64_t tail;
    // Written by the consumer (release: the items before it may be overwritten).
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) struct item items[];
};

// What a worker did in all; written by it at the end of each step call, read by the
// others after the barrier before verify.
struct tally {
    _Alignas(64) uint64_t blocks;
    uint64_t bytes, sum, refused;
};

struct state {
    struct sb_table sizes; // producer
    struct ring *ring;     // producer: of the running batch
    uint64_t position;     // producer: next place in that ring
    uint64_t left;         // producer: of the running batch
    uint64_t batches;      // producer: begun
    uint32_t from;         // consumer: the producer it looks at next
};

// The shape of a trial, worked out anew wherever it is needed outside of the loops.
struct shape {
    uint32_t producers, consumers;
    uint64_t batch, capacity, ring_bytes;
};

static struct shape shape_of(const struct options *options, uint32_t workers,
                             uint64_t steps)
{
    struct shape shape = {.producers = workers / 2, .consumers = workers - workers / 2};
    // A short trial is cut finer, so that each consumer has something to do.
    uint64_t fair = (steps + shape.consumers - 1) / shape.consumers;
    shape.batch = options->batch < fair ? options->batch : fair;
    shape.batch = shape.batch > 0 ? shape.batch : 1;
    shape.capacity = 1;
    while (shape.capacity < shape.batch * options->queue) {
        shape.capacity *= 2;
    }
    shape.ring_bytes = sizeof(struct ring) + shape.capacity * sizeof(struct item);
    shape.ring_bytes = (shape.ring_bytes + 63) & ~UINT64_C(63);
    return shape;
}

static struct shape shape_here(const struct sb_worker *worker)
{
    return shape_of(worker->options, worker->workers, worker->steps);
}

static struct tally *tally_of(const struct sb_worker *worker, uint32_t index)
{
    return (struct tally *)worker->shared + index;
}

static struct ring *ring_of(const struct sb_worker *worker, const struct shape *shape,
                            uint32_t producer, uint32_t consumer)
{
    unsigned char *rings = (unsigned char *)tally_of(worker, worker->workers);
    uint64_t index = (uint64_t)producer * shape->consumers + consumer;
    return (struct ring *)(rings + index * shape->ring_bytes);
}

// The consumer of a producer's batch; producers start at different ones.
static uint32_t receiver(const struct shape *shape, uint32_t producer, uint64_t batch)
{
    return (uint32_t)((batch + producer) % shape->consumers);
}

// How many blocks consumer `consumer` is sent in all.
static uint64_t quota(const struct shape *shape, uint32_t consumer, uint64_t steps)
{
    uint64_t whole = steps / shape->batch, rest = steps % shape->batch, sum = 0;
    for (uint32_t producer = 0; producer < shape->producers; producer++) {
        uint32_t first = // the first batch that goes to this consumer
            (consumer + shape->consumers - producer % shape->consumers) %
            shape->consumers;
        if (whole > first) {
            sum += ((whole - 1 - first) / shape->consumers + 1) * shape->batch;
        }
        sum += receiver(shape, producer, whole) == consumer ? rest : 0;
    }
    return sum;
}

static uint64_t share(uint64_t all, uint64_t part, uint64_t whole)
{
    return (uint64_t)((unsigned __int128)all * part / whole);
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    if (worker->index >= worker->workers / 2) {
        return 0; // a consumer is told the sizes
    }
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    int rc = sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                 options->most_bytes);
    return rc != 0 ? sb_fail(&worker->error, rc, "no memory for the tables") : 0;
}

// Turns to the ring of the next batch and waits until it has room for all of it.
static int start_batch(struct sb_worker *worker, const struct shape *shape)
{
    struct state *state = worker->state;
    uint32_t to = receiver(shape, worker->index, state->batches++);
    state->ring = ring_of(worker, shape, worker->index, to);
    state->position = atomic_load_explicit(&state->ring->tail, memory_order_relaxed);
    state->left = shape->batch;
    uint32_t turns = 0;
    sb_recorder_mark(&worker->recorder);
    while (state->position + shape->batch -
               atomic_load_explicit(&state->ring->head, memory_order_acquire) >
           shape->capacity) {
        int rc = sb_wait_turn(worker, &turns);
        if (rc != 0) {
            return rc;
        }
    }
    if (turns != 0) {
        sb_recorder_end(&worker->recorder, SB_OP_WAIT);
    }
    return 0;
}

// The word that a plain run writes: not zero, and not that of a neighbour.
static uint64_t stamp(uint32_t producer, uint64_t sequence)
{
    return sb_content_word(((uint64_t)producer + 1) << 56, sequence);
}

// `verify` is a constant in each of the two callers, so that neither tests it.
static inline __attribute__((always_inline)) int
produce(struct sb_worker *worker, uint64_t first, uint64_t count, bool verify)
{
    struct state *state = worker->state;
    struct shape shape = shape_here(worker);
    struct tally tally = *tally_of(worker, worker->index);
    for (uint64_t i = first; i < first + count; i++) {
        if (__builtin_expect(state->left == 0, 0)) {
            int rc = start_batch(worker, &shape);
            if (rc != 0) {
                return rc;
            }
        }
        struct item item = {.bytes = sb_table_at(&state->sizes, i)};
        uint64_t word = stamp(worker->index, i);
        int rc = sb_alloc(worker, item.bytes, &item.block);
        if (__builtin_expect(rc == 0, 1)) {
            if (verify) {
                word = sb_content_base(worker->index, i, item.bytes);
                rc = sb_block_fill(worker, item.block, item.bytes, word);
                sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
            } else {
                rc = sb_block_touch(worker, item.block, word);
            }
            if (__builtin_expect(rc != 0, 0)) {
                (void)worker->subject->free(worker->ctx, item.block);
                return rc;
            }
            tally.blocks++;
            tally.bytes += item.bytes;
            tally.sum += word;
        } else if (sb_is_full(rc)) {
            tally.refused++;
            item.block.bits = 0;
        } else {
            return sb_alloc_failed(worker, rc, item.bytes);
        }
        state->ring->items[state->position++ & (shape.capacity - 1)] = item;
        if (__builtin_expect(--state->left == 0 || i + 1 == worker->steps, 0)) {
            atomic_store_explicit(&state->ring->tail, state->position,
                                  memory_order_release);
        }
    }
    *tally_of(worker, worker->index) = tally;
    return 0;
}

// The sequence that the item at `position` of a ring has at its producer.
static uint64_t sequence_of(const struct shape *shape, uint32_t producer,
                            uint32_t consumer, uint64_t position)
{
    uint64_t first =
        (consumer + shape->consumers - producer % shape->consumers) % shape->consumers;
    uint64_t batch = position / shape->batch * shape->consumers + first;
    return batch * shape->batch + position % shape->batch;
}

// Takes one block: looks at its first word, compares all of it if asked to, frees it.
static inline __attribute__((always_inline)) int
consume_one(struct sb_worker *worker, const struct item *item, struct tally *tally,
            bool verify, const struct shape *shape, uint64_t position)
{
    if (verify) {
        struct state *state = worker->state;
        uint64_t sequence =
            sequence_of(shape, state->from, worker->index - shape->producers, position);
        int rc = sb_block_check(worker, item->block, item->bytes,
                                sb_content_base(state->from, sequence, item->bytes),
                                "block", sequence);
        if (rc != 0) {
            return rc;
        }
    }
    uint64_t word = 0;
    int rc = sb_block_look(worker, item->block, &word);
    if (__builtin_expect(rc != 0, 0)) {
        return rc;
    }
    tally->sum += word;
    tally->blocks++;
    tally->bytes += item->bytes;
    return sb_free(worker, item->block, item->bytes);
}

// Finds a producer that has sent something; returns how many of its items are there,
// at most a batch and `most`, or a negative errno.
static int64_t await(struct sb_worker *worker, const struct shape *shape, uint64_t most)
{
    struct state *state = worker->state;
    uint32_t turns = 0, consumer = worker->index - shape->producers;
    sb_recorder_mark(&worker->recorder);
    for (;;) {
        for (uint32_t i = 0; i < shape->producers; i++) {
            state->from = state->from + 1 < shape->producers ? state->from + 1 : 0;
            struct ring *ring = ring_of(worker, shape, state->from, consumer);
            uint64_t there = atomic_load_explicit(&ring->tail, memory_order_acquire) -
                             atomic_load_explicit(&ring->head, memory_order_relaxed);
            if (there != 0) {
                if (turns != 0) {
                    sb_recorder_end(&worker->recorder, SB_OP_WAIT);
                }
                there = there < shape->batch ? there : shape->batch;
                return (int64_t)(there < most ? there : most);
            }
        }
        int rc = sb_wait_turn(worker, &turns);
        if (rc != 0) {
            return rc;
        }
    }
}

static inline __attribute__((always_inline)) int
consume(struct sb_worker *worker, uint64_t first, uint64_t count, bool verify)
{
    struct state *state = worker->state;
    struct shape shape = shape_here(worker);
    struct tally tally = *tally_of(worker, worker->index);
    uint32_t consumer = worker->index - shape.producers;
    uint64_t all = quota(&shape, consumer, worker->steps);
    uint64_t left =
        share(all, first + count, worker->steps) - share(all, first, worker->steps);
    while (left > 0) {
        int64_t there = await(worker, &shape, left);
        if (there < 0) {
            return (int)there;
        }
        struct ring *ring = ring_of(worker, &shape, state->from, consumer);
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        for (uint64_t i = head; i < head + (uint64_t)there; i++) {
            struct item *item = &ring->items[i & (shape.capacity - 1)];
            if (__builtin_expect(item->block.bits == 0, 0)) {
                tally.refused++;
                continue;
            }
            int rc = consume_one(worker, item, &tally, verify, &shape, i);
            if (__builtin_expect(rc != 0, 0)) {
                // The ring starts at the block that failed, for end.
                atomic_store_explicit(&ring->head, i, memory_order_release);
                return rc;
            }
        }
        atomic_store_explicit(&ring->head, head + (uint64_t)there,
                              memory_order_release);
        left -= (uint64_t)there;
    }
    *tally_of(worker, worker->index) = tally;
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    if (worker->index < worker->workers / 2) {
        return sb_verifies(worker) ? produce(worker, first, count, true)
                                   : produce(worker, first, count, false);
    }
    return sb_verifies(worker) ? consume(worker, first, count, true)
                               : consume(worker, first, count, false);
}

static int verify(struct sb_worker *worker)
{
    struct shape shape = shape_here(worker);
    struct tally sent = {0}, got = {0};
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct tally *tally = tally_of(worker, i);
        struct tally *sum = i < shape.producers ? &sent : &got;
        sum->blocks += tally->blocks;
        sum->bytes += tally->bytes;
        sum->sum += tally->sum;
        sum->refused += tally->refused;
    }
    uint64_t expected = worker->steps * shape.producers;
    if (sent.blocks + sent.refused != expected || got.blocks != sent.blocks ||
        got.refused != sent.refused || got.bytes != sent.bytes) {
        return sb_fail(&worker->error, -EBADMSG,
                       "of %llu blocks %llu were sent and %llu refused; %llu arrived "
                       "(%llu bytes of %llu)",
                       (unsigned long long)expected, (unsigned long long)sent.blocks,
                       (unsigned long long)sent.refused, (unsigned long long)got.blocks,
                       (unsigned long long)got.bytes, (unsigned long long)sent.bytes);
    }
    if (sb_verifies(worker) && got.sum != sent.sum) {
        return sb_fail(&worker->error, -EBADMSG,
                       "the checksum over all blocks is 0x%llx, sent was 0x%llx",
                       (unsigned long long)got.sum, (unsigned long long)sent.sum);
    }
    return 0;
}

static void free_items(struct sb_worker *worker, const struct shape *shape,
                       struct ring *ring, uint64_t first, uint64_t past)
{
    for (uint64_t i = first; i != past; i++) {
        struct item *item = &ring->items[i & (shape->capacity - 1)];
        if (item->block.bits != 0) {
            (void)sb_prepare_free(worker, item->block, item->bytes);
        }
    }
}

// After a step that failed: what was sent is the consumer's to free, what was not yet
// sent the producer's.
static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    struct shape shape = shape_here(worker);
    if (worker->index < shape.producers) {
        if (state->ring != NULL) {
            uint64_t sent =
                atomic_load_explicit(&state->ring->tail, memory_order_relaxed);
            free_items(worker, &shape, state->ring, sent, state->position);
        }
        sb_table_free(&state->sizes);
        return;
    }
    for (uint32_t i = 0; i < shape.producers; i++) {
        struct ring *ring = ring_of(worker, &shape, i, worker->index - shape.producers);
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        free_items(worker, &shape, ring, head, tail);
        atomic_store_explicit(&ring->head, tail, memory_order_relaxed);
    }
    sb_table_free(&state->sizes);
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    struct shape shape = shape_of(options, workers, steps);
    return workers * sizeof(struct tally) +
           (size_t)shape.producers * shape.consumers * shape.ring_bytes;
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    const struct options *options = options_in;
    struct shape shape = shape_of(options, workers, steps);
    uint64_t blocks =
        (uint64_t)shape.producers * (shape.consumers * shape.capacity + shape.batch);
    double mean = sb_sizes_mean(options->least_bytes, options->most_bytes);
    return (uint64_t)(mean * 1.25 * (double)blocks) + options->most_bytes;
}

const struct sb_workload sb_workload_prodcon = {
    .name = "prodcon",
    .summary = "half of the workers allocate, the others free what they are sent",
    .source = "xmalloc-test (Lever & Boreham 2000), batches as in mimalloc-bench",
    .stresses = "freeing blocks of other workers in bulk: how memory finds its way "
                "back to the worker that allocates",
    .not_shown = "hand-over of single blocks at low latency (a batch is sent whole), "
                 "fragmentation; the slower half sets the pace, the faster waits",
    .needs = SB_NEED_EXCHANGE,
    .workers_least = 2,
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

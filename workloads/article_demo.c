// SPDX-License-Identifier: MIT
// article_demo: producers save handles in a list that lives in the heap; a consumer
// checks what they name.
//
// Built on: content.h, guard.h, tables.h. Units: bytes; a producer's step is one block,
// the consumer's one block for each producer.
// Concurrency: the list's anchor is a heap block, changed under its exclusive lock (a
// process-shared mutex where the subject has none); a node belongs to the list once it
// is linked, and to the consumer once it is taken off. Waiting ends with the trial.
// Why this way: a list of handles is what a heap of handles was made for: nothing in it
// holds an address, so every process may map the segment elsewhere.
// Source: the demonstration of 'Memory Mapped Files' (CodeGuru): two producers, one
// consumer, contents checked.
// Departures: the list is bounded, so that a slow consumer does not fill the heap, and
// contents are checked on every run, not with --verify alone.
#include "workloads/content.h"
#include "workloads/guard.h"
#include "workloads/tables.h"
#include "workloads/workload.h"

struct options {
    uint64_t least_bytes, most_bytes, list;
};

static const struct sb_option option_rows[] = {
    {"least", "smallest block", SB_BYTES, offsetof(struct options, least_bytes), "16",
     8, 64u << 20, NULL, SB_FIXED},
    {"most", "largest block, log-uniform (below the smallest: all blocks are alike)",
     SB_BYTES, offsetof(struct options, most_bytes), "1024", 8, 64u << 20, NULL,
     SB_FIXED},
    {"list", "most handles in the list; then producers wait", SB_COUNT,
     offsetof(struct options, list), "1000", 1, 10e6, NULL, SB_FIXED},
    {0},
};

// In the heap: the list's anchor, and a node for each handle in it.
struct anchor {
    sb_ref head, tail;
    uint64_t count;
};

struct node {
    sb_ref next, block;
    uint64_t bytes, sequence, producer;
};

// In the harness's shared memory.
struct board {
    struct sb_guard guard;
    sb_ref anchor; // written by worker 0 in begin, read after the barrier
};

// A worker's own line, read by others: `refused` while it runs (relaxed), the rest
// after the barrier before verify.
struct tally {
    _Alignas(64) _Atomic uint64_t refused;
    uint64_t blocks, bytes;
    uint64_t next; // written by the consumer: least sequence still to come from here
};

struct state {
    struct sb_table sizes;
    bool anchored; // worker 0: the anchor is there
};

static struct board *board_of(const struct sb_worker *worker)
{
    return worker->shared;
}

static struct tally *tally_of(const struct sb_worker *worker, uint32_t index)
{
    return (struct tally *)(board_of(worker) + 1) + index;
}

static int begin(struct sb_worker *worker)
{
    const struct options *options = worker->options;
    struct state *state = worker->state;
    struct board *board = board_of(worker);
    struct sb_random random;
    sb_random_seed(&random, worker->seed);
    int rc = sb_table_draw_sizes(&state->sizes, &random, options->least_bytes,
                                 options->most_bytes);
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no memory for the tables");
    }
    if (worker->index != 0) {
        return 0;
    }
    rc = sb_guard_init(&board->guard, true);
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "no process-shared mutex (errno %d)", -rc);
    }
    rc = sb_prepare_alloc(worker, sizeof(struct anchor), &board->anchor);
    if (rc != 0) {
        return rc;
    }
    state->anchored = true;
    struct anchor *anchor = sb_reach(worker, board->anchor, SB_LOCK_PIN);
    if (anchor == NULL) {
        return worker->refusal;
    }
    *anchor = (struct anchor){0};
    sb_leave(worker, board->anchor);
    return 0;
}

static struct anchor *list_enter(struct sb_worker *worker)
{
    struct board *board = board_of(worker);
    struct anchor *anchor = sb_guard_enter(worker, &board->guard, board->anchor);
    sb_recorder_end(&worker->recorder, SB_OP_LOCK);
    return anchor;
}

static void list_leave(struct sb_worker *worker)
{
    struct board *board = board_of(worker);
    sb_recorder_mark(&worker->recorder);
    sb_guard_leave(worker, &board->guard, board->anchor);
    sb_recorder_end(&worker->recorder, SB_OP_UNLOCK);
}

// One turn of waiting for the other side of the list.
static int list_wait(struct sb_worker *worker, uint32_t *turns)
{
    int rc = sb_wait_turn(worker, turns);
    sb_recorder_end(&worker->recorder, SB_OP_WAIT);
    return rc;
}

// Links a node at the tail. Waits while the list is full.
static int list_push(struct sb_worker *worker, sb_ref node)
{
    uint64_t most = ((const struct options *)worker->options)->list;
    uint32_t turns = 0;
    for (;;) {
        struct anchor *anchor = list_enter(worker);
        if (anchor == NULL) {
            return worker->refusal;
        }
        if (anchor->count < most) {
            int rc = 0;
            if (anchor->tail.bits == 0) {
                anchor->head = node;
            } else {
                struct node *last = sb_reach(worker, anchor->tail, SB_LOCK_PIN);
                if (last != NULL) {
                    last->next = node;
                    sb_leave(worker, anchor->tail);
                }
                rc = last != NULL ? 0 : worker->refusal;
            }
            if (rc == 0) {
                anchor->tail = node;
                anchor->count++;
            }
            list_leave(worker);
            return rc;
        }
        list_leave(worker);
        int rc = list_wait(worker, &turns);
        if (rc != 0) {
            return rc;
        }
    }
}

// Takes the node at the head off: 1 with its name and contents, 0 for an empty list.
static int list_take(struct sb_worker *worker, sb_ref *taken, struct node *contents)
{
    struct anchor *anchor = list_enter(worker);
    if (anchor == NULL) {
        return worker->refusal;
    }
    int rc = 0;
    if (anchor->head.bits != 0) {
        const struct node *first = sb_reach(worker, anchor->head, SB_LOCK_PIN);
        if (first != NULL) {
            *taken = anchor->head;
            *contents = *first;
            sb_leave(worker, *taken);
            anchor->head = contents->next;
            anchor->tail.bits = anchor->head.bits != 0 ? anchor->tail.bits : 0;
            anchor->count--;
        }
        rc = first != NULL ? 1 : worker->refusal;
    }
    list_leave(worker);
    return rc;
}

static int write_block(struct sb_worker *worker, const struct node *contents)
{
    int rc = sb_block_fill(
        worker, contents->block, contents->bytes,
        sb_content_base(worker->index, contents->sequence, contents->bytes));
    sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
    return rc;
}

static int write_node(struct sb_worker *worker, sb_ref node,
                      const struct node *contents)
{
    struct node *place = sb_reach(worker, node, SB_LOCK_PIN);
    if (place == NULL) {
        return worker->refusal;
    }
    *place = *contents;
    sb_leave(worker, node);
    sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
    return 0;
}

// One block and its node, in the list. -ENOMEM or -ENOSPC: the heap was full.
static int produce_one(struct sb_worker *worker, uint64_t sequence)
{
    struct state *state = worker->state;
    sb_ref node;
    struct node contents = {.bytes = sb_table_at(&state->sizes, sequence),
                            .sequence = sequence,
                            .producer = worker->index};
    int rc = sb_alloc(worker, contents.bytes, &contents.block);
    if (rc != 0) {
        return rc;
    }
    rc = sb_alloc(worker, sizeof(struct node), &node);
    if (rc != 0) {
        int freed = sb_free(worker, contents.block, contents.bytes);
        return freed != 0 ? freed : rc;
    }
    rc = write_block(worker, &contents);
    rc = rc == 0 ? write_node(worker, node, &contents) : rc;
    rc = rc == 0 ? list_push(worker, node) : rc;
    if (rc != 0) { // it is not in the list, so nobody else will free it
        (void)worker->subject->free(worker->ctx, node);
        (void)worker->subject->free(worker->ctx, contents.block);
    }
    return rc;
}

static int produce(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    struct tally *tally = tally_of(worker, worker->index);
    struct state *state = worker->state;
    for (uint64_t i = first; i < first + count; i++) {
        int rc = produce_one(worker, i);
        if (rc == 0) {
            tally->blocks++;
            tally->bytes += sb_table_at(&state->sizes, i);
        } else if (sb_is_full(rc)) {
            atomic_fetch_add_explicit(&tally->refused, 1, memory_order_relaxed);
        } else {
            return worker->error.text[0] != '\0'
                       ? rc
                       : sb_alloc_failed(worker, rc, sb_table_at(&state->sizes, i));
        }
    }
    return 0;
}

// Checks a node that was taken off, and the block it names; frees both.
static int consume_one(struct sb_worker *worker, sb_ref node, const struct node *found)
{
    struct tally *tally = tally_of(worker, worker->index);
    if (found->producer >= worker->index || found->bytes == 0 ||
        found->sequence < tally_of(worker, (uint32_t)found->producer)->next ||
        found->sequence >= worker->steps) {
        (void)worker->subject->free(worker->ctx, node); // not the block: which is it?
        return sb_fail(&worker->error, -EBADMSG,
                       "a node names block %llu of producer %llu, %llu bytes: that "
                       "cannot come next",
                       (unsigned long long)found->sequence,
                       (unsigned long long)found->producer,
                       (unsigned long long)found->bytes);
    }
    uint32_t producer = (uint32_t)found->producer;
    tally_of(worker, producer)->next = found->sequence + 1;
    int rc = sb_block_check(worker, found->block, found->bytes,
                            sb_content_base(producer, found->sequence, found->bytes),
                            "block", found->sequence);
    if (rc != 0) {
        (void)worker->subject->free(worker->ctx, found->block);
        (void)worker->subject->free(worker->ctx, node);
        return rc;
    }
    tally->blocks++;
    tally->bytes += found->bytes;
    rc = sb_free(worker, found->block, found->bytes);
    return rc == 0 ? sb_free(worker, node, sizeof(struct node)) : rc;
}

static uint64_t refused(const struct sb_worker *worker)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i + 1 < worker->workers; i++) {
        sum +=
            atomic_load_explicit(&tally_of(worker, i)->refused, memory_order_relaxed);
    }
    return sum;
}

static int consume(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    uint64_t producers = worker->workers - 1, lost = refused(worker);
    const struct tally *tally = tally_of(worker, worker->index);
    uint32_t turns = 0;
    while (tally->blocks + lost < (first + count) * producers) {
        sb_ref node = {0};
        struct node found = {0};
        int rc = list_take(worker, &node, &found);
        if (rc > 0) {
            rc = consume_one(worker, node, &found);
            turns = 0;
        } else if (rc == 0) {
            lost = refused(worker);
            rc = list_wait(worker, &turns);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int step(struct sb_worker *worker, uint64_t first, uint64_t count)
{
    return worker->index + 1 < worker->workers ? produce(worker, first, count)
                                               : consume(worker, first, count);
}

static int verify_counts(struct sb_worker *worker)
{
    uint64_t blocks = 0, bytes = 0, producers = worker->workers - 1;
    const struct tally *got = tally_of(worker, worker->workers - 1);
    for (uint32_t i = 0; i < producers; i++) {
        blocks += tally_of(worker, i)->blocks;
        bytes += tally_of(worker, i)->bytes;
    }
    if (blocks + refused(worker) != worker->steps * producers ||
        got->blocks != blocks || got->bytes != bytes) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu blocks (%llu bytes) were put into the list, %llu refused; "
                       "%llu (%llu bytes) came out",
                       (unsigned long long)blocks, (unsigned long long)bytes,
                       (unsigned long long)refused(worker),
                       (unsigned long long)got->blocks, (unsigned long long)got->bytes);
    }
    return 0;
}

// The heap holds the empty list and nothing else. One worker looks: that is enough.
static int verify_empty(struct sb_worker *worker)
{
    struct board *board = board_of(worker);
    const struct anchor *anchor = sb_reach(worker, board->anchor, SB_LOCK_PIN);
    if (anchor == NULL) {
        return worker->refusal;
    }
    struct anchor found = *anchor;
    sb_leave(worker, board->anchor);
    if (found.head.bits != 0 || found.tail.bits != 0 || found.count != 0) {
        return sb_fail(&worker->error, -EBADMSG, "the list still counts %llu handles",
                       (unsigned long long)found.count);
    }
    struct sb_usage usage;
    int rc = worker->subject->usage(worker->heap, &usage);
    if (rc != 0) {
        return sb_fail(&worker->error, rc, "usage was refused (errno %d)", -rc);
    }
    // Blocks on their way back to an owner are neither live nor yet free.
    bool known = usage.live_blocks != SB_UNKNOWN &&
                 (worker->subject->capabilities & SB_CAP_OWNER_FREE) == 0;
    if (known && usage.live_blocks != 1) {
        return sb_fail(&worker->error, -EBADMSG,
                       "%llu blocks are live, 1 (the list's anchor) should be",
                       (unsigned long long)usage.live_blocks);
    }
    return 0;
}

static int verify(struct sb_worker *worker)
{
    int rc = verify_counts(worker);
    return rc == 0 && worker->index == 0 ? verify_empty(worker) : rc;
}

// After a step that failed nodes may be left: worker 0 frees them with the anchor.
static void end(struct sb_worker *worker)
{
    struct state *state = worker->state;
    struct board *board = board_of(worker);
    sb_table_free(&state->sizes);
    if (!state->anchored) {
        return;
    }
    const struct anchor *anchor = sb_reach(worker, board->anchor, SB_LOCK_PIN);
    sb_ref each = anchor != NULL ? anchor->head : (sb_ref){0};
    uint64_t left = anchor != NULL ? anchor->count : 0;
    if (anchor != NULL) {
        sb_leave(worker, board->anchor);
    }
    for (; each.bits != 0 && left > 0; left--) {
        const struct node *place = sb_reach(worker, each, SB_LOCK_PIN);
        if (place == NULL) {
            break;
        }
        struct node node = *place;
        sb_leave(worker, each);
        (void)sb_prepare_free(worker, node.block, node.bytes);
        (void)sb_prepare_free(worker, each, sizeof(struct node));
        each = node.next;
    }
    (void)sb_prepare_free(worker, board->anchor, sizeof(struct anchor));
    pthread_mutex_destroy(&board->guard.mutex);
    state->anchored = false;
}

static size_t shared_bytes(const void *options, uint32_t workers, uint64_t steps)
{
    (void)options;
    (void)steps;
    return sizeof(struct board) + workers * sizeof(struct tally);
}

static uint64_t live_bytes(const void *options_in, uint32_t workers, uint64_t steps)
{
    (void)steps;
    const struct options *options = options_in;
    double mean = sb_sizes_mean(options->least_bytes, options->most_bytes);
    double blocks = (double)(options->list + workers);
    return (uint64_t)(blocks * (mean * 1.25 + (double)sizeof(struct node))) +
           options->most_bytes + sizeof(struct anchor);
}

const struct sb_workload sb_workload_article_demo = {
    .name = "article_demo",
    .summary = "producers save handles in a list in the heap, a consumer checks them",
    .source = "the demonstration of 'Memory Mapped Files' (CodeGuru, 1990s): two "
              "producers, one consumer",
    .stresses = "references stored in the heap itself, exclusive locking of one hot "
                "block (a process-shared mutex where the subject has none), frees by "
                "another process; contents are always checked",
    .not_shown = "the allocator alone: waiting for the list, and filling and comparing "
                 "contents, are most of the time; more than one consumer",
    .needs = SB_NEED_EXCHANGE | SB_NEED_CONTENTS,
    .workers_least = 3,
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

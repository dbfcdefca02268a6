// SPDX-License-Identifier: MIT
// What --verify writes into blocks and expects to find there again.
//
// Built on: worker_view.h. Units: bytes. Concurrency: any worker, blocks it may touch.
// Why this way: a pattern that follows from (worker, sequence, size) alone needs no
// copy of the contents, differs between any two blocks, and lets every worker check
// what any other wrote; eight bytes an addition keep verified runs near full speed.
#ifndef SB_CONTENT_H
#define SB_CONTENT_H

#include "workloads/worker_view.h"

// Where a block's pattern starts: equal for equal arguments, else (nearly) surely not.
static inline uint64_t sb_content_base(uint32_t worker, uint64_t sequence,
                                       uint64_t bytes)
{
    uint64_t x =
        (((uint64_t)worker + 1) << 48 ^ sequence) + bytes * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// Word `index` of a pattern; a last part of a word takes its low bytes.
static inline uint64_t sb_content_word(uint64_t base, uint64_t index)
{
    return base + index * 0xd1342543de82ef95u;
}

void sb_content_fill(void *block, uint64_t bytes, uint64_t base);

// Errors: -EBADMSG; the error names offset, expected and found. Cost: one pass.
int sb_content_check(const void *block, uint64_t bytes, uint64_t base,
                     struct sb_error *error);

// Fills / compares a block of this worker's subject, reaching it as sb_reach does.
// Comparing adds to verified_bytes and leaves the running operation begun anew, so that
// it falls into no latency. A subject that keeps no contents is given one word only.
// `what` names the block in the error: "slot 7".
int sb_block_fill(struct sb_worker *worker, sb_ref block, uint64_t bytes,
                  uint64_t base);
int sb_block_check(struct sb_worker *worker, sb_ref block, uint64_t bytes,
                   uint64_t base, const char *what, uint64_t which);

// Writes one word at the start of the block, which has at least 8 bytes: the touch of a
// measured step. Ends SB_OP_ACCESS. A plain store, made atomic because blocks of a
// subject that keeps no contents share their bytes.
static inline int sb_block_touch(struct sb_worker *worker, sb_ref block, uint64_t word)
{
    uint64_t *bytes = sb_reach(worker, block, SB_LOCK_PIN);
    if (__builtin_expect(bytes == NULL, 0)) {
        return worker->refusal;
    }
    __atomic_store_n(bytes, word, __ATOMIC_RELAXED);
    sb_leave(worker, block);
    sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
    return 0;
}

// Reads what sb_block_touch wrote, or the first word of a pattern; likewise.
static inline int sb_block_look(struct sb_worker *worker, sb_ref block, uint64_t *word)
{
    const uint64_t *bytes = sb_reach(worker, block, SB_LOCK_PIN);
    if (__builtin_expect(bytes == NULL, 0)) {
        return worker->refusal;
    }
    *word = __atomic_load_n(bytes, __ATOMIC_RELAXED);
    sb_leave(worker, block);
    sb_recorder_end(&worker->recorder, SB_OP_ACCESS);
    return 0;
}

#endif

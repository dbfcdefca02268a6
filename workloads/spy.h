// SPDX-License-Identifier: MIT
// A spy between a workload under test and a real subject: it can do the harm that a bad
// allocator would do.
//
// Built on: allocator/subject.h. Concurrency: plans are made before a trial, by one
// thread; during it the workers' threads share them under a mutex.
#ifndef SB_WORKLOADS_SPY_H
#define SB_WORKLOADS_SPY_H

#include <stdatomic.h>

#include "workloads/workload.h"

// Takes the real subject's place; knows how many blocks are live.
extern struct sb_subject spy_subject;

// Forgets all plans, frees what a spoiled trial left, and turns to this subject
// (malloc, since what is left outlives its heap).
void spy_on(const struct sb_subject *subject);

// The nth time that worker `who` reaches a block (from 1), a byte of it is flipped
// before.
void spy_spoil_reach(uint32_t who, uint64_t nth, uint64_t offset);
// The nth block that worker `maker` allocates has a byte flipped when worker `reacher`
// reaches it first.
void spy_spoil_block(uint32_t maker, uint64_t nth, uint32_t reacher, uint64_t offset);
// The nth free of all does nothing.
void spy_leak_free(uint64_t nth);
// Allocs first + 1 .. first + count of all are refused with -ENOMEM.
void spy_refuse_allocs(uint64_t first, uint64_t count);
// A heap of `room` bytes that never fragments, but has no block larger than `largest`:
// all else is refused with -ENOMEM.
void spy_limit(uint64_t room, uint64_t largest);
// The nth alloc of all takes this long.
void spy_stall_alloc(uint64_t nth, uint64_t ns);
// Flips a byte of a block that is live.
void spy_flip_live(struct sb_worker *worker, uint64_t offset);

// Calls of malloc and its kin, and of the random numbers, by threads within step.
extern _Atomic uint64_t spy_private_calls;

#endif

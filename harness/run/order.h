// SPDX-License-Identifier: MIT
// In which order the arms of a round run: fresh each time, and balanced over rounds.
//
// Built on: base/random.h. Concurrency: none.
// Why this way: an arm that always ran after the same one, or always first, would
//   measure its place. Rows of a Williams square (E. J. Williams 1949) put each arm in
//   each position equally often and after each other arm equally often; a fresh
//   relabelling a square keeps the order from being the same in each cell and square.
#ifndef SB_RUN_ORDER_H
#define SB_RUN_ORDER_H

#include <stdint.h>

// The order of round `round` (0, 1, ...) of the design that `seed` stands for:
// order[position] = arm, a permutation of 0 .. arms-1. Over `arms` successive rounds
// starting at a multiple of `arms`, each arm is once in each position.
// Cost: proportional to arms.
void sb_order_make(uint64_t seed, uint64_t round, uint32_t *order, uint32_t arms);

#endif

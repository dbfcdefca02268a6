// SPDX-License-Identifier: MIT
// Random numbers: one small generator, seeded the same in every arm of a round.
//
// Built on: nothing. Concurrency: a struct sb_random belongs to one thread.
// Source: xoshiro256** (Blackman, Vigna 2021), seeded by splitmix64.
#ifndef SB_BASE_RANDOM_H
#define SB_BASE_RANDOM_H

#include <stdint.h>

struct sb_random {
    uint64_t state[4];
};

void sb_random_seed(struct sb_random *random, uint64_t seed);
uint64_t sb_random_next(struct sb_random *random);
// Uniform in 0 .. below-1 without bias (Lemire 2019). below > 0.
uint64_t sb_random_below(struct sb_random *random, uint64_t below);
double sb_random_unit(struct sb_random *random); // [0, 1)
// A seed for part `index` of something seeded with `seed`: workers, arms, rounds.
uint64_t sb_random_derive(uint64_t seed, uint64_t index);
// A fresh permutation of 0 .. count-1 (Fisher-Yates).
void sb_random_permute(struct sb_random *random, uint32_t *order, uint32_t count);

#endif

// SPDX-License-Identifier: MIT
// Random numbers: see random.h.
#include "harness/base/random.h"

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

// splitmix64's output function: every input bit reaches every output bit.
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const uint64_t golden = 0x9e3779b97f4a7c15u;

void sb_random_seed(struct sb_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += golden;
        random->state[i] = mix(seed);
    }
}

uint64_t sb_random_next(struct sb_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t sb_random_below(struct sb_random *random, uint64_t below)
{
    unsigned __int128 product = (unsigned __int128)sb_random_next(random) * below;
    if ((uint64_t)product < below) {
        // 2^64 mod below: products whose low half is smaller would make some results
        // one time in 2^64 more likely than others.
        uint64_t biased = (0 - below) % below;
        while ((uint64_t)product < biased) {
            product = (unsigned __int128)sb_random_next(random) * below;
        }
    }
    return (uint64_t)(product >> 64);
}

double sb_random_unit(struct sb_random *random)
{
    return (double)(sb_random_next(random) >> 11) * 0x1p-53;
}

uint64_t sb_random_derive(uint64_t seed, uint64_t index)
{
    // Two rounds, so that neighbouring seeds and neighbouring indexes never meet.
    return mix(mix(seed + golden) ^ mix((index + 1) * golden));
}

void sb_random_permute(struct sb_random *random, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t left = count; left > 1; left--) {
        uint32_t chosen = (uint32_t)sb_random_below(random, left);
        uint32_t last = order[left - 1];
        order[left - 1] = order[chosen];
        order[chosen] = last;
    }
}

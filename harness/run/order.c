// SPDX-License-Identifier: MIT
// The order of arms within a round.
//
// Built on: order.h.
#include "harness/run/order.h"

#include <stdbool.h>

#include "harness/base/random.h"

// The row of a Williams square: 0, n-1, 1, n-2, 2, ... shifted by `shift`. For an odd n
// neighbours are balanced over two squares, the second of them read backwards.
static uint32_t williams(uint32_t arms, uint32_t shift, uint32_t position)
{
    uint32_t zigzag = position % 2 ? arms - (position + 1) / 2 : position / 2;
    return (zigzag + shift) % arms;
}

enum { ARMS_MAX = 64 };

void sb_order_make(uint64_t seed, uint64_t round, uint32_t *order, uint32_t arms)
{
    uint32_t labels[ARMS_MAX], shifts[ARMS_MAX];
    uint64_t square = round / arms;
    // Both squares of an odd design share their labels: only together they balance.
    uint64_t design = arms % 2 ? square / 2 : square;
    struct sb_random random;
    sb_random_seed(&random, sb_random_derive(seed, design));
    sb_random_permute(&random, labels, arms);
    sb_random_seed(&random, sb_random_derive(~seed, square));
    sb_random_permute(&random, shifts, arms);
    for (uint32_t position = 0; position < arms; position++) {
        bool backwards = arms % 2 && square % 2;
        uint32_t from = backwards ? arms - 1 - position : position;
        order[position] = labels[williams(arms, shifts[round % arms], from)];
    }
}

// SPDX-License-Identifier: MIT
// Distributions that workloads draw sizes, places and times from, before they are
// measured.
//
// Built on: random.h. Units: the caller's. Concurrency: as random.h.
#ifndef SB_BASE_DISTRIBUTIONS_H
#define SB_BASE_DISTRIBUTIONS_H

#include "harness/base/random.h"

// Log-uniform in least .. most, both included: each doubling is as likely as any other.
uint64_t sb_draw_log_uniform(struct sb_random *random, uint64_t least, uint64_t most);
uint64_t sb_draw_uniform(struct sb_random *random, uint64_t least, uint64_t most);
// Density falling with the square of the size (glibc's bench-malloc-thread).
uint64_t sb_draw_inverse_square(struct sb_random *random, uint64_t least,
                                uint64_t most);
// Exponential with the given mean: gaps of a Poisson process.
double sb_draw_exponential(struct sb_random *random, double mean);
// Bounded Pareto with shape alpha.
uint64_t sb_draw_pareto(struct sb_random *random, double alpha, uint64_t least,
                        uint64_t most);

// Zipf over 0 .. count-1 with exponent theta (YCSB: 0.99), rejection-inversion
// (Hoermann, Derflinger 1996): no table.
struct sb_zipf {
    double count, theta, h_first, h_last, s;
};
void sb_zipf_init(struct sb_zipf *zipf, uint64_t count, double theta);
uint64_t sb_zipf_draw(const struct sb_zipf *zipf, struct sb_random *random);

#endif

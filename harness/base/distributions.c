// SPDX-License-Identifier: MIT
// Distributions: see distributions.h.
//
// Why this way: all but the exponential draw from a continuous density over
// [least, most + 1) by inversion and take the whole part, so each costs one random
// number and is the same for the same seed. Zipf needs a few more now and then.
#include "harness/base/distributions.h"

#include <math.h>

// Rounding in the last place must not carry a draw out of its bounds.
static uint64_t whole_within(double x, uint64_t least, uint64_t most)
{
    if (!(x > (double)least)) {
        return least;
    }
    return x >= (double)most ? most : (uint64_t)x;
}

uint64_t sb_draw_log_uniform(struct sb_random *random, uint64_t least, uint64_t most)
{
    double unit = sb_random_unit(random);
    double span = log(((double)most + 1) / (double)least);
    return whole_within((double)least * exp(unit * span), least, most);
}

uint64_t sb_draw_uniform(struct sb_random *random, uint64_t least, uint64_t most)
{
    uint64_t span = most - least;
    if (span == UINT64_MAX) {
        return sb_random_next(random);
    }
    return least + sb_random_below(random, span + 1);
}

uint64_t sb_draw_inverse_square(struct sb_random *random, uint64_t least, uint64_t most)
{
    double high = 1 / (double)least, low = 1 / ((double)most + 1);
    double unit = sb_random_unit(random);
    return whole_within(1 / (high - unit * (high - low)), least, most);
}

double sb_draw_exponential(struct sb_random *random, double mean)
{
    return -mean * log1p(-sb_random_unit(random));
}

uint64_t sb_draw_pareto(struct sb_random *random, double alpha, uint64_t least,
                        uint64_t most)
{
    double beyond = pow((double)least / ((double)most + 1), alpha);
    double unit = sb_random_unit(random);
    double x = (double)least * pow(1 - unit * (1 - beyond), -1 / alpha);
    return whole_within(x, least, most);
}

// (exp(t) - 1) / t and log(1 + t) / t, whose limits at 0 are 1: they make one formula
// serve theta = 1 and its neighbourhood too.
static double expm1_over(double t)
{
    return fabs(t) > 1e-8 ? expm1(t) / t : 1 + t / 2;
}

static double log1p_over(double t)
{
    return fabs(t) > 1e-8 ? log1p(t) / t : 1 - t / 2;
}

static double zipf_density(double theta, double x)
{
    return exp(-theta * log(x));
}

// The integral of the density from 1 to x, and its inverse.
static double zipf_integral(double theta, double x)
{
    return expm1_over((1 - theta) * log(x)) * log(x);
}

static double zipf_inverse(double theta, double area)
{
    double t = fmax(area * (1 - theta), -1); // below -1 only by rounding
    return exp(log1p_over(t) * area);
}

void sb_zipf_init(struct sb_zipf *zipf, uint64_t count, double theta)
{
    zipf->count = (double)count;
    zipf->theta = theta;
    zipf->h_first = zipf_integral(theta, 1.5) - 1;
    zipf->h_last = zipf_integral(theta, zipf->count + 0.5);
    zipf->s =
        2 - zipf_inverse(theta, zipf_integral(theta, 2.5) - zipf_density(theta, 2));
}

uint64_t sb_zipf_draw(const struct sb_zipf *zipf, struct sb_random *random)
{
    for (;;) {
        double unit = sb_random_unit(random);
        double area = zipf->h_last + unit * (zipf->h_first - zipf->h_last);
        double x = zipf_inverse(zipf->theta, area);
        double rank = fmin(fmax(floor(x + 0.5), 1), zipf->count);
        // The first test needs no further exp or log and holds nearly always.
        if (rank - x <= zipf->s || area >= zipf_integral(zipf->theta, rank + 0.5) -
                                               zipf_density(zipf->theta, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}

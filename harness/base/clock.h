// SPDX-License-Identifier: MIT
// Time: the only place of the suite that reads a clock.
//
// Built on: rdtsc where the kernel itself trusts the TSC, else CLOCK_MONOTONIC_RAW.
// Units: ticks (opaque, one rate for all processes of a machine) and nanoseconds.
// Concurrency: sb_clock_start once per process before the first stamp; then any thread.
// Why this way: rdtsc costs about 10 ns here, clock_gettime three times that.
#ifndef SB_BASE_CLOCK_H
#define SB_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

struct sb_clock {
    bool tsc;           // ticks are TSC counts, else nanoseconds
    double ns_per_tick; // measured against CLOCK_MONOTONIC_RAW
};
extern struct sb_clock sb_clock; // written by sb_clock_start / sb_clock_adopt alone

// Finds out whether the TSC may be used and measures its rate (about 20 ms).
void sb_clock_start(void);
// Takes the rate that the coordinator measured, so that all processes agree and start
// fast.
void sb_clock_adopt(const struct sb_clock *clock);

uint64_t sb_ticks_slow(void);

static inline uint64_t sb_ticks(void)
{
    return __builtin_expect(sb_clock.tsc, 1) ? __rdtsc() : sb_ticks_slow();
}

double sb_ticks_ns(uint64_t ticks); // ticks to nanoseconds
uint64_t sb_now_ns(void);           // CLOCK_MONOTONIC, for deadlines and progress
double sb_wall_s(void);             // CLOCK_REALTIME seconds, for records
// The cost of one chained stamp in ns: median of many back-to-back stamps.
double sb_clock_stamp_ns(void);
void sb_sleep_ns(uint64_t ns); // for samplers and hold/think times above 50 us only
void sb_spin_ns(uint64_t ns);  // busy: hold and think times

#endif

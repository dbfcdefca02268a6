// SPDX-License-Identifier: MIT
// Time: see clock.h.
//
// Why this way: the TSC is used only where the kernel itself keeps time by it (it has
// then checked that the cores agree) and the processor says that its rate never
// changes. The rate is taken against CLOCK_MONOTONIC_RAW, which nobody steers.
#include "harness/base/clock.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/base/file.h"

#define SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

struct sb_clock sb_clock = {.tsc = false, .ns_per_tick = 1.0};

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// "tsc" is the current clock source only while the kernel's watchdog trusts it.
static bool kernel_trusts_tsc(void)
{
    char name[32];
    return sb_file_read(SOURCE, name, sizeof(name)) == 0 && strcmp(name, "tsc") == 0;
}

// CPUID leaf 0x80000007, EDX bit 8: the TSC runs at one rate in every power state.
static bool tsc_is_invariant(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
}

struct instant {
    uint64_t tsc, raw_ns;
};

// Both clocks at nearly the same moment: of many tries the one least disturbed between
// its two TSC reads.
static struct instant read_both(void)
{
    struct instant best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 50; i++) {
        uint64_t before = __rdtsc();
        uint64_t raw_ns = read_clock(CLOCK_MONOTONIC_RAW);
        uint64_t after = __rdtsc();
        if (after - before < least) {
            least = after - before;
            best = (struct instant){before + (after - before) / 2, raw_ns};
        }
    }
    return best;
}

void sb_clock_start(void)
{
    struct sb_clock found = {.tsc = false, .ns_per_tick = 1.0};
    if (kernel_trusts_tsc() && tsc_is_invariant()) {
        struct instant first = read_both();
        sb_sleep_ns(20000000);
        struct instant last = read_both();
        if (last.tsc > first.tsc && last.raw_ns > first.raw_ns) {
            found.tsc = true;
            found.ns_per_tick =
                (double)(last.raw_ns - first.raw_ns) / (double)(last.tsc - first.tsc);
        }
    }
    sb_clock = found;
}

void sb_clock_adopt(const struct sb_clock *clock)
{
    sb_clock = *clock;
}

uint64_t sb_ticks_slow(void)
{
    return read_clock(CLOCK_MONOTONIC_RAW);
}

double sb_ticks_ns(uint64_t ticks)
{
    return (double)ticks * sb_clock.ns_per_tick;
}

uint64_t sb_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double sb_wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum { STAMPS = 256, SAMPLES = 101 };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sb_clock_stamp_ns(void)
{
    double samples[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t first = sb_ticks(), last = first;
        for (int j = 0; j < STAMPS; j++) {
            last = sb_ticks();
        }
        samples[i] = sb_ticks_ns(last - first) / STAMPS;
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare_doubles);
    return samples[SAMPLES / 2];
}

void sb_sleep_ns(uint64_t ns)
{
    uint64_t end = sb_now_ns() + ns;
    struct timespec until = {.tv_sec = (time_t)(end / 1000000000u),
                             .tv_nsec = (long)(end % 1000000000u)};
    // To an absolute moment: a signal must not make a pause longer.
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

void sb_spin_ns(uint64_t ns)
{
    double ticks = (double)ns / sb_clock.ns_per_tick;
    uint64_t first = sb_ticks();
    while ((double)(sb_ticks() - first) < ticks) {
        __builtin_ia32_pause();
    }
}

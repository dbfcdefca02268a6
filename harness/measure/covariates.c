// SPDX-License-Identifier: MIT
// What else the machine did meanwhile: the covariates of environment.h.
//
// Why this way: a disturbed round is told by what disturbs (stolen time, pressure,
// waiting for a core), never by its result.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/measure/environment.h"

static uint64_t read_steal_ms(void)
{
    char text[512];
    uint64_t ticks;
    long rate = sysconf(_SC_CLK_TCK);
    // user nice system idle iowait irq softirq steal
    if (sb_file_read("/proc/stat", text, sizeof(text)) != 0 || rate <= 0 ||
        sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &ticks) != 1) {
        return SB_COVARIATE_UNKNOWN;
    }
    return ticks * 1000 / (uint64_t)rate;
}

static uint64_t read_pressure_us(const char *path)
{
    char text[256];
    uint64_t total_us;
    if (sb_file_read(path, text, sizeof(text)) != 0 ||
        sscanf(text, "some avg10=%*f avg60=%*f avg300=%*f total=%" SCNu64, &total_us) !=
            1) {
        return SB_COVARIATE_UNKNOWN;
    }
    return total_us;
}

void sb_covariates_read(struct sb_covariates *covariates)
{
    covariates->steal_ms = read_steal_ms();
    covariates->psi_cpu_us = read_pressure_us("/proc/pressure/cpu");
    covariates->psi_memory_us = read_pressure_us("/proc/pressure/memory");
}

// A counter that some kernels let run backwards (steal) has then not moved.
static void since(uint64_t before, uint64_t *after)
{
    if (before == SB_COVARIATE_UNKNOWN || *after == SB_COVARIATE_UNKNOWN) {
        *after = SB_COVARIATE_UNKNOWN;
    } else {
        *after = *after > before ? *after - before : 0;
    }
}

void sb_covariates_since(const struct sb_covariates *before,
                         struct sb_covariates *after)
{
    since(before->steal_ms, &after->steal_ms);
    since(before->psi_cpu_us, &after->psi_cpu_us);
    since(before->psi_memory_us, &after->psi_memory_us);
}

static uint64_t read_run_delay_ns(void)
{
    char text[128];
    uint64_t delay_ns;
    if (sb_file_read("/proc/thread-self/schedstat", text, sizeof(text)) != 0 ||
        sscanf(text, "%*u %" SCNu64, &delay_ns) != 1) {
        return SB_COVARIATE_UNKNOWN;
    }
    return delay_ns;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

void sb_self_covariates_read(struct sb_self_covariates *covariates)
{
    struct rusage usage;
    memset(&usage, 0, sizeof(usage));
    getrusage(RUSAGE_THREAD, &usage);
    *covariates = (struct sb_self_covariates){
        .run_delay_ns = read_run_delay_ns(),
        .voluntary_switches = (uint64_t)usage.ru_nvcsw,
        .involuntary_switches = (uint64_t)usage.ru_nivcsw,
        .minor_faults = (uint64_t)usage.ru_minflt,
        .major_faults = (uint64_t)usage.ru_majflt,
        .user_ns = timeval_ns(usage.ru_utime),
        .system_ns = timeval_ns(usage.ru_stime),
    };
}

void sb_self_covariates_since(const struct sb_self_covariates *before,
                              struct sb_self_covariates *after)
{
    since(before->run_delay_ns, &after->run_delay_ns);
    since(before->voluntary_switches, &after->voluntary_switches);
    since(before->involuntary_switches, &after->involuntary_switches);
    since(before->minor_faults, &after->minor_faults);
    since(before->major_faults, &after->major_faults);
    since(before->user_ns, &after->user_ns);
    since(before->system_ns, &after->system_ns);
}

// SPDX-License-Identifier: MIT
// Facts about processors and clocks: see environment.h.
#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/measure/facts.h"

// Which processors this process may use, as "0-3,8", and how many.
static int allowed_cpus(char *text, size_t bytes)
{
    cpu_set_t set;
    text[0] = '\0';
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 0;
    }
    size_t used = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && used < bytes; cpu++) {
        if (!CPU_ISSET(cpu, &set)) {
            continue;
        }
        size_t last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set)) {
            last++;
        }
        const char *comma = used == 0 ? "" : ",";
        int made =
            last == cpu
                ? snprintf(text + used, bytes - used, "%s%zu", comma, cpu)
                : snprintf(text + used, bytes - used, "%s%zu-%zu", comma, cpu, last);
        used += made > 0 ? (size_t)made : 0;
        cpu = last;
    }
    return CPU_COUNT(&set);
}

static void add_virtualization(struct sb_environment *environment)
{
    uint32_t a, b, c, d;
    char vendor[13] = "none";
    // CPUID leaf 1, ECX bit 31 is set by hypervisors alone; leaf 0x40000000 names them.
    if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c & 1u << 31) != 0) {
        __cpuid(0x40000000, a, b, c, d);
        memcpy(vendor, &b, 4);
        memcpy(vendor + 4, &c, 4);
        memcpy(vendor + 8, &d, 4);
        vendor[12] = '\0';
    }
    sb_fact_text(environment, "hypervisor", SB_IDENTITY, "%s", vendor);
}

static void add_governor(struct sb_environment *environment)
{
    char word[32];
    if (sb_file_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", word,
                     sizeof(word)) != 0) {
        // As in virtual machines: the host decides.
        sb_fact_text(environment, "governor", SB_IDENTITY, "none");
        return;
    }
    sb_fact_text(environment, "governor", SB_IDENTITY, "%s", word);
    if (strcmp(word, "performance") != 0) {
        sb_fact_warn(environment,
                     "the clock rate follows the load (%s): cpupower frequency-set -g "
                     "performance",
                     word);
    }
}

static void add_turbo(struct sb_environment *environment)
{
    double value;
    const char *turbo = "unknown";
    if (sb_file_number("/sys/devices/system/cpu/cpufreq/boost", &value)) {
        turbo = value != 0 ? "on" : "off";
    } else if (sb_file_number("/sys/devices/system/cpu/intel_pstate/no_turbo",
                              &value)) {
        turbo = value == 0 ? "on" : "off";
    }
    sb_fact_text(environment, "turbo", SB_IDENTITY, "%s", turbo);
}

void sb_facts_cpu(struct sb_environment *environment)
{
    char text[160] = "";
    sb_file_value("/proc/cpuinfo", "model name", text, sizeof(text));
    sb_fact_text(environment, "cpu_model", SB_IDENTITY, "%s", text);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    sb_fact_number(environment, "cpus_online", SB_IDENTITY, (double)online);
    int allowed = allowed_cpus(text, sizeof(text));
    sb_fact_text(environment, "cpus_allowed", SB_IDENTITY, "%s", text);
    if (allowed == 1) {
        sb_fact_warn(environment, "only one processor may be used: workers will take "
                                  "turns; allow more (taskset, cpuset)");
    }
    sb_fact_file(environment, "smt", SB_IDENTITY,
                 "/sys/devices/system/cpu/smt/control");
    sb_fact_number(environment, "cache_l1d_bytes", SB_IDENTITY,
                   (double)sysconf(_SC_LEVEL1_DCACHE_SIZE));
    sb_fact_number(environment, "cache_l2_bytes", SB_IDENTITY,
                   (double)sysconf(_SC_LEVEL2_CACHE_SIZE));
    sb_fact_number(environment, "cache_l3_bytes", SB_IDENTITY,
                   (double)sysconf(_SC_LEVEL3_CACHE_SIZE));
    sb_fact_file(environment, "numa_nodes", SB_IDENTITY,
                 "/sys/devices/system/node/online");
    add_virtualization(environment);
    add_governor(environment);
    add_turbo(environment);
}

// Is `flag` one of the words of the flags line?
static bool has_flag(const char *flags, const char *flag)
{
    size_t letters = strlen(flag);
    for (const char *at = flags; (at = strstr(at, flag)) != NULL; at += letters) {
        if ((at == flags || at[-1] == ' ') && strchr(" \n", at[letters]) != NULL) {
            return true;
        }
    }
    return false;
}

void sb_facts_clock(struct sb_environment *environment)
{
    char flags[2048] = "";
    sb_file_value("/proc/cpuinfo", "flags", flags, sizeof(flags));
    sb_fact_file(environment, "clocksource", SB_IDENTITY,
                 "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    sb_fact_text(environment, "tsc", SB_IDENTITY, "%s%s",
                 has_flag(flags, "constant_tsc") ? "constant" : "varying",
                 has_flag(flags, "nonstop_tsc") ? " nonstop" : "");
    sb_fact_text(environment, "clock", SB_IDENTITY, "%s",
                 sb_clock.tsc ? "tsc" : "monotonic_raw");
    double stamp_ns = sb_clock_stamp_ns();
    if (!sb_clock.tsc) {
        sb_fact_warn(
            environment,
            "the kernel keeps no time by the TSC, a stamp costs %.0f ns: latency "
            "figures of short operations are mostly stamp",
            stamp_ns);
    }
    sb_fact_number(environment, "clock_ns_per_tick", SB_MOOD, sb_clock.ns_per_tick);
    sb_fact_number(environment, "clock_stamp_ns", SB_MOOD, stamp_ns);
}

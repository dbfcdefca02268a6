// SPDX-License-Identifier: MIT
// How quiet is the machine right now? See environment.h.
//
// Why this way: an idle machine lets a spinning thread run; whatever interrupts it will
// interrupt a worker too. The gaps between its stamps show interrupts, stolen time and
// other programs alike, without asking who it was.
#include <stdio.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/measure/facts.h"

enum { PROBE_NS = 100000000, GAP_NS = 5000, WORST_NS = 1000000 };

struct gaps {
    double worst_ns, lost_ns, total_ns;
};

static struct gaps probe_gaps(void)
{
    struct gaps gaps = {0, 0, 0};
    uint64_t first = sb_ticks(), last = first;
    while (gaps.total_ns < PROBE_NS) {
        uint64_t now = sb_ticks();
        double gap_ns = sb_ticks_ns(now - last);
        if (gap_ns > gaps.worst_ns) {
            gaps.worst_ns = gap_ns;
        }
        if (gap_ns > GAP_NS) {
            gaps.lost_ns += gap_ns;
        }
        last = now;
        gaps.total_ns = sb_ticks_ns(now - first);
    }
    return gaps;
}

static void add_gaps(struct sb_environment *environment)
{
    struct sb_covariates before, after;
    char text[SB_FORMAT_BYTES];
    sb_covariates_read(&before);
    struct gaps gaps = probe_gaps();
    sb_covariates_read(&after);
    sb_covariates_since(&before, &after);
    sb_fact_number(environment, "hiccup_worst_ns", SB_MOOD, gaps.worst_ns);
    if (gaps.worst_ns > WORST_NS) {
        sb_fact_warn(environment,
                     "a thread that only spun was held up for %s: end other "
                     "programs, or raise rounds",
                     sb_format_ns(gaps.worst_ns, text, sizeof(text)));
    }
    sb_fact_number(environment, "hiccup_share", SB_MOOD, gaps.lost_ns / gaps.total_ns);
    if (after.steal_ms == SB_COVARIATE_UNKNOWN) {
        sb_fact_text(environment, "steal_probe_ms", SB_MOOD, "unknown");
        return;
    }
    sb_fact_number(environment, "steal_probe_ms", SB_MOOD, (double)after.steal_ms);
    if (after.steal_ms > 0) {
        sb_fact_warn(environment,
                     "the host took %llu ms of %d ms from this machine: "
                     "measure when its neighbours are quiet",
                     (unsigned long long)after.steal_ms, PROBE_NS / 1000000);
    }
}

static void add_steal_since_boot(struct sb_environment *environment)
{
    char text[512];
    double t[8], total = 0;
    if (sb_file_read("/proc/stat", text, sizeof(text)) != 0 ||
        sscanf(text, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2], &t[3],
               &t[4], &t[5], &t[6], &t[7]) != 8) {
        sb_fact_text(environment, "steal_since_boot_share", SB_MOOD, "unknown");
        return;
    }
    for (int i = 0; i < 8; i++) {
        total += t[i];
    }
    double share = total > 0 ? t[7] / total : 0;
    sb_fact_number(environment, "steal_since_boot_share", SB_MOOD, share);
    if (share > 0.02) {
        sb_fact_warn(environment,
                     "the host took %.1f %% of the time since boot: trust "
                     "only ratios within a run, and raise rounds",
                     share * 100);
    }
}

static void add_pressure(struct sb_environment *environment, const char *name,
                         const char *path, const char *of)
{
    char text[256];
    double percent;
    if (sb_file_read(path, text, sizeof(text)) != 0 ||
        sscanf(text, "some avg10=%lf", &percent) != 1) {
        sb_fact_text(environment, name, SB_MOOD, "unknown");
        return;
    }
    sb_fact_number(environment, name, SB_MOOD, percent);
    if (percent > 10) {
        sb_fact_warn(environment,
                     "tasks waited for %s %.0f %% of the last 10 s: end other "
                     "programs",
                     of, percent);
    }
}

void sb_facts_noise(struct sb_environment *environment)
{
    char text[64];
    double load;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (sb_file_read("/proc/loadavg", text, sizeof(text)) == 0 &&
        sscanf(text, "%lf", &load) == 1) {
        sb_fact_number(environment, "load_1min", SB_MOOD, load);
        if (load > 0.5 * (double)cpus) {
            sb_fact_warn(environment,
                         "load %.1f on %ld CPUs: wait until the machine is "
                         "idle, or end other programs",
                         load, cpus);
        }
    } else {
        sb_fact_text(environment, "load_1min", SB_MOOD, "unknown");
    }
    add_pressure(environment, "psi_cpu_percent", "/proc/pressure/cpu", "a CPU");
    add_pressure(environment, "psi_memory_percent", "/proc/pressure/memory", "memory");
    add_steal_since_boot(environment);
    add_gaps(environment);
}

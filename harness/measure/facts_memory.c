// SPDX-License-Identifier: MIT
// Facts about memory and what the kernel does to it unasked: see environment.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/measure/facts.h"

#define THP   "/sys/kernel/mm/transparent_hugepage/"
#define DAMON "/sys/kernel/mm/damon/admin/kdamonds/"

// How freely huge pages are given: 0 never, 1 where asked for, 2 always. -1 unknown.
static int thp_grade(const char *word)
{
    static const struct {
        const char *word;
        int grade;
    } words[] = {{"never", 0},  {"deny", 0},        {"madvise", 1}, {"advise", 1},
                 {"always", 2}, {"within_size", 2}, {"force", 2}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, word) == 0) {
            return words[i].grade;
        }
    }
    return -1;
}

static void add_huge_pages(struct sb_environment *environment)
{
    char private_word[32] = "unknown", shared_word[32] = "unknown";
    sb_file_chosen(THP "enabled", private_word, sizeof(private_word));
    sb_file_chosen(THP "shmem_enabled", shared_word, sizeof(shared_word));
    sb_fact_text(environment, "thp_private", SB_IDENTITY, "%s", private_word);
    sb_fact_text(environment, "thp_shared", SB_IDENTITY, "%s", shared_word);
    int grade = thp_grade(private_word);
    if (grade != thp_grade(shared_word)) {
        static const char *const equal[] = {"never", "advise", "always"};
        sb_fact_warn(
            environment,
            "huge pages differ for private (%s) and shared memory (%s), unfair to "
            "one: echo %s > " THP "shmem_enabled",
            private_word, shared_word, grade < 0 ? "never" : equal[grade]);
    }
    char total[32] = "";
    sb_file_value("/proc/meminfo", "HugePages_Total", total, sizeof(total));
    sb_fact_text(environment, "hugetlb_pages", SB_MOOD, "%s", total);
}

// A line of /proc/meminfo in bytes; -1 when it has none.
static double meminfo_bytes(const char *key)
{
    char text[64];
    if (!sb_file_value("/proc/meminfo", key, text, sizeof(text))) {
        return -1;
    }
    return strtod(text, NULL) * 1024;
}

static void add_amounts(struct sb_environment *environment)
{
    double total = meminfo_bytes("MemTotal"), free = meminfo_bytes("MemAvailable");
    char text[SB_FORMAT_BYTES];
    sb_fact_number(environment, "memory_bytes", SB_MOOD, total);
    sb_fact_number(environment, "memory_available_bytes", SB_MOOD, free);
    if (free >= 0 && free < 0x1p30) {
        sb_fact_warn(environment,
                     "only %s of memory are available: reclaim would be "
                     "measured too; end what holds it",
                     sb_format_bytes(free, text, sizeof(text)));
    }
    sb_fact_number(environment, "swap_bytes", SB_MOOD, meminfo_bytes("SwapTotal"));
    sb_fact_number(environment, "page_bytes", SB_IDENTITY,
                   (double)sysconf(_SC_PAGESIZE));
    sb_fact_file(environment, "overcommit", SB_MOOD, "/proc/sys/vm/overcommit_memory");
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        sb_fact_text(environment, "mlock_limit_bytes", SB_MOOD, "unknown");
    } else if (limit.rlim_cur == RLIM_INFINITY) {
        sb_fact_text(environment, "mlock_limit_bytes", SB_MOOD, "unlimited");
    } else {
        sb_fact_number(environment, "mlock_limit_bytes", SB_MOOD,
                       (double)limit.rlim_cur);
    }
}

static void add_shm(struct sb_environment *environment)
{
    struct statvfs shm;
    if (statvfs("/dev/shm", &shm) != 0) {
        sb_fact_text(environment, "shm_bytes", SB_MOOD, "unknown");
        sb_fact_warn(environment, "no /dev/shm: segments as POSIX shm cannot be made; "
                                  "keep medium=memfd");
        return;
    }
    double total = (double)shm.f_blocks * (double)shm.f_frsize;
    char text[SB_FORMAT_BYTES];
    sb_fact_number(environment, "shm_bytes", SB_MOOD, total);
    if (total <= 0x1p26) {
        sb_fact_warn(
            environment,
            "/dev/shm has %s, as containers do: keep medium=memfd, or start the "
            "container with --shm-size=1g",
            sb_format_bytes(total, text, sizeof(text)));
    }
    sb_fact_number(environment, "shm_free_bytes", SB_MOOD,
                   (double)shm.f_bavail * (double)shm.f_frsize);
}

static bool is_on(const char *path)
{
    char text[16] = "";
    return sb_file_read(path, text, sizeof(text)) == 0 &&
           (text[0] == 'Y' || (text[0] >= '1' && text[0] <= '9') ||
            strcmp(text, "on") == 0);
}

// Does some DAMON thread run? `action` is what the first scheme found does to pages.
static bool damon_runs(char *action, size_t bytes)
{
    snprintf(action, bytes, "unknown");
    if (is_on("/sys/module/damon_reclaim/parameters/enabled") ||
        is_on("/sys/module/damon_lru_sort/parameters/enabled")) {
        snprintf(action, bytes, "module");
        return true;
    }
    double threads = 0;
    sb_file_number(DAMON "nr_kdamonds", &threads);
    for (int i = 0; i < (int)threads; i++) {
        char path[160];
        snprintf(path, sizeof(path), DAMON "%d/state", i);
        if (is_on(path)) {
            snprintf(path, sizeof(path), DAMON "%d/contexts/0/schemes/0/action", i);
            sb_file_read(path, action, bytes);
            return true;
        }
    }
    return false;
}

static void add_damon(struct sb_environment *environment)
{
    char action[32];
    if (damon_runs(action, sizeof(action))) {
        sb_fact_text(environment, "damon", SB_MOOD, "on (%s)", action);
        sb_fact_warn(
            environment,
            "DAMON samples all memory and may act on it (%s): echo off > " DAMON
            "0/state, or disable its module",
            action);
        return;
    }
    sb_fact_text(environment, "damon", SB_MOOD, "%s",
                 access(DAMON, F_OK) == 0 ? "off" : "absent");
}

// Whatever reclaims, merges or migrates pages behind a process's back.
static void add_meddlers(struct sb_environment *environment)
{
    add_damon(environment);
    bool merges = is_on("/sys/kernel/mm/ksm/run");
    sb_fact_text(environment, "ksm", SB_MOOD, "%s", merges ? "on" : "off");
    if (merges) {
        sb_fact_warn(environment,
                     "KSM merges equal pages: echo 0 > /sys/kernel/mm/ksm/run");
    }
    bool migrates = is_on("/proc/sys/kernel/numa_balancing");
    sb_fact_text(environment, "numa_balancing", SB_MOOD, "%s", migrates ? "on" : "off");
    if (migrates) {
        sb_fact_warn(environment,
                     "pages are moved between nodes while measuring: sysctl "
                     "kernel.numa_balancing=0");
    }
}

void sb_facts_memory(struct sb_environment *environment)
{
    add_amounts(environment);
    add_huge_pages(environment);
    add_shm(environment);
    add_meddlers(environment);
}

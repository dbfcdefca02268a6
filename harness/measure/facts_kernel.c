// SPDX-License-Identifier: MIT
// Facts about the kernel, what it permits, and this build: see environment.h.
#include <errno.h>
#include <gnu/libc-version.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/measure/facts.h"

static void add_membarrier(struct sb_environment *environment)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    bool usable = commands > 0;
    bool mine = usable && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
    bool all = usable && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
    sb_fact_text(environment, "membarrier_expedited", SB_IDENTITY, "%s",
                 mine && all ? "private global"
                 : all       ? "global"
                 : mine      ? "private"
                             : "none");
    if (!all) {
        sb_fact_warn(environment,
                     "no membarrier across processes: a mover that needs it "
                     "cannot run; allow the call (seccomp profile)");
    }
}

static void add_perf(struct sb_environment *environment)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof(attributes);
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.exclude_kernel = 1;
    attributes.exclude_hv = 1;
    attributes.disabled = 1;
    long fd =
        syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0) {
        sb_fact_text(environment, "perf_instructions", SB_MOOD, "yes");
        close((int)fd);
        return;
    }
    sb_fact_text(environment, "perf_instructions", SB_MOOD, "no (%s)",
                 errno == ENOENT   ? "no such counter, as in many virtual machines"
                 : errno == EACCES ? "kernel.perf_event_paranoid forbids it"
                                   : strerror(errno));
}

// Fault tests step through other processes; this says whether they may.
static void add_ptrace(struct sb_environment *environment)
{
    static const char *const scopes[] = {"classic", "descendants", "admin", "none"};
    double scope;
    if (!sb_file_number("/proc/sys/kernel/yama/ptrace_scope", &scope)) {
        scope = 0; // no Yama: the classic rule
    }
    sb_fact_text(environment, "ptrace_scope", SB_MOOD, "%s",
                 scope >= 0 && scope <= 3 ? scopes[(int)scope] : "unknown");
    char mode[8] = "";
    sb_file_value("/proc/self/status", "Seccomp", mode, sizeof(mode));
    sb_fact_text(environment, "seccomp", SB_MOOD, "%s",
                 strcmp(mode, "0") == 0   ? "off"
                 : strcmp(mode, "2") == 0 ? "filter"
                                          : mode);
}

void sb_facts_kernel(struct sb_environment *environment)
{
    struct utsname name;
    if (uname(&name) == 0) {
        sb_fact_text(environment, "kernel", SB_IDENTITY, "%s %s", name.sysname,
                     name.release);
    } else {
        sb_fact_text(environment, "kernel", SB_IDENTITY, "unknown");
    }
    double value;
    bool known = sb_file_number("/proc/sys/kernel/randomize_va_space", &value);
    sb_fact_text(environment, "aslr", SB_IDENTITY, "%s",
                 !known       ? "unknown"
                 : value == 0 ? "off"
                 : value == 1 ? "partial"
                              : "on");
    add_membarrier(environment);
    add_perf(environment);
    add_ptrace(environment);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        sb_fact_number(environment, "open_files_limit", SB_MOOD,
                       (double)limit.rlim_cur);
    }
}

void sb_facts_build(struct sb_environment *environment)
{
    sb_fact_text(environment, "libc", SB_IDENTITY, "glibc %s", gnu_get_libc_version());
#ifdef __clang__
    sb_fact_text(environment, "compiler", SB_IDENTITY, "%s", __VERSION__);
#else
    sb_fact_text(environment, "compiler", SB_IDENTITY, "GCC %s", __VERSION__);
#endif
    sb_fact_text(environment, "build", SB_IDENTITY, "%s", SB_BUILD);
    if (strcmp(SB_BUILD, "measure") != 0) {
        sb_fact_warn(environment,
                     "the figures of a %s build are not to be compared: "
                     "build with cmake --preset measure",
                     SB_BUILD);
    }
}

// SPDX-License-Identifier: MIT
// Tests of environment.h.
#include "harness/measure/environment.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/base/clock.h"
#include "harness/measure/facts.h"

static struct sb_environment environment;

static int read_once(void **state)
{
    (void)state;
    sb_clock_start();
    sb_environment_read(&environment);
    return 0;
}

static void facts_are_well_formed(void **state)
{
    (void)state;
    assert_in_range(environment.count, 30, SB_FACTS_MAX - 1); // none was left out
    for (uint32_t i = 0; i < environment.count; i++) {
        const struct sb_fact *fact = &environment.facts[i];
        for (const char *c = fact->name; *c != '\0'; c++) {
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
                        *c == '_');
        }
        assert_true(sb_environment_find(&environment, fact->name) == fact); // unique
        assert_true(fact->value[0] != '\0');
        assert_null(strchr(fact->value, '\n'));
        assert_null(strchr(fact->warning, '\n'));
        // A warning that was cut would not say what to do.
        assert_true(strlen(fact->warning) < sizeof(fact->warning) - 1);
        if (fact->number) {
            char *end;
            strtod(fact->value, &end);
            assert_true(end != fact->value && *end == '\0');
        }
    }
    assert_null(sb_environment_find(&environment, "no_such_fact"));
}

static const char *value_of(const char *name)
{
    const struct sb_fact *fact = sb_environment_find(&environment, name);
    if (fact == NULL) {
        fail_msg("no fact %s", name);
        return "";
    }
    return fact->value;
}

static void facts_agree_with_the_system(void **state)
{
    (void)state;
    struct utsname name;
    assert_int_equal(uname(&name), 0);
    assert_non_null(strstr(value_of("kernel"), name.release));
    assert_int_equal(atol(value_of("cpus_online")), sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(atol(value_of("page_bytes")), sysconf(_SC_PAGESIZE));
    assert_string_equal(value_of("build"), SB_BUILD);
    assert_true(strtod(value_of("clock_stamp_ns"), NULL) > 0);
    assert_true(strtod(value_of("memory_bytes"), NULL) >=
                strtod(value_of("memory_available_bytes"), NULL));
    double share = strtod(value_of("hiccup_share"), NULL);
    assert_true(share >= 0 && share <= 1);
    static const char *const others[] = {
        "cpu_model",      "cpus_allowed",      "clocksource",   "governor",
        "thp_private",    "thp_shared",        "hugetlb_pages", "aslr",
        "shm_bytes",      "mlock_limit_bytes", "damon",         "container",
        "cgroup_cpus",    "ptrace_scope",      "libc",          "membarrier_expedited",
        "load_1min",      "perf_instructions", "compiler",      "cgroup_memory_bytes",
        "psi_cpu_percent"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(value_of(others[i])[0] != '\0');
    }
}

static void cpus_allowed_follow_the_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &before)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    static struct sb_environment pinned;
    memset(&pinned, 0, sizeof(pinned));
    sb_facts_cpu(&pinned);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    const struct sb_fact *fact = sb_environment_find(&pinned, "cpus_allowed");
    assert_non_null(fact);
    char text[16];
    snprintf(text, sizeof(text), "%zu", cpu);
    assert_string_equal(fact->value, text);
    assert_true(fact->warning[0] != '\0');
}

static void the_hash_is_of_the_identity(void **state)
{
    (void)state;
    assert_int_equal(strlen(environment.hash), 16);
    assert_int_equal(strspn(environment.hash, "0123456789abcdef"), 16);
    static struct sb_environment again;
    sb_environment_read(&again);
    for (uint32_t i = 0; i < environment.count; i++) {
        if (environment.facts[i].identity) {
            assert_string_equal(environment.facts[i].value, again.facts[i].value);
        }
    }
    assert_string_equal(environment.hash, again.hash);
}

static void a_full_list_takes_no_more(void **state)
{
    (void)state;
    static struct sb_environment full;
    memset(&full, 0, sizeof(full));
    for (int i = 0; i < SB_FACTS_MAX + 3; i++) {
        sb_fact_number(&full, "x", SB_MOOD, i);
    }
    assert_int_equal(full.count, SB_FACTS_MAX);
    sb_fact_text(&full, "y", SB_MOOD, "text");
    assert_string_equal(full.facts[SB_FACTS_MAX - 1].value, "63");
}

// Writes `text` into a file of its own and leaves the name in `path`.
static void make_file(char path[32], const char *text)
{
    snprintf(path, 32, "environment_test.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void small_files_are_understood(void **state)
{
    (void)state;
    char path[32], word[16];
    double number = -1;
    make_file(path, "always [madvise] never\n");
    assert_true(sb_file_chosen(path, word, sizeof(word)));
    assert_string_equal(word, "madvise");
    assert_false(sb_file_number(path, &number));
    unlink(path);
    assert_false(sb_file_chosen(path, word, sizeof(word)));

    make_file(path, "MemTotal:  12 kB\nMemTotalX: 13\nmode=fast\n");
    assert_true(sb_file_value(path, "MemTotal", word, sizeof(word)));
    assert_string_equal(word, "12 kB");
    assert_true(sb_file_value(path, "mode", word, sizeof(word)));
    assert_string_equal(word, "fast");
    assert_false(sb_file_value(path, "Mem", word, sizeof(word)));
    unlink(path);
    assert_false(sb_file_value(path, "mode", word, sizeof(word)));

    make_file(path, "max\n");
    assert_false(sb_file_number(path, &number));
    unlink(path);
    assert_true(number == -1);
    make_file(path, "42\n");
    assert_true(sb_file_number(path, &number));
    assert_true(number == 42);
    unlink(path);
}

static void covariates_are_differences(void **state)
{
    (void)state;
    struct sb_covariates before = {10, SB_COVARIATE_UNKNOWN, 7};
    struct sb_covariates after = {35, 5, 5};
    sb_covariates_since(&before, &after);
    assert_int_equal(after.steal_ms, 25);
    assert_int_equal(after.psi_cpu_us, SB_COVARIATE_UNKNOWN);
    assert_int_equal(after.psi_memory_us, 0); // ran backwards: has not moved
    sb_covariates_read(&before);
    sb_covariates_read(&after);
    sb_covariates_since(&before, &after);
    if (access("/proc/stat", R_OK) == 0) {
        assert_true(after.steal_ms != SB_COVARIATE_UNKNOWN);
    }
}

static void a_worker_counts_its_own_faults(void **state)
{
    (void)state;
    enum { PAGES = 64 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = memfd_create("environment_test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)(PAGES * page)), 0);
    char *pages = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(madvise(pages, PAGES * page, MADV_RANDOM), 0);
    struct sb_self_covariates before, after;
    sb_self_covariates_read(&before);
    for (size_t i = 0; i < PAGES; i++) {
        *(volatile char *)(pages + i * page) = 1;
    }
    uint64_t until = sb_now_ns() + 20000000;
    while (sb_now_ns() < until) {
    }
    sb_self_covariates_read(&after);
    sb_self_covariates_since(&before, &after);
    assert_true(after.minor_faults >= 1);
    assert_true(after.user_ns + after.system_ns > 0);
    munmap(pages, PAGES * page);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_well_formed),
        cmocka_unit_test(facts_agree_with_the_system),
        cmocka_unit_test(cpus_allowed_follow_the_affinity),
        cmocka_unit_test(the_hash_is_of_the_identity),
        cmocka_unit_test(a_full_list_takes_no_more),
        cmocka_unit_test(small_files_are_understood),
        cmocka_unit_test(covariates_are_differences),
        cmocka_unit_test(a_worker_counts_its_own_faults),
    };
    return cmocka_run_group_tests(tests, read_once, NULL);
}

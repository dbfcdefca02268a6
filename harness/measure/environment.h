// SPDX-License-Identifier: MIT
// What machine is this, and what about it would spoil a measurement?
//
// Built on: base/clock.h, base/file.h. Units: named in each fact.
// Concurrency: one caller.
// Why this way: a list of named facts prints as text, stores as JSON and is hashed
// without a struct, a printer and a schema having to agree.
#ifndef SB_MEASURE_ENVIRONMENT_H
#define SB_MEASURE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SB_FACTS_MAX = 64 };

struct sb_fact {
    const char *name; // snake_case, unit last: "clock_stamp_ns"
    bool number;      // `value` is a number in C notation
    bool identity;    // belongs to the machine's identity (hashed), not to its mood
    char value[160];
    char warning[200]; // empty: nothing to say; else one line and what to do about it
};

struct sb_environment {
    uint32_t count;
    struct sb_fact facts[SB_FACTS_MAX];
    char hash[17]; // hex, of the identity facts: where it is equal, results compare
};

// Reads everything (about 0.1 s: it includes a short idle probe for hiccups). A fact
// that cannot be read is recorded as "unknown"; the call itself cannot fail. To be
// called after sb_clock_start.
void sb_environment_read(struct sb_environment *environment);

const struct sb_fact *sb_environment_find(const struct sb_environment *environment,
                                          const char *name);

// Covariates of one trial, read before and after it. Cost of a reading: about 25 us.
struct sb_covariates {
    uint64_t steal_ms;   // /proc/stat, all CPUs
    uint64_t psi_cpu_us; // /proc/pressure/cpu some total; SB_COVARIATE_UNKNOWN without
    uint64_t psi_memory_us; // /proc/pressure/memory some total
};
#define SB_COVARIATE_UNKNOWN UINT64_MAX
void sb_covariates_read(struct sb_covariates *covariates);
// after - before, field by field; unknown stays unknown.
void sb_covariates_since(const struct sb_covariates *before,
                         struct sb_covariates *after);

// The calling thread's own, read by the worker itself (getrusage, schedstat).
// Cost: about 5 us.
struct sb_self_covariates {
    uint64_t run_delay_ns; // runnable, but not running; or SB_COVARIATE_UNKNOWN
    uint64_t voluntary_switches, involuntary_switches;
    uint64_t minor_faults, major_faults;
    uint64_t user_ns, system_ns;
};
void sb_self_covariates_read(struct sb_self_covariates *covariates);
void sb_self_covariates_since(const struct sb_self_covariates *before,
                              struct sb_self_covariates *after);

#endif

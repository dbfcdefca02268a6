// SPDX-License-Identifier: MIT
// How the parts of the environment add their facts. Private to harness/measure.
//
// Built on: environment.h. Concurrency: one caller.
#ifndef SB_MEASURE_FACTS_H
#define SB_MEASURE_FACTS_H

#include "harness/measure/environment.h"

// What a fact belongs to: the hashed identity, or the mood of the moment.
enum sb_belongs { SB_MOOD, SB_IDENTITY };

// An empty text is recorded as "unknown". A list that is full takes no more.
void sb_fact_text(struct sb_environment *environment, const char *name,
                  enum sb_belongs belongs, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void sb_fact_number(struct sb_environment *environment, const char *name,
                    enum sb_belongs belongs, double value);
// The first line of a file, or "unknown".
void sb_fact_file(struct sb_environment *environment, const char *name,
                  enum sb_belongs belongs, const char *path);
// A warning about the fact added last: one line and what to do about it.
void sb_fact_warn(struct sb_environment *environment, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The value of "key: value" or "key=value" in such a file; false when it has none.
bool sb_file_value(const char *path, const char *key, char *value, size_t bytes);
// The word in [brackets] of a sysfs file that lists its choices.
bool sb_file_chosen(const char *path, char *word, size_t bytes);
// One number of a one-number file; false when it is absent or not a number ("max").
bool sb_file_number(const char *path, double *value);

// The parts, in the order in which they are shown.
void sb_facts_cpu(struct sb_environment *environment);
void sb_facts_clock(struct sb_environment *environment);
void sb_facts_kernel(struct sb_environment *environment);
void sb_facts_memory(struct sb_environment *environment);
void sb_facts_container(struct sb_environment *environment);
void sb_facts_build(struct sb_environment *environment);
void sb_facts_noise(struct sb_environment *environment);

#endif

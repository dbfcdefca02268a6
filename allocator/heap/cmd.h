// SPDX-License-Identifier: MIT
/*
 * cmd.h - what the verbs of the command hh share.
 *
 * Built on: hh.h. Concurrency: one thread.
 */
#ifndef ALLOCATOR_HEAP_CMD_H
#define ALLOCATOR_HEAP_CMD_H

#include "allocator/heap/hh.h"

#include <signal.h>
#include <stdbool.h>

struct hh_cmd_arguments {
    const char *verb, *file;
    uint64_t bytes, handles, lanes, budget, time_ms, width;
    uint64_t every_ms, count;
    int shm, checked, watch, sized, sets;
    const char *set[16];
};

/* Parses a size with K, M, G or T. */
int hh_cmd_size(const char *text, uint64_t *out);
/* One line on stderr about a failed call; the exit code. */
int hh_cmd_complain(const struct hh_cmd_arguments *a, int error);
void hh_cmd_line(const char *name, uint64_t value, const char *unit);

/* Set by SIGINT and SIGTERM after hh_cmd_catch. */
extern volatile sig_atomic_t hh_cmd_interrupted;
void hh_cmd_catch(void);
/* Waits until the next look; false: it was the last. */
bool hh_cmd_another(const struct hh_cmd_arguments *a, uint64_t *looks,
                    uint64_t otherwise_ms);

/* The verbs; each gives the exit code. */
int hh_cmd_info(const struct hh_cmd_arguments *a, struct hh_heap *heap);
int hh_cmd_map(const struct hh_cmd_arguments *a, struct hh_heap *heap);
int hh_cmd_top(const struct hh_cmd_arguments *a, struct hh_heap *heap);
int hh_cmd_compact(const struct hh_cmd_arguments *a, struct hh_heap *heap);
int hh_cmd_policy(const struct hh_cmd_arguments *a, struct hh_heap *heap);

#endif

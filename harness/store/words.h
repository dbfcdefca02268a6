// SPDX-License-Identifier: MIT
// The words that records and help texts use for bits and indexes.
//
// Built on: allocator/subject.h, workloads/workload.h. Concurrency: constant.
#ifndef SB_STORE_WORDS_H
#define SB_STORE_WORDS_H

#include <stdint.h>

enum { SB_CAPABILITIES = 13 };

// Bit `index` of enum sb_capability: "SHARE", ... NULL beyond the last.
const char *sb_capability_name(uint32_t index);

extern const char *const sb_as_names[3];     // processes threads NULL
extern const char *const sb_medium_names[4]; // memfd shm file NULL

#endif

// SPDX-License-Identifier: MIT
// Patterns for --verify: filling and comparing.
//
// Built on: content.h. Units: bytes. Concurrency: as content.h.
#include "workloads/content.h"

#include <string.h>

void sb_content_fill(void *block, uint64_t bytes, uint64_t base)
{
    unsigned char *place = block;
    uint64_t words = bytes / 8;
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word = sb_content_word(base, i);
        memcpy(place + i * 8, &word, 8);
    }
    uint64_t word = sb_content_word(base, words);
    memcpy(place + words * 8, &word, bytes % 8);
}

// The first byte that differs within what is known to differ.
static int report(const unsigned char *found, uint64_t expected, uint64_t offset,
                  uint64_t bytes, struct sb_error *error)
{
    unsigned char wanted[8];
    memcpy(wanted, &expected, 8);
    uint32_t i = 0;
    while (i < 7 && found[i] == wanted[i]) {
        i++;
    }
    offset += i;
    return sb_fail(
        error, -EBADMSG, "byte at offset %llu of %llu is 0x%02x, expected 0x%02x",
        (unsigned long long)offset, (unsigned long long)bytes, found[i], wanted[i]);
}

int sb_content_check(const void *block, uint64_t bytes, uint64_t base,
                     struct sb_error *error)
{
    const unsigned char *place = block;
    uint64_t words = bytes / 8;
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word = sb_content_word(base, i);
        if (memcmp(place + i * 8, &word, 8) != 0) {
            return report(place + i * 8, word, i * 8, bytes, error);
        }
    }
    uint64_t word = sb_content_word(base, words);
    if (memcmp(place + words * 8, &word, bytes % 8) != 0) {
        return report(place + words * 8, word, words * 8, bytes, error);
    }
    return 0;
}

int sb_block_fill(struct sb_worker *worker, sb_ref block, uint64_t bytes, uint64_t base)
{
    void *place = sb_reach(worker, block, SB_LOCK_PIN);
    if (place == NULL) {
        return worker->refusal;
    }
    bool forgets = (worker->subject->capabilities & SB_CAP_FORGETS) != 0;
    sb_content_fill(place, forgets ? 8 : bytes, base);
    sb_leave(worker, block);
    return 0;
}

int sb_block_check(struct sb_worker *worker, sb_ref block, uint64_t bytes,
                   uint64_t base, const char *what, uint64_t which)
{
    const void *place = sb_reach(worker, block, SB_LOCK_PIN);
    if (place == NULL) {
        return sb_fail_in(&worker->error, worker->refusal, "%s %llu", what,
                          (unsigned long long)which);
    }
    int rc = sb_content_check(place, bytes, base, &worker->error);
    sb_leave(worker, block);
    if (rc != 0) {
        return sb_fail_in(&worker->error, rc, "%s %llu", what,
                          (unsigned long long)which);
    }
    worker->recorder.record->counters.verified_bytes += bytes;
    sb_recorder_mark(&worker->recorder);
    return 0;
}

// SPDX-License-Identifier: MIT
// What the conformance cases stand on: a bed (a segment, this process's hold, a worker)
// and a peer (a second program with another address layout that does as it is told).
//
// Built on: subjects.h. Concurrency: one bed a process; a peer is driven by one thread.
// Why this way: a case runs in a child process and ends it at the first thing that is
//   wrong, with one line; so a crash in one subject costs that case and is named.
#ifndef SB_SUBJECTS_CONFORMANCE_H
#define SB_SUBJECTS_CONFORMANCE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "allocator/subjects/subjects.h"

// Ends the process with one line naming the case.
__attribute__((noreturn, format(printf, 3, 4))) void
conform_fail(const char *file, int line, const char *format, ...);
// Ends it as "not done here", with the reason.
__attribute__((noreturn, format(printf, 1, 2))) void conform_skip(const char *format,
                                                                  ...);
extern const char *conform_name; // "subject option=choice: case", for both

#define REQUIRE(what)                                                                  \
    do {                                                                               \
        if (!(what)) {                                                                 \
            conform_fail(__FILE__, __LINE__, "%s", #what);                             \
        }                                                                              \
    } while (0)

// The call must return `wanted`.
#define REQUIRE_RC(call, wanted)                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        int wanted_ = (wanted);                                                        \
        if (rc_ != wanted_) {                                                          \
            conform_fail(__FILE__, __LINE__, "%s gave %d instead of %d", #call, rc_,   \
                         wanted_);                                                     \
        }                                                                              \
    } while (0)

struct bed {
    const struct sb_subject *subject;
    struct sb_place place;
    char path[128], name[64];
    int fd;              // of a memfd; inherited by peers
    const char *setting; // "option=value" beside the initial values, or ""
    void *options;
    struct sb_heap *heap;
    struct sb_ctx *ctx; // worker 0
    bool keeps, pins;   // contents are kept; bytes are reached by lock
};

// The subject's option values with one setting; malloc'd, NULL without a table.
void *conform_options(const struct sb_subject *subject, const char *setting);
// Sets the place up, without creating the heap.
void bed_place(struct bed *bed, const struct sb_subject *subject, const char *setting,
               enum sb_medium medium, uint64_t bytes);
// The same with heap and worker 0, or a skip with the probe's reason; on a memfd where
// the subject can.
void bed_make(struct bed *bed, const struct sb_subject *subject, const char *setting,
              uint64_t bytes);
void bed_make_on(struct bed *bed, const struct sb_subject *subject, const char *setting,
                 enum sb_medium medium, uint64_t bytes);
void bed_make_for_threads(struct bed *bed, const struct sb_subject *subject,
                          const char *setting, uint64_t bytes);
void bed_end(struct bed *bed);

void *reach(const struct bed *bed, struct sb_ctx *ctx, sb_ref block);
void leave(const struct bed *bed, struct sb_ctx *ctx, sb_ref block);
// A pattern that differs for each seed, over the whole block.
void fill(const struct bed *bed, struct sb_ctx *ctx, sb_ref block, uint64_t bytes,
          uint64_t seed);
bool holds(const struct bed *bed, struct sb_ctx *ctx, sb_ref block, uint64_t bytes,
           uint64_t seed);

enum order_kind {
    ORDER_ALLOC, // and fill
    ORDER_HOLDS, // 0 or -EBADMSG
    ORDER_FILL,
    ORDER_FREE,
    ORDER_TURN, // a small alloc and free: whatever is drained then, is drained
    ORDER_LOCK, // `seed` is the mode, `bytes` the timeout in ns
    ORDER_UNLOCK,
    ORDER_DIE, // ends at once, without any clean-up
    ORDER_QUIT,
};

struct order {
    uint32_t kind;
    uint32_t unused;
    uint64_t bits, bytes, seed;
};

struct reply {
    int64_t rc;
    uint64_t bits, address;
};

struct peer {
    pid_t pid;
    int fd;
};

// Starts the peer as worker 1 of the bed's segment.
void peer_start(struct peer *peer, const struct bed *bed);
struct reply peer_do(struct peer *peer, enum order_kind kind, sb_ref block,
                     uint64_t bytes, uint64_t seed);
void peer_quit(struct peer *peer); // and waits for it
void peer_die(struct peer *peer);
// What the program is when started with --peer.
int peer_main(int argc, char **argv);

// Sizes of 1 to 20,000 bytes, mostly small, drawn from `i`.
uint64_t mixed_size(uint64_t i);

// The cases.
void case_sizes(const struct sb_subject *subject, const char *setting);
void case_contents(const struct sb_subject *subject, const char *setting);
void case_huge(const struct sb_subject *subject, const char *setting);
void case_exhaustion(const struct sb_subject *subject, const char *setting);
void case_grow(const struct sb_subject *subject, const char *setting);
void case_compact(const struct sb_subject *subject, const char *setting);
void case_threads(const struct sb_subject *subject, const char *setting);
void case_media(const struct sb_subject *subject, const char *setting);
void case_too_small(const struct sb_subject *subject, const char *setting);
void case_full_medium(const struct sb_subject *subject, const char *setting);
void case_other_layout(const struct sb_subject *subject, const char *setting);
void case_remote_free_refills(const struct sb_subject *subject, const char *setting);
void case_pins(const struct sb_subject *subject, const char *setting);
void case_exclusive(const struct sb_subject *subject, const char *setting);

#endif

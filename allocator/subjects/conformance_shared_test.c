// SPDX-License-Identifier: MIT
// Conformance cases of two processes, and of the media that a segment lies on.
//
// Built on: conformance.h; a mount of its own for the full medium. Concurrency: each
// case is a process, and drives one peer.
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocator/subjects/conformance.h"

enum { MIB = 1 << 20, SEGMENT_BYTES = 8 * MIB };

void case_media(const struct sb_subject *subject, const char *setting)
{
    static const enum sb_medium all[] = {SB_MEMFD, SB_SHM, SB_FILE};
    for (size_t i = 0; i < 3; i++) {
        struct bed bed;
        struct stat status;
        sb_ref block;
        struct peer peer;
        if ((subject->media & all[i]) == 0) {
            continue;
        }
        bed_make_on(&bed, subject, setting, all[i], SEGMENT_BYTES);
        REQUIRE_RC(subject->alloc(bed.ctx, 5000, &block), 0);
        fill(&bed, bed.ctx, block, 5000, i);
        REQUIRE(stat(bed.path, &status) == 0);
        REQUIRE(status.st_blocks > 0); // the runner measures the footprint so
        REQUIRE(status.st_blocks * 512 < SEGMENT_BYTES / 2);
        if (all[i] != SB_MEMFD) { // a second one of that name is refused
            struct sb_heap *second = NULL;
            REQUIRE_RC(subject->create(&bed.place, bed.options, &second), -EEXIST);
        }
        peer_start(&peer, &bed);
        REQUIRE_RC((int)peer_do(&peer, ORDER_HOLDS, block, 5000, i).rc, 0);
        peer_quit(&peer);
        REQUIRE(access(bed.path, F_OK) == 0); // the one that created it removes it
        REQUIRE_RC(subject->free(bed.ctx, block), 0);
        bed_end(&bed);
    }
}

void case_too_small(const struct sb_subject *subject, const char *setting)
{
    char text[256];
    if (subject->probe(text, sizeof text) != 0) {
        conform_skip("%s", text);
    }
    struct bed bed;
    struct sb_heap *heap = NULL;
    bed_place(&bed, subject, setting,
              (subject->media & SB_FILE) != 0 ? SB_FILE : SB_SHM, 1);
    int rc = subject->create(&bed.place, bed.options, &heap);
    if (rc == 0) { // it made room by itself; then it must work
        struct sb_ctx *ctx;
        REQUIRE_RC(subject->attach(heap, 0, &ctx), 0);
        subject->detach(ctx);
        REQUIRE_RC(subject->destroy(heap), 0);
    } else {
        REQUIRE_RC(rc, -ENOMEM);
        REQUIRE(heap == NULL);
    }
    REQUIRE(access(bed.path, F_OK) != 0);
    free(bed.options);
}

// A tmpfs of 1 MiB that only this process sees.
static bool mount_small(const char *at)
{
    uid_t user = geteuid();
    if (unshare(CLONE_NEWNS | (user != 0 ? CLONE_NEWUSER : 0)) != 0) {
        return false;
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("shmbench", at, "tmpfs", 0, "size=1m") == 0;
}

void case_full_medium(const struct sb_subject *subject, const char *setting)
{
    char text[256];
    struct bed bed;
    sb_ref block;
    if (subject->probe(text, sizeof text) != 0) {
        conform_skip("%s", text);
    }
    if (!mount_small("/dev/shm")) {
        conform_skip("may not mount a small tmpfs here (%s)", strerror(errno));
    }
    if ((subject->media & SB_SHM) == 0) {
        conform_skip("not on POSIX shared memory");
    }
    bed_place(&bed, subject, setting, SB_SHM, SEGMENT_BYTES);
    int rc = subject->create(&bed.place, bed.options, &bed.heap);
    if (rc == 0) {
        REQUIRE_RC(subject->attach(bed.heap, 0, &bed.ctx), 0);
        int count = 0;
        while ((rc = subject->alloc(bed.ctx, 3000, &block)) == 0) {
            fill(&bed, bed.ctx, block, 3000, 1);
            REQUIRE(bed.keeps && ++count < SEGMENT_BYTES / 3000);
        }
        REQUIRE_RC(rc, -ENOSPC);
        bed_end(&bed);
    } else {
        REQUIRE_RC(rc, -ENOSPC);
    }
    REQUIRE(access(bed.path, F_OK) != 0);
}

void case_other_layout(const struct sb_subject *subject, const char *setting)
{
    enum { COUNT = 200 };
    struct bed bed;
    struct peer peer;
    sb_ref mine[COUNT], theirs[COUNT];
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    peer_start(&peer, &bed);
    for (uint64_t i = 0; i < COUNT; i++) { // both allocate, turn by turn
        REQUIRE_RC(subject->alloc(bed.ctx, mixed_size(i), &mine[i]), 0);
        fill(&bed, bed.ctx, mine[i], mixed_size(i), i);
        struct reply reply =
            peer_do(&peer, ORDER_ALLOC, (sb_ref){0}, mixed_size(i), 1000 + i);
        REQUIRE_RC((int)reply.rc, 0);
        theirs[i].bits = reply.bits;
    }
    bool elsewhere = false;
    for (uint64_t i = 0; i < COUNT; i++) { // each reads the other's
        REQUIRE(holds(&bed, bed.ctx, theirs[i], mixed_size(i), 1000 + i));
        struct reply reply = peer_do(&peer, ORDER_HOLDS, mine[i], mixed_size(i), i);
        REQUIRE_RC((int)reply.rc, 0);
        uintptr_t here = (uintptr_t)reach(&bed, bed.ctx, mine[i]);
        leave(&bed, bed.ctx, mine[i]);
        elsewhere |= here != reply.address;
    }
    REQUIRE(elsewhere == ((subject->capabilities & SB_CAP_SAME_ADDRESS) == 0));
    REQUIRE_RC((int)peer_do(&peer, ORDER_FILL, mine[0], mixed_size(0), 7).rc, 0);
    REQUIRE(holds(&bed, bed.ctx, mine[0], mixed_size(0), 7));
    if ((subject->capabilities & (SB_CAP_REMOTE_FREE | SB_CAP_OWNER_FREE)) != 0) {
        for (uint64_t i = 0; i < COUNT; i++) { // each frees the other's
            REQUIRE_RC(subject->free(bed.ctx, theirs[i]), 0);
            REQUIRE_RC((int)peer_do(&peer, ORDER_FREE, mine[i], 0, 0).rc, 0);
        }
        sb_ref block; // owners take back what was sent to them
        REQUIRE_RC(subject->alloc(bed.ctx, 16, &block), 0);
        REQUIRE_RC(subject->free(bed.ctx, block), 0);
        REQUIRE_RC((int)peer_do(&peer, ORDER_TURN, (sb_ref){0}, 16, 0).rc, 0);
    }
    peer_quit(&peer);
    struct sb_usage usage;
    REQUIRE_RC(subject->usage(bed.heap, &usage), 0);
    REQUIRE(usage.live_blocks == SB_UNKNOWN || usage.live_blocks == 0);
    bed_end(&bed);
}

void case_remote_free_refills(const struct sb_subject *subject, const char *setting)
{
    enum { BLOCK_BYTES = 2000, MOST = SEGMENT_BYTES / BLOCK_BYTES };
    static sb_ref blocks[MOST];
    struct bed bed;
    struct peer peer;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    peer_start(&peer, &bed);
    // Three times more than fits, if what the other frees were lost.
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < MOST / 2; i++) {
            REQUIRE_RC(subject->alloc(bed.ctx, BLOCK_BYTES, &blocks[i]), 0);
        }
        for (int i = 0; i < MOST / 2; i++) {
            REQUIRE_RC((int)peer_do(&peer, ORDER_FREE, blocks[i], 0, 0).rc, 0);
        }
    }
    peer_quit(&peer);
    bed_end(&bed);
}

void case_pins(const struct sb_subject *subject, const char *setting)
{
    struct bed bed;
    struct peer peer;
    sb_ref block;
    void *first, *second;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    REQUIRE_RC(subject->alloc(bed.ctx, 500, &block), 0);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_PIN, 0, &first), 0);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_PIN, 0, &second), 0);
    REQUIRE(first == second);
    if ((subject->capabilities & SB_CAP_SHARE) != 0) { // a pin excludes nobody
        peer_start(&peer, &bed);
        REQUIRE_RC((int)peer_do(&peer, ORDER_LOCK, block, 0, SB_LOCK_PIN).rc, 0);
        REQUIRE_RC((int)peer_do(&peer, ORDER_UNLOCK, block, 0, 0).rc, 0);
        peer_quit(&peer);
    }
    REQUIRE_RC(subject->unlock(bed.ctx, block), 0);
    REQUIRE_RC(subject->unlock(bed.ctx, block), 0);
    REQUIRE_RC(subject->free(bed.ctx, block), 0);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_PIN, 0, &first), -ESTALE);
    bed_end(&bed);
}

void case_exclusive(const struct sb_subject *subject, const char *setting)
{
    const uint64_t short_ns = 20000000, long_ns = UINT64_C(10000000000);
    struct bed bed;
    struct peer peer;
    sb_ref block;
    void *address;
    bed_make(&bed, subject, setting, SEGMENT_BYTES);
    REQUIRE_RC(subject->alloc(bed.ctx, 64, &block), 0);
    peer_start(&peer, &bed);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_EXCLUSIVE, 0, &address), 0);
    REQUIRE_RC((int)peer_do(&peer, ORDER_LOCK, block, short_ns, SB_LOCK_EXCLUSIVE).rc,
               -ETIMEDOUT);
    REQUIRE_RC(subject->unlock(bed.ctx, block), 0);
    REQUIRE_RC((int)peer_do(&peer, ORDER_LOCK, block, long_ns, SB_LOCK_EXCLUSIVE).rc,
               0);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_EXCLUSIVE, short_ns, &address),
               -ETIMEDOUT);
    peer_die(&peer); // with the lock: the next one gets it, and is told
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_EXCLUSIVE, long_ns, &address),
               -EOWNERDEAD);
    REQUIRE_RC(subject->unlock(bed.ctx, block), 0);
    REQUIRE_RC(subject->lock(bed.ctx, block, SB_LOCK_EXCLUSIVE, long_ns, &address), 0);
    REQUIRE_RC(subject->unlock(bed.ctx, block), 0);
    REQUIRE_RC(subject->free(bed.ctx, block), 0);
    bed_end(&bed);
}

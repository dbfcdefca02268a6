// SPDX-License-Identifier: MIT
// Beds and peers of the conformance cases: see conformance.h.
//
// Built on: memfd_create, socketpair, exec. Concurrency: as conformance.h.
#include "allocator/subjects/conformance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIP = 77, TIMEOUT_S = 60, LOCK_TIMEOUT_NS = 2000000000 };

const char *conform_name = "?";

void conform_fail(const char *file, int line, const char *format, ...)
{
    va_list list;
    char text[512];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "%s: %s:%d: %s\n", conform_name, file, line, text);
    _exit(1);
}

void conform_skip(const char *format, ...)
{
    va_list list;
    char text[512];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "%s: skipped: %s\n", conform_name, text);
    _exit(EXIT_SKIP);
}

void *conform_options(const struct sb_subject *subject, const char *setting)
{
    char key[64];
    struct sb_error error;
    size_t length = strcspn(setting, "=");
    if (subject->options == NULL) {
        return NULL;
    }
    void *options = calloc(1, subject->options_bytes);
    REQUIRE(options != NULL);
    sb_options_default(subject->options, options);
    if (setting[0] != '\0') {
        snprintf(key, sizeof key, "%.*s", (int)length, setting);
        REQUIRE_RC(
            sb_option_set(subject->options, options, key, setting + length + 1, &error),
            0);
    }
    return options;
}

void bed_place(struct bed *bed, const struct sb_subject *subject, const char *setting,
               enum sb_medium medium, uint64_t bytes)
{
    *bed = (struct bed){.subject = subject, .setting = setting, .fd = -1};
    bed->options = conform_options(subject, setting);
    snprintf(bed->name, sizeof bed->name, "shmbench-conform-%d", getpid());
    bed->place = (struct sb_place){.medium = medium,
                                   .path = bed->path,
                                   .name = bed->name,
                                   .bytes = bytes,
                                   .workers = 2};
    bed->keeps = (subject->capabilities & SB_CAP_FORGETS) == 0;
    bed->pins = (subject->capabilities & SB_CAP_PIN) != 0;
    if (medium == SB_MEMFD) {
        bed->fd = memfd_create(bed->name, 0);
        REQUIRE(bed->fd >= 0);
        snprintf(bed->path, sizeof bed->path, "/proc/self/fd/%d", bed->fd);
    } else if (medium == SB_SHM) {
        snprintf(bed->path, sizeof bed->path, "/dev/shm/%s", bed->name);
    } else {
        snprintf(bed->path, sizeof bed->path, "./%s", bed->name);
    }
}

static void bed_fill_in(struct bed *bed, const struct sb_subject *subject,
                        const char *setting, enum sb_medium medium, uint64_t bytes,
                        bool threads)
{
    char text[256];
    if (subject->probe(text, sizeof text) != 0) {
        conform_skip("%s", text);
    }
    bed_place(bed, subject, setting, medium, bytes);
    bed->place.threads = threads;
    REQUIRE_RC(subject->create(&bed->place, bed->options, &bed->heap), 0);
    REQUIRE_RC(subject->attach(bed->heap, 0, &bed->ctx), 0);
}

static enum sb_medium medium_of(const struct sb_subject *subject)
{
    return (subject->media & SB_MEMFD) != 0 || subject->media == 0 ? SB_MEMFD : SB_SHM;
}

void bed_make(struct bed *bed, const struct sb_subject *subject, const char *setting,
              uint64_t bytes)
{
    bed_fill_in(bed, subject, setting, medium_of(subject), bytes, false);
}

void bed_make_on(struct bed *bed, const struct sb_subject *subject, const char *setting,
                 enum sb_medium medium, uint64_t bytes)
{
    bed_fill_in(bed, subject, setting, medium, bytes, false);
}

void bed_make_for_threads(struct bed *bed, const struct sb_subject *subject,
                          const char *setting, uint64_t bytes)
{
    bed_fill_in(bed, subject, setting, medium_of(subject), bytes, true);
}

void bed_end(struct bed *bed)
{
    char text[512];
    if (bed->subject->check != NULL) {
        int rc = bed->subject->check(bed->heap, text, sizeof text);
        if (rc != 0) {
            conform_fail(__FILE__, __LINE__, "check gave %d: %s", rc, text);
        }
    }
    bed->subject->detach(bed->ctx);
    REQUIRE_RC(bed->subject->destroy(bed->heap), 0);
    if (bed->place.medium != SB_MEMFD) {
        REQUIRE(access(bed->path, F_OK) != 0);
    }
    free(bed->options);
}

void *reach(const struct bed *bed, struct sb_ctx *ctx, sb_ref block)
{
    void *bytes;
    if (!bed->pins) {
        bytes = bed->subject->address(ctx, block);
        REQUIRE(bytes != NULL);
        return bytes;
    }
    REQUIRE_RC(bed->subject->lock(ctx, block, SB_LOCK_PIN, LOCK_TIMEOUT_NS, &bytes), 0);
    return bytes;
}

void leave(const struct bed *bed, struct sb_ctx *ctx, sb_ref block)
{
    if (bed->pins) {
        REQUIRE_RC(bed->subject->unlock(ctx, block), 0);
    }
}

static unsigned char pattern(uint64_t seed, uint64_t at)
{
    return (unsigned char)((seed * UINT64_C(0x9e3779b97f4a7c15) >> 40) + at * 7 +
                           (at >> 8) * 13);
}

void fill(const struct bed *bed, struct sb_ctx *ctx, sb_ref block, uint64_t bytes,
          uint64_t seed)
{
    unsigned char *to = reach(bed, ctx, block);
    for (uint64_t i = 0; i < bytes; i++) {
        to[i] = pattern(seed, i);
    }
    leave(bed, ctx, block);
}

bool holds(const struct bed *bed, struct sb_ctx *ctx, sb_ref block, uint64_t bytes,
           uint64_t seed)
{
    const unsigned char *from = reach(bed, ctx, block);
    bool same = true;
    for (uint64_t i = 0; i < bytes && same && bed->keeps; i++) {
        same = from[i] == pattern(seed, i);
    }
    leave(bed, ctx, block);
    return same;
}

static void get(int fd, void *to, size_t bytes)
{
    ssize_t got = recv(fd, to, bytes, MSG_WAITALL);
    if (got != (ssize_t)bytes) {
        conform_fail(__FILE__, __LINE__, "the other side has gone (%zd)", got);
    }
}

static void put(int fd, const void *from, size_t bytes)
{
    REQUIRE(send(fd, from, bytes, MSG_NOSIGNAL) == (ssize_t)bytes);
}

void peer_start(struct peer *peer, const struct bed *bed)
{
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    peer->fd = pair[0];
    peer->pid = fork();
    REQUIRE(peer->pid >= 0);
    if (peer->pid == 0) {
        char fd[16], medium[16], bytes[32];
        snprintf(fd, sizeof fd, "%d", pair[1]);
        snprintf(medium, sizeof medium, "%d", (int)bed->place.medium);
        snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)bed->place.bytes);
        execl("/proc/self/exe", "conformance", "--peer", conform_name,
              bed->subject->name, fd, medium, bed->path, bed->name, bytes, bed->setting,
              (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    struct reply ready;
    get(peer->fd, &ready, sizeof ready);
    REQUIRE_RC((int)ready.rc, 0);
}

struct reply peer_do(struct peer *peer, enum order_kind kind, sb_ref block,
                     uint64_t bytes, uint64_t seed)
{
    struct order order = {
        .kind = kind, .bits = block.bits, .bytes = bytes, .seed = seed};
    struct reply reply;
    put(peer->fd, &order, sizeof order);
    get(peer->fd, &reply, sizeof reply);
    return reply;
}

static void finish(struct peer *peer)
{
    int status = -1;
    REQUIRE(waitpid(peer->pid, &status, 0) == peer->pid);
    close(peer->fd);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void peer_quit(struct peer *peer)
{
    REQUIRE_RC((int)peer_do(peer, ORDER_QUIT, (sb_ref){0}, 0, 0).rc, 0);
    finish(peer);
}

void peer_die(struct peer *peer)
{
    struct order order = {.kind = ORDER_DIE};
    put(peer->fd, &order, sizeof order);
    finish(peer);
}

static struct reply obey(const struct bed *bed, const struct order *order)
{
    const struct sb_subject *subject = bed->subject;
    sb_ref block = {order->bits};
    struct reply reply = {.bits = order->bits};
    void *address = NULL;
    switch ((enum order_kind)order->kind) {
    case ORDER_ALLOC:
    case ORDER_TURN:
        reply.rc = subject->alloc(bed->ctx, order->bytes, &block);
        if (reply.rc == 0 && order->kind == ORDER_TURN) {
            reply.rc = subject->free(bed->ctx, block);
        } else if (reply.rc == 0) {
            fill(bed, bed->ctx, block, order->bytes, order->seed);
            reply.bits = block.bits;
        }
        break;
    case ORDER_HOLDS:
        reply.rc =
            holds(bed, bed->ctx, block, order->bytes, order->seed) ? 0 : -EBADMSG;
        address = reach(bed, bed->ctx, block);
        leave(bed, bed->ctx, block);
        break;
    case ORDER_FILL:
        fill(bed, bed->ctx, block, order->bytes, order->seed);
        break;
    case ORDER_FREE:
        reply.rc = subject->free(bed->ctx, block);
        break;
    case ORDER_LOCK:
        reply.rc = subject->lock(bed->ctx, block, (enum sb_lock_mode)order->seed,
                                 order->bytes, &address);
        break;
    case ORDER_UNLOCK:
        reply.rc = subject->unlock(bed->ctx, block);
        break;
    case ORDER_DIE:
        _exit(0);
    case ORDER_QUIT:
        subject->detach(bed->ctx);
        reply.rc = subject->destroy(bed->heap);
        break;
    }
    reply.address = (uintptr_t)address;
    return reply;
}

int peer_main(int argc, char **argv)
{
    static char name[128];
    struct bed bed;
    const struct sb_subject *subject;
    REQUIRE(argc == 10);
    alarm(TIMEOUT_S);
    snprintf(name, sizeof name, "%s (peer)", argv[2]);
    conform_name = name;
    // Whatever the system's own randomisation does: this layout is another.
    REQUIRE(mmap(NULL, UINT64_C(5) << 30, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    REQUIRE_RC(sb_subject_find(argv[3], &subject, NULL), 0);
    bed = (struct bed){.subject = subject};
    bed.place = (struct sb_place){.medium = (enum sb_medium)atoi(argv[5]),
                                  .path = argv[6],
                                  .name = argv[7],
                                  .bytes = strtoull(argv[8], NULL, 10),
                                  .workers = 2};
    bed.keeps = (subject->capabilities & SB_CAP_FORGETS) == 0;
    bed.pins = (subject->capabilities & SB_CAP_PIN) != 0;
    bed.options = conform_options(subject, argv[9]);
    int fd = atoi(argv[4]);
    struct reply reply = {0};
    reply.rc = subject->open(&bed.place, bed.options, &bed.heap);
    if (reply.rc == 0) {
        reply.rc = subject->attach(bed.heap, 1, &bed.ctx);
    }
    put(fd, &reply, sizeof reply);
    struct order order = {.kind = reply.rc == 0 ? ORDER_TURN : ORDER_QUIT};
    while (order.kind != ORDER_QUIT) {
        get(fd, &order, sizeof order);
        reply = obey(&bed, &order);
        put(fd, &reply, sizeof reply);
    }
    free(bed.options);
    return 0;
}

uint64_t mixed_size(uint64_t i)
{
    uint64_t scattered = (i * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    return 1 + scattered % (i % 50 == 0 ? 20000 : i % 5 == 0 ? 1500 : 100);
}

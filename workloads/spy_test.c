// SPDX-License-Identifier: MIT
// The spy: see spy.h.
//
// Built on: spy.h, bed.h, the linker's --wrap. Concurrency: one mutex over all plans.
#include "workloads/spy.h"

#include <pthread.h>
#include <stdlib.h>

#include "harness/base/random.h"
#include "workloads/bed.h"

struct sb_subject spy_subject;
_Atomic uint64_t spy_private_calls;

static const struct sb_subject *real;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

// All below: guarded by the mutex.
static struct sb_ctx *ctxs[BED_WORKERS_MOST];
static uint64_t reaches[BED_WORKERS_MOST], made[BED_WORKERS_MOST];
static uint64_t allocs, frees;
enum { LIVE_MOST = 1 << 14 };
static sb_ref live[LIVE_MOST];
static uint64_t sizes[LIVE_MOST], live_bytes;
static uint32_t live_count;
static sb_ref doomed;
static struct {
    bool reach, block;
    uint32_t who, reacher;
    uint64_t nth, offset;
    uint64_t leak, refuse_first, refuse_count, room, largest, stall, stall_ns;
} plan;

static uint32_t index_of(const struct sb_ctx *ctx)
{
    uint32_t index = 0;
    while (index + 1 < BED_WORKERS_MOST && ctxs[index] != ctx) {
        index++;
    }
    return index;
}

static int spy_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **ctx)
{
    int rc = real->attach(heap, worker, ctx);
    if (rc == 0) {
        pthread_mutex_lock(&mutex);
        ctxs[worker] = *ctx;
        pthread_mutex_unlock(&mutex);
    }
    return rc;
}

static int spy_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    pthread_mutex_lock(&mutex);
    if (++allocs == plan.stall) {
        sb_spin_ns(plan.stall_ns);
    }
    bool refuse =
        (allocs > plan.refuse_first &&
         allocs <= plan.refuse_first + plan.refuse_count) ||
        (plan.room != 0 && (bytes > plan.largest || live_bytes + bytes > plan.room));
    int rc = refuse ? -ENOMEM : real->alloc(ctx, bytes, block);
    if (rc == 0) {
        uint32_t who = index_of(ctx);
        live_bytes += bytes;
        sizes[live_count % LIVE_MOST] = bytes;
        live[live_count++ % LIVE_MOST] = *block;
        if (++made[who] == plan.nth && plan.block && who == plan.who) {
            doomed = *block;
        }
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int spy_free(struct sb_ctx *ctx, sb_ref block)
{
    pthread_mutex_lock(&mutex);
    int rc = 0;
    if (++frees != plan.leak) {
        rc = real->free(ctx, block);
        uint32_t i = live_count;
        while (rc == 0 && i > 0 && live[i - 1].bits != block.bits) {
            i--;
        }
        if (i > 0) {
            live_bytes -= sizes[i - 1];
            live[i - 1] = live[--live_count];
            sizes[i - 1] = sizes[live_count];
        }
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static void spoil(struct sb_ctx *ctx, sb_ref block, void *place)
{
    pthread_mutex_lock(&mutex);
    uint32_t who = index_of(ctx);
    reaches[who]++;
    bool now = plan.reach && who == plan.who && reaches[who] == plan.nth;
    if (plan.block && who == plan.reacher && doomed.bits == block.bits &&
        doomed.bits != 0) {
        doomed.bits = 0;
        now = true;
    }
    if (now) {
        ((unsigned char *)place)[plan.offset] ^= 0x40;
    }
    pthread_mutex_unlock(&mutex);
}

static void *spy_address(struct sb_ctx *ctx, sb_ref block)
{
    void *place = real->address(ctx, block);
    spoil(ctx, block, place);
    return place;
}

static int spy_lock(struct sb_ctx *ctx, sb_ref block, enum sb_lock_mode mode,
                    uint64_t timeout_ns, void **address)
{
    int rc = real->lock(ctx, block, mode, timeout_ns, address);
    if (rc == 0) {
        spoil(ctx, block, *address);
    }
    return rc;
}

static int spy_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    int rc = real->usage(heap, usage);
    if (rc == 0) {
        usage->live_blocks = live_count;
    }
    return rc;
}

void spy_on(const struct sb_subject *subject)
{
    while (live_count > 0) {
        (void)real->free(ctxs[0], live[--live_count]); // malloc looks at no ctx
    }
    real = subject;
    spy_subject = *subject;
    spy_subject.attach = spy_attach;
    spy_subject.alloc = spy_alloc;
    spy_subject.free = spy_free;
    spy_subject.address = spy_address;
    spy_subject.lock = subject->lock != NULL ? spy_lock : NULL;
    spy_subject.usage = spy_usage;
    plan.reach = plan.block = false;
    plan.nth = plan.leak = plan.refuse_first = plan.refuse_count = 0;
    plan.room = plan.largest = live_bytes = 0;
    plan.stall = plan.stall_ns = 0;
    for (uint32_t i = 0; i < BED_WORKERS_MOST; i++) {
        ctxs[i] = NULL;
        reaches[i] = made[i] = 0;
    }
    allocs = frees = 0;
    doomed.bits = 0;
}

void spy_spoil_reach(uint32_t who, uint64_t nth, uint64_t offset)
{
    plan.reach = true;
    plan.who = who;
    plan.nth = nth;
    plan.offset = offset;
}

void spy_spoil_block(uint32_t maker, uint64_t nth, uint32_t reacher, uint64_t offset)
{
    plan.block = true;
    plan.who = maker;
    plan.nth = nth;
    plan.reacher = reacher;
    plan.offset = offset;
}

void spy_leak_free(uint64_t nth)
{
    plan.leak = nth;
}

void spy_refuse_allocs(uint64_t first, uint64_t count)
{
    plan.refuse_first = first;
    plan.refuse_count = count;
}

void spy_limit(uint64_t room, uint64_t largest)
{
    plan.room = room;
    plan.largest = largest;
}

void spy_stall_alloc(uint64_t nth, uint64_t ns)
{
    plan.stall = nth;
    plan.stall_ns = ns;
}

void spy_flip_live(struct sb_worker *worker, uint64_t offset)
{
    sb_ref block = live[live_count - 1];
    unsigned char *place = sb_reach(worker, block, SB_LOCK_PIN);
    place[offset] ^= 0x40;
    sb_leave(worker, block);
}

// The linker turns the calls of all our objects to these (CMakeLists.txt).
#define WRAP(type, name, parameters, arguments)                                        \
    type __real_##name parameters;                                                     \
    type __wrap_##name parameters;                                                     \
    type __wrap_##name parameters                                                      \
    {                                                                                  \
        spy_private_calls += bed_stepping;                                             \
        return __real_##name arguments;                                                \
    }
WRAP(void *, malloc, (size_t bytes), (bytes))
WRAP(void *, calloc, (size_t count, size_t bytes), (count, bytes))
WRAP(void *, realloc, (void *memory, size_t bytes), (memory, bytes))
WRAP(uint64_t, sb_random_next, (struct sb_random * random), (random))
WRAP(uint64_t, sb_random_below, (struct sb_random * random, uint64_t below),
     (random, below))
WRAP(uint64_t, sb_draw_log_uniform,
     (struct sb_random * random, uint64_t least, uint64_t most), (random, least, most))

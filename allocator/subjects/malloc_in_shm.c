// SPDX-License-Identifier: MIT
// malloc_in_shm: an ordinary malloc put into shared memory behind one mutex, which is
// what most programs do when they first need a shared heap.
//
// Built on: dlmalloc's mspace (Doug Lea, fetched by scripts/fetch-sources), segment.h.
// Concurrency: one process-shared mutex around every call, robust or plain.
// Why this way: dlmalloc keeps absolute pointers, so every process maps the segment at
//   one agreed address; and a secret of its process, which is compiled out (INSECURE).
//   It grows through MORECORE in steps of 64 KiB that are backed before use, so that
//   the footprint is what it took and a full tmpfs is an error, not a signal.
// Departures: a mutex whose owner died is made consistent and used on; dlmalloc has no
//   way to tell whether that owner left a list half linked.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/dlmalloc_morecore.h"
#include "allocator/subjects/segment.h"
#include "allocator/subjects/usage.h"
#include "harness/base/clock.h"

#define MAGIC UINT64_C(0x31304d48536c6d53)
enum { HEADER_BYTES = 4096, FIRST_BYTES = 65536 };

// dlmalloc has no header of its own; these are the calls used, as its manual has them.
struct dlmalloc_calls {
    void *(*create_with_base)(void *base, size_t capacity, int locked);
    void *(*allocate)(void *space, size_t bytes);
    void (*release)(void *space, void *memory);
    void *(*resize)(void *space, void *memory, size_t bytes);
    size_t (*usable)(const void *memory);
};

#ifdef SB_DLMALLOC
extern void *create_mspace_with_base(void *, size_t, int);
extern void *mspace_malloc(void *, size_t);
extern void mspace_free(void *, void *);
extern void *mspace_realloc(void *, void *, size_t);
extern size_t mspace_usable_size(const void *);
static const struct dlmalloc_calls dl = {create_mspace_with_base, mspace_malloc,
                                         mspace_free, mspace_realloc,
                                         mspace_usable_size};
#else
#define SB_DLMALLOC ""
static const struct dlmalloc_calls dl; // not fetched: probe and create say so
#endif

// At the segment's start. Written under the mutex, but for magic; read by usage()
// without it, so relaxed atomics.
struct shared {
    _Atomic uint64_t magic; // by create, last (release); read by open (acquire)
    void *space;
    _Alignas(64) pthread_mutex_t mutex;
    _Alignas(64) _Atomic uint64_t acquisitions;
    _Atomic uint64_t contended, wait_ns, longest_wait_ns, owners_died;
    _Atomic uint64_t live_blocks, usable_bytes, returned_bytes;
    _Atomic uint64_t limit; // offset up to which dlmalloc has memory
};
_Static_assert(sizeof(struct shared) <= HEADER_BYTES, "the header has one page");

struct sb_heap {
    struct sb_segment segment;
    struct shared *shared;
    int growth; // why the latest growth failed; under the mutex
};

struct sb_ctx {
    struct sb_heap *heap;
    struct shared *shared;
    void *space;
};

struct values {
    uint32_t lock;
};

static const char *const locks[] = {"robust", "plain", NULL};
enum { LOCK_ROBUST, LOCK_PLAIN };

static const struct sb_option options[] = {
    {.name = "lock",
     .summary = "the mutex: robust survives the death of its owner, plain hangs then",
     .type = SB_CHOICE,
     .offset = offsetof(struct values, lock),
     .initial = "robust",
     .choices = locks},
    {.name = NULL},
};

// The one heap of this process: the agreed address can hold no second. Set by create
// and open, cleared by destroy; read under the mutex, by dlmalloc's growth.
static struct sb_heap *mapped;

// Only the holder of the mutex adds, so no atomic addition is needed.
static inline void add(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

// dlmalloc's sbrk: gives, takes back, or (zero) tells the end. All under the mutex.
void *sb_dlmalloc_morecore(ptrdiff_t bytes)
{
    struct sb_heap *heap = mapped;
    uint64_t limit = get(&heap->shared->limit);
    uint64_t size = (uint64_t)(bytes < 0 ? -bytes : bytes);
    if (bytes > 0) {
        if (size > heap->segment.bytes - limit) {
            heap->growth = -ENOMEM;
            return (void *)~(uintptr_t)0;
        }
        heap->growth = sb_segment_back(&heap->segment, limit, limit + size);
        if (heap->growth != 0) {
            return (void *)~(uintptr_t)0;
        }
        atomic_store_explicit(&heap->shared->limit, limit + size, memory_order_relaxed);
    } else if (bytes < 0) {
        if (sb_segment_punch(&heap->segment, limit - size, limit) != 0) {
            return (void *)~(uintptr_t)0;
        }
        add(&heap->shared->returned_bytes, size);
        atomic_store_explicit(&heap->shared->limit, limit - size, memory_order_relaxed);
    }
    return heap->segment.base + limit;
}

static int in_shm_probe(char *text, size_t bytes)
{
    if (dl.allocate == NULL) {
        snprintf(text, bytes, "dlmalloc's source was not fetched: run scripts/setup");
        return -ENOENT;
    }
    snprintf(text, bytes, "dlmalloc %s", SB_DLMALLOC);
    return 0;
}

static int mutex_make(pthread_mutex_t *mutex, uint32_t kind)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);
    if (rc != 0) {
        return -rc;
    }
    rc = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (rc == 0 && kind == LOCK_ROBUST) {
        rc = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (rc == 0) {
        rc = pthread_mutex_init(mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return -rc;
}

static int in_shm_create(const struct sb_place *place, const void *values,
                         struct sb_heap **out)
{
    const struct values *chosen = values;
    int rc = 0;
    if (dl.allocate == NULL) {
        return -ENOSYS;
    }
    if (place->bytes < HEADER_BYTES + FIRST_BYTES) {
        return -ENOMEM;
    }
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    rc = sb_segment_create(place, SB_AGREED_ADDRESS, &heap->segment);
    if (rc != 0) {
        goto fail_heap;
    }
    rc = sb_segment_back(&heap->segment, 0, HEADER_BYTES + FIRST_BYTES);
    if (rc != 0) {
        goto fail_segment;
    }
    struct shared *shared = heap->shared = (struct shared *)heap->segment.base;
    shared->limit = HEADER_BYTES + FIRST_BYTES;
    rc = mutex_make(&shared->mutex, chosen->lock);
    if (rc != 0) {
        goto fail_segment;
    }
    mapped = heap;
    shared->space =
        dl.create_with_base(heap->segment.base + HEADER_BYTES, FIRST_BYTES, 0);
    if (shared->space == NULL) {
        rc = -ENOMEM;
        mapped = NULL;
        goto fail_segment;
    }
    atomic_store_explicit(&shared->magic, MAGIC, memory_order_release);
    *out = heap;
    return 0;

fail_segment:
    sb_segment_close(&heap->segment);
fail_heap:
    free(heap);
    return rc;
}

static int in_shm_open(const struct sb_place *place, const void *values,
                       struct sb_heap **out)
{
    (void)values; // the mutex is as it was made
    if (dl.allocate == NULL) {
        return -ENOSYS;
    }
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    int rc = sb_segment_open(place, SB_AGREED_ADDRESS, &heap->segment);
    if (rc != 0) {
        goto fail_heap;
    }
    heap->shared = (struct shared *)heap->segment.base;
    if (heap->segment.bytes < HEADER_BYTES ||
        atomic_load_explicit(&heap->shared->magic, memory_order_acquire) != MAGIC) {
        rc = -EBADMSG;
        goto fail_segment;
    }
    mapped = heap;
    *out = heap;
    return 0;

fail_segment:
    sb_segment_close(&heap->segment);
fail_heap:
    free(heap);
    return rc;
}

static int in_shm_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    (void)worker;
    struct sb_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    ctx->shared = heap->shared;
    ctx->space = heap->shared->space;
    *out = ctx;
    return 0;
}

static void in_shm_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int in_shm_destroy(struct sb_heap *heap)
{
    mapped = NULL;
    int rc = sb_segment_close(&heap->segment);
    free(heap);
    return rc;
}

static int lock_owned(struct shared *shared, int rc)
{
    if (rc == EOWNERDEAD) {
        rc = pthread_mutex_consistent(&shared->mutex);
        add(&shared->owners_died, 1);
    }
    return -rc;
}

// Somebody holds it: waits, and counts how long.
static int lock_contended(struct shared *shared)
{
    uint64_t start = sb_now_ns();
    int rc = lock_owned(shared, pthread_mutex_lock(&shared->mutex));
    if (rc != 0) {
        return rc;
    }
    uint64_t waited = sb_now_ns() - start;
    add(&shared->acquisitions, 1);
    add(&shared->contended, 1);
    add(&shared->wait_ns, waited);
    if (waited > get(&shared->longest_wait_ns)) {
        atomic_store_explicit(&shared->longest_wait_ns, waited, memory_order_relaxed);
    }
    return 0;
}

static inline int lock(struct shared *shared)
{
    int rc = pthread_mutex_trylock(&shared->mutex);
    if (__builtin_expect(rc == EBUSY, 0)) {
        return lock_contended(shared);
    }
    if (__builtin_expect(rc != 0, 0)) {
        rc = lock_owned(shared, rc);
        if (rc != 0) {
            return rc;
        }
    }
    add(&shared->acquisitions, 1);
    return 0;
}

static int in_shm_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    struct shared *shared = ctx->shared;
    int rc = lock(shared);
    if (rc != 0) {
        return rc;
    }
    ctx->heap->growth = -ENOMEM;
    void *memory = dl.allocate(ctx->space, bytes);
    if (__builtin_expect(memory != NULL, 1)) {
        add(&shared->live_blocks, 1);
        add(&shared->usable_bytes, dl.usable(memory));
        block->bits = (uintptr_t)memory;
    } else {
        rc = ctx->heap->growth != 0 ? ctx->heap->growth : -ENOMEM;
    }
    pthread_mutex_unlock(&shared->mutex);
    return rc;
}

static int in_shm_free(struct sb_ctx *ctx, sb_ref block)
{
    struct shared *shared = ctx->shared;
    void *memory = (void *)block.bits;
    int rc = lock(shared);
    if (rc != 0) {
        return rc;
    }
    add(&shared->live_blocks, UINT64_MAX);
    add(&shared->usable_bytes, -(uint64_t)dl.usable(memory));
    dl.release(ctx->space, memory);
    pthread_mutex_unlock(&shared->mutex);
    return 0;
}

static void *in_shm_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    return (void *)block.bits;
}

static int in_shm_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    struct shared *shared = ctx->shared;
    void *memory = (void *)block->bits;
    int rc = lock(shared);
    if (rc != 0) {
        return rc;
    }
    uint64_t before = dl.usable(memory);
    ctx->heap->growth = -ENOMEM;
    memory = dl.resize(ctx->space, memory, bytes);
    if (memory != NULL) {
        add(&shared->usable_bytes, dl.usable(memory) - before);
        block->bits = (uintptr_t)memory;
    } else {
        rc = ctx->heap->growth != 0 ? ctx->heap->growth : -ENOMEM;
    }
    pthread_mutex_unlock(&shared->mutex);
    return rc;
}

static int in_shm_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    const struct shared *shared = heap->shared;
    *usage = sb_usage_unmoved();
    usage->live_blocks = get(&shared->live_blocks);
    usage->usable_bytes = get(&shared->usable_bytes);
    usage->returned_bytes = get(&shared->returned_bytes);
    usage->locks_count = 1;
    usage->locks[0] = (struct sb_lock_usage){
        .name = "heap mutex",
        .acquisitions = get(&shared->acquisitions),
        .contended = get(&shared->contended),
        .wait_ns = get(&shared->wait_ns),
        .longest_wait_ns = get(&shared->longest_wait_ns),
        .hold_ns = SB_UNKNOWN,
        .longest_hold_ns = SB_UNKNOWN,
    };
    return 0;
}

const struct sb_subject sb_subject_malloc_in_shm = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "malloc_in_shm",
    .summary =
        "dlmalloc in the segment behind one mutex; all is shared, at one address",
    .origin = "wasi-libc (source)",
    .capabilities =
        SB_CAP_SHARE | SB_CAP_SAME_ADDRESS | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC,
    .media = SB_MEMFD | SB_SHM | SB_FILE,
    .options = options,
    .options_bytes = sizeof(struct values),
    .probe = in_shm_probe,
    .create = in_shm_create,
    .open = in_shm_open,
    .attach = in_shm_attach,
    .detach = in_shm_detach,
    .destroy = in_shm_destroy,
    .alloc = in_shm_alloc,
    .free = in_shm_free,
    .address = in_shm_address,
    .usage = in_shm_usage,
    .realloc = in_shm_realloc,
};

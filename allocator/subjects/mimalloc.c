// SPDX-License-Identifier: MIT
// mimalloc: private to each process; a reference line.
//
// Built on: mimalloc 2, loaded beside the C library's malloc. Concurrency: mimalloc's
// (a heap a thread).
// Why this way: it is loaded, not linked, so that it serves this subject alone.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/library.h"
#include "allocator/subjects/tsan.h"
#include "allocator/subjects/usage.h"

struct sb_heap {
    uint32_t workers;
};

struct sb_ctx {
    struct sb_heap *heap;
};

static struct {
    void *(*allocate)(size_t bytes);
    void (*release)(void *memory);
    void *(*resize)(void *memory, size_t bytes);
    int (*version)(void);
    void (*collect)(bool force);
    void (*process_info)(size_t *elapsed_ms, size_t *user_ms, size_t *system_ms,
                         size_t *current_rss, size_t *peak_rss, size_t *current_commit,
                         size_t *peak_commit, size_t *page_faults);
} mi;

static const struct sb_library_symbol symbols[] = {
    {"mi_malloc", &mi.allocate}, {"mi_free", &mi.release},
    {"mi_realloc", &mi.resize},  {"mi_version", &mi.version},
    {"mi_collect", &mi.collect}, {"mi_process_info", &mi.process_info},
};

static struct sb_library library = {
    .file = "libmimalloc.so.2",
    .package = "libmimalloc2.0",
    .symbols = symbols,
    .symbols_count = sizeof symbols / sizeof symbols[0],
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

static int mimalloc_probe(char *text, size_t bytes)
{
    int rc = sb_library_load(&library, text, bytes);
    if (rc != 0) {
        return rc;
    }
    int version = mi.version(); // 209 is 2.0.9
    snprintf(text, bytes, "mimalloc %d.%d.%d", version / 100, version / 10 % 10,
             version % 10);
    return 0;
}

static int mimalloc_create(const struct sb_place *place, const void *options,
                           struct sb_heap **out)
{
    (void)options;
    int rc = sb_library_load(&library, NULL, 0);
    if (rc != 0) {
        return rc;
    }
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    heap->workers = place->workers;
    *out = heap;
    return 0;
}

static int mimalloc_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    (void)worker;
    struct sb_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    *out = ctx;
    return 0;
}

static void mimalloc_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int mimalloc_destroy(struct sb_heap *heap)
{
    free(heap);
    mi.collect(true); // threads: the next trial starts with this one's memory returned
    return 0;
}

static int mimalloc_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx;
    void *memory = mi.allocate(bytes);
    if (__builtin_expect(memory == NULL, 0)) {
        return -ENOMEM;
    }
    sb_tsan_allocated(memory);
    block->bits = (uintptr_t)memory;
    return 0;
}

static int mimalloc_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    sb_tsan_freeing((void *)block.bits);
    mi.release((void *)block.bits);
    return 0;
}

static void *mimalloc_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    return (void *)block.bits;
}

static int mimalloc_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    (void)ctx;
    void *memory = mi.resize((void *)block->bits, bytes);
    if (memory == NULL) {
        return -ENOMEM;
    }
    block->bits = (uintptr_t)memory;
    return 0;
}

static int mimalloc_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap;
    size_t elapsed_ms, user_ms, system_ms, rss, peak_rss, commit, peak_commit, faults;
    *usage = sb_usage_unmoved();
    mi.process_info(&elapsed_ms, &user_ms, &system_ms, &rss, &peak_rss, &commit,
                    &peak_commit, &faults);
    usage->footprint_bytes = commit;
    return 0;
}

const struct sb_subject sb_subject_mimalloc = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "mimalloc",
    .summary = "mimalloc; nothing is shared: a heap a process",
    .origin = "libmimalloc2.0",
    .capabilities = SB_CAP_PRIVATE | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC,
    .probe = mimalloc_probe,
    .create = mimalloc_create,
    .attach = mimalloc_attach,
    .detach = mimalloc_detach,
    .destroy = mimalloc_destroy,
    .alloc = mimalloc_alloc,
    .free = mimalloc_free,
    .address = mimalloc_address,
    .usage = mimalloc_usage,
    .realloc = mimalloc_realloc,
};

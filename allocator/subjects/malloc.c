// SPDX-License-Identifier: MIT
// malloc: the C library's own, private to each process; a reference line.
//
// Built on: glibc malloc. Concurrency: glibc's (an arena a thread).
// Why this way: a heap of its own per worker is what programs have today; so this is
//   the price that a shared heap is compared with. Sanitizer builds replace malloc,
//   which the probe says.
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subjects/usage.h"

struct sb_heap {
    uint32_t workers;
};

struct sb_ctx {
    struct sb_heap *heap;
};

static int malloc_probe(char *text, size_t bytes)
{
#ifdef SB_SANITIZED
    snprintf(text, bytes, "sanitizer's malloc (glibc %s)", gnu_get_libc_version());
#else
    snprintf(text, bytes, "glibc %s", gnu_get_libc_version());
#endif
    return 0;
}

static int malloc_create(const struct sb_place *place, const void *options,
                         struct sb_heap **out)
{
    (void)options;
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) {
        return -ENOMEM;
    }
    heap->workers = place->workers;
    *out = heap;
    return 0;
}

static int malloc_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
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

static void malloc_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int malloc_destroy(struct sb_heap *heap)
{
    free(heap);
    malloc_trim(0); // threads: the next trial starts with what this one took given back
    return 0;
}

static int malloc_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx;
    void *memory = malloc(bytes);
    if (__builtin_expect(memory == NULL, 0)) {
        return -ENOMEM;
    }
    block->bits = (uintptr_t)memory;
    return 0;
}

static int malloc_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    free((void *)block.bits);
    return 0;
}

static void *malloc_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    return (void *)block.bits;
}

static int malloc_realloc(struct sb_ctx *ctx, sb_ref *block, uint64_t bytes)
{
    (void)ctx;
    void *memory = realloc((void *)block->bits, bytes);
    if (memory == NULL) {
        return -ENOMEM;
    }
    block->bits = (uintptr_t)memory;
    return 0;
}

static int malloc_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap;
    *usage = sb_usage_unmoved();
#ifndef SB_SANITIZED // a sanitizer's mallinfo2 says zero
    struct mallinfo2 info = mallinfo2();
    usage->footprint_bytes = info.arena + info.hblkhd;
    usage->usable_bytes = info.uordblks + info.hblkhd;
#endif
    return 0;
}

const struct sb_subject sb_subject_malloc = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "malloc",
    .summary = "the C library's malloc; nothing is shared: a heap a process",
    .origin = "libc6",
    .capabilities = SB_CAP_PRIVATE | SB_CAP_REMOTE_FREE | SB_CAP_REALLOC,
    .probe = malloc_probe,
    .create = malloc_create,
    .attach = malloc_attach,
    .detach = malloc_detach,
    .destroy = malloc_destroy,
    .alloc = malloc_alloc,
    .free = malloc_free,
    .address = malloc_address,
    .usage = malloc_usage,
    .realloc = malloc_realloc,
};

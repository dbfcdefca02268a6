// SPDX-License-Identifier: MIT
// bump: an example of a plugin, and the one that the registry's test loads. It cuts
// blocks off one private area and takes nothing back until it is ended.
//
// Built on: allocator/subject.h alone, as a plugin outside this tree would be.
// Concurrency: one worker (it claims no exchange of blocks).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator/subject.h"

#ifndef PLUGIN_ABI
#define PLUGIN_ABI SB_SUBJECT_ABI
#endif

#ifdef PLUGIN_CRASHES
__attribute__((constructor)) static void crash(void)
{
    abort();
}
#endif

enum { ALIGN = 16, AREA_BYTES = 64 << 20 };

struct sb_heap {
    unsigned char *area;
    uint64_t next, end;
};

struct sb_ctx {
    struct sb_heap *heap;
};

static int bump_probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "1");
    return 0;
}

static int bump_create(const struct sb_place *place, const void *options,
                       struct sb_heap **out)
{
    (void)place;
    (void)options;
    struct sb_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL || (heap->area = malloc(AREA_BYTES)) == NULL) {
        free(heap);
        return -ENOMEM;
    }
    heap->end = AREA_BYTES;
    *out = heap;
    return 0;
}

static int bump_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **out)
{
    (void)worker;
    struct sb_ctx *ctx = malloc(sizeof *ctx);
    if (ctx == NULL) {
        return -ENOMEM;
    }
    ctx->heap = heap;
    *out = ctx;
    return 0;
}

static void bump_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int bump_destroy(struct sb_heap *heap)
{
    free(heap->area);
    free(heap);
    return 0;
}

static int bump_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    struct sb_heap *heap = ctx->heap;
    if (bytes > heap->end - heap->next - ALIGN) {
        return -ENOMEM;
    }
    block->bits = (uintptr_t)heap->area + heap->next;
    heap->next += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return 0;
}

static int bump_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    (void)block;
    return 0;
}

static void *bump_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    return (void *)block.bits;
}

static int bump_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    *usage = (struct sb_usage){.footprint_bytes = heap->next,
                               .table_bytes = 0,
                               .usable_bytes = heap->next,
                               .live_blocks = SB_UNKNOWN};
    return 0;
}

extern const struct sb_subject sb_plugin;
const struct sb_subject sb_plugin = {
    .abi = PLUGIN_ABI,
    .size = sizeof(struct sb_subject),
    .name = "bump",
    .summary = "cuts blocks off one area and takes none back; nothing is shared",
    .origin = "an example",
    .capabilities = SB_CAP_PRIVATE,
    .probe = bump_probe,
    .create = bump_create,
    .attach = bump_attach,
    .detach = bump_detach,
    .destroy = bump_destroy,
    .alloc = bump_alloc,
    .free = bump_free,
    .address = bump_address,
    .usage = bump_usage,
};

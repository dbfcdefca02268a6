// SPDX-License-Identifier: MIT
// A plugin that hands out the same bytes twice: what --verify must catch.
//
// Built on: allocator/subject.h. Concurrency: as the contract says.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subject.h"

enum { ROOM = 1 << 20 };

struct sb_heap {
    char room[ROOM];
};
struct sb_ctx {
    struct sb_heap *heap;
};

static int liar_probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "1");
    return 0;
}

static int liar_create(const struct sb_place *place, const void *options,
                       struct sb_heap **heap)
{
    (void)place;
    (void)options;
    struct sb_heap *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return -ENOMEM;
    }
    *heap = made;
    return 0;
}

static int liar_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **ctx)
{
    (void)worker;
    struct sb_ctx *made = malloc(sizeof *made);
    if (made == NULL) {
        return -ENOMEM;
    }
    made->heap = heap;
    *ctx = made;
    return 0;
}

static void liar_detach(struct sb_ctx *ctx)
{
    free(ctx);
}

static int liar_destroy(struct sb_heap *heap)
{
    free(heap);
    return 0;
}

static int liar_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx;
    if (bytes > ROOM) {
        return -ENOMEM;
    }
    block->bits = 1; // always this one
    return 0;
}

static int liar_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx;
    (void)block;
    return 0;
}

static void *liar_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)block;
    return ctx->heap->room;
}

static int liar_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap;
    memset(usage, 0xff, sizeof *usage);
    usage->locks_count = 0;
    return 0;
}

extern const struct sb_subject sb_plugin;
const struct sb_subject sb_plugin = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "liar",
    .summary = "hands out the same bytes twice",
    .origin = "a test",
    .capabilities = SB_CAP_PRIVATE | SB_CAP_REMOTE_FREE,
    .probe = liar_probe,
    .create = liar_create,
    .attach = liar_attach,
    .detach = liar_detach,
    .destroy = liar_destroy,
    .alloc = liar_alloc,
    .free = liar_free,
    .address = liar_address,
    .usage = liar_usage,
};

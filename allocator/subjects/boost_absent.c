// SPDX-License-Identifier: MIT
// boost_shm on a machine without Boost's headers: still listed, and says what is
// missing.
//
// Built on: nothing. Concurrency: any.
// Why this way: a rival that cannot be measured is shown as such, never left out.
#include <errno.h>
#include <stdio.h>

#include "allocator/subject.h"

extern const struct sb_subject sb_subject_boost_shm;

static int absent_probe(char *text, size_t bytes)
{
    snprintf(text, bytes, "built without Boost: install libboost-dev and build again");
    return -ENOENT;
}

static int absent_create(const struct sb_place *place, const void *options,
                         struct sb_heap **heap)
{
    (void)place, (void)options, (void)heap;
    return -ENOSYS;
}

static int absent_attach(struct sb_heap *heap, uint32_t worker, struct sb_ctx **ctx)
{
    (void)heap, (void)worker, (void)ctx;
    return -ENOSYS;
}

static void absent_detach(struct sb_ctx *ctx)
{
    (void)ctx;
}

static int absent_destroy(struct sb_heap *heap)
{
    (void)heap;
    return -ENOSYS;
}

static int absent_alloc(struct sb_ctx *ctx, uint64_t bytes, sb_ref *block)
{
    (void)ctx, (void)bytes, (void)block;
    return -ENOSYS;
}

static int absent_free(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx, (void)block;
    return -ENOSYS;
}

static void *absent_address(struct sb_ctx *ctx, sb_ref block)
{
    (void)ctx, (void)block;
    return NULL;
}

static int absent_usage(struct sb_heap *heap, struct sb_usage *usage)
{
    (void)heap, (void)usage;
    return -ENOSYS;
}

const struct sb_subject sb_subject_boost_shm = {
    .abi = SB_SUBJECT_ABI,
    .size = sizeof(struct sb_subject),
    .name = "boost_shm",
    .summary = "Boost.Interprocess managed segment; all is shared, behind one mutex",
    .origin = "libboost-dev",
    .capabilities = SB_CAP_SHARE | SB_CAP_REMOTE_FREE,
    .media = SB_MEMFD | SB_SHM | SB_FILE,
    .probe = absent_probe,
    .create = absent_create,
    .open = absent_create,
    .attach = absent_attach,
    .detach = absent_detach,
    .destroy = absent_destroy,
    .alloc = absent_alloc,
    .free = absent_free,
    .address = absent_address,
    .usage = absent_usage,
};

// SPDX-License-Identifier: MIT
/*
 * roots.c - names for handles, so that a newcomer finds the data.
 *
 * Built on: layout.h. Concurrency: lock-free; a name's hash claims its entry by CAS,
 * and whoever has that hash writes the same text, so a claimer that dies is completed
 * by the next.  Why this way: no lock that could be left behind; names are few and
 * stay.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <string.h>

/* FNV-1a, never 0. */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return hash ? hash : 1;
}

static int check(struct hh_heap *heap, const char *name)
{
    hh_why_clear();
    if (!heap || !name || !name[0] || !hh_revive(heap))
        return -EINVAL;
    return strlen(name) > HH_ROOT_NAME ? -ENAMETOOLONG : 0;
}

static struct hh_root *find(struct hh_heap *heap, const char *name, bool make)
{
    uint64_t hash = hash_of(name);
    for (uint32_t i = 0; i < HH_ROOTS; i++) {
        struct hh_root *root = &heap->map->head->root[(hash + i) % HH_ROOTS];
        uint64_t seen = HH_LOAD(&root->hash);
        if (!seen && make && HH_CAS(&root->hash, &seen, hash))
            seen = hash;
        if (seen == hash)
            return root;
        if (!seen)
            return NULL;
    }
    return NULL;
}

int hh_root_set(struct hh_heap *heap, const char *name, hh_handle block)
{
    int error = check(heap, name);
    if (error)
        return error;
    struct hh_root *root = find(heap, name, true);
    if (!root)
        return hh_fail(-ENOSPC, "all %u names are taken", HH_ROOTS);
    for (size_t i = 0, end = strlen(name); i < end; i++)
        HH_PUT(&root->name[i], name[i]);
    HH_STORE(&root->handle, block.word);
    return 0;
}

int hh_root_get(struct hh_heap *heap, const char *name, hh_handle *out)
{
    int error = check(heap, name);
    if (error || !out)
        return error ? error : -EINVAL;
    struct hh_root *root = find(heap, name, false);
    uint64_t handle = root ? HH_LOAD(&root->handle) : 0;
    if (!handle)
        return hh_fail(-ENOENT, "no root is named %s", name);
    out->word = handle;
    return 0;
}

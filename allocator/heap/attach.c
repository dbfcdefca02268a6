// SPDX-License-Identifier: MIT
/*
 * attach.c - create, open, close: from a file to a mapping.
 *
 * Built on: os.c, layout.c, recover.c. Concurrency: any thread; a mapping is shared by
 * the doors of one process and ends with the last. Why this way: a door lives on pages
 * that fork wipes. The child's first call finds it empty, and attaches anew through the
 * mapping it inherited.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- mappings --- */

static void map_end(struct hh_map *map)
{
    if (map->mine)
        (void)munmap(map->mine, HH_PAGE);
    if (map->base && !map->foreign)
        (void)munmap(map->base, map->at.total + HH_SMALL_MAX);
    if (map->fd >= 0)
        (void)close(map->fd);
    free(map);
}

static int map_new(int fd, struct hh_map **out)
{
    struct stat info;
    if (fstat(fd, &info))
        return -errno;
    struct hh_map *map = calloc(1, sizeof *map);
    if (!map)
        return -ENOMEM;
    map->fd = fd;
    map->device = info.st_dev;
    map->inode = info.st_ino;
    map->memory = hh_os_in_memory(fd);
    *out = map;
    return 0;
}

/* The word that fork wipes. */
static int map_mine(struct hh_map *map)
{
    void *mine =
        mmap(NULL, HH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mine == MAP_FAILED)
        return -errno;
    map->mine = mine;
    if (madvise(mine, HH_PAGE, MADV_WIPEONFORK))
        return -errno;
    *map->mine = 1;
    return 0;
}

/* Maps the segment, whose shape is known and proven. */
static int map_all(struct hh_map *map)
{
    /* After it memory of our own: the last block of a file whose entries lie may seem
     * to reach beyond the end. */
    void *base = mmap(NULL, map->at.total + HH_SMALL_MAX, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    map->base = base;
    if (mmap(base, map->at.total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             map->fd, 0) == MAP_FAILED)
        return -errno;
    map->head = base;
    hh_layout_classes(map->classes);
    return map_mine(map);
}

/* The fields of a header that never change. */
struct constants {
    uint64_t magic;
    uint32_t version, flags;
    struct hh_shape shape;
    uint64_t tag;
};

_Static_assert(sizeof(struct constants) == offsetof(struct hh_header, constants_end),
               "a header starts with its constants");

/* Proves a header, of which a copy was read. */
static int prove(struct hh_map *map, struct constants head, uint64_t file_bytes)
{
    if (!head.magic)
        return hh_fail(head.version ? -EAGAIN : -EBADMSG, "no heap, or not complete");
    if (head.magic != HH_MAGIC)
        return hh_fail(-EBADMSG, "the first bytes are not those of a heap");
    if (head.version != HH_VERSION)
        return hh_fail(-ENOTSUP, "layout version %u, this is for %u", head.version,
                       HH_VERSION);
    if (hh_layout(&head.shape, &map->at))
        return hh_fail(-EBADMSG, "the header's sizes are impossible");
    if (map->at.total > file_bytes)
        return hh_fail(-EBADMSG, "the file has %llu bytes, its header says %llu",
                       (unsigned long long)file_bytes,
                       (unsigned long long)map->at.total);
    if (!head.tag || head.tag > 255 || head.flags & ~HH_CHECKED)
        return hh_fail(-EBADMSG, "the header's tag or flags are impossible");
    map->shape = head.shape;
    map->tag = head.tag;
    map->flags = head.flags;
    return 0;
}

static int prove_file(struct hh_map *map, uint64_t file_bytes)
{
    struct constants head;
    ssize_t got = pread(map->fd, &head, sizeof head, 0);
    if (got < 0)
        return -errno;
    if ((size_t)got < sizeof head)
        return hh_fail(-EBADMSG, "%zd bytes are too few for a heap", got);
    return prove(map, head, file_bytes);
}

/* The first door of a mapping; takes the descriptor over, also on failure. */
static int enter(struct hh_map *map, struct hh_heap **out)
{
    int error = hh_client_claim(map);
    if (error)
        goto unmap;
    error = hh_door_new(map, out);
    if (error)
        goto leave;
    return 0;
leave:
    hh_client_leave(map);
unmap:
    map_end(map);
    return error;
}

int hh_open(struct hh_where where, struct hh_heap **out)
{
    hh_why_clear();
    if (!out)
        return -EINVAL;
    struct hh_map *map;
    struct stat info;
    int fd, error = hh_os_open(where, &fd);
    if (error)
        return error;
    error = map_new(fd, &map);
    if (error) {
        (void)close(fd);
        return error;
    }
    if (fstat(fd, &info))
        error = -errno;
    else if (!S_ISREG(info.st_mode))
        error = hh_fail(-EBADMSG, "not a regular file");
    else
        error = prove_file(map, (uint64_t)info.st_size);
    if (!error)
        error = map_all(map);
    if (error) {
        map_end(map);
        return error;
    }
    return enter(map, out);
}

/* The shape that was asked for, or that fits. */
static int choose(const struct hh_setup *setup, uint64_t file_bytes, struct hh_map *map)
{
    struct hh_shape *shape = &map->shape;
    shape->clients = setup->clients ? setup->clients : 64;
    shape->lanes = setup->lanes ? setup->lanes : 128;
    if (shape->clients > HH_CLIENTS || shape->lanes > HH_LANES_MAX)
        return hh_fail(-EINVAL, "at most %u clients and %u lanes", HH_CLIENTS,
                       HH_LANES_MAX);
    shape->handles = setup->handles;
    if (!setup->bytes)
        return file_bytes ? hh_layout_for_file(shape, file_bytes, &map->at)
                          : hh_fail(-EINVAL, "a heap needs a size");
    if (setup->bytes > UINT64_C(1) << 40)
        return hh_fail(-E2BIG, "a heap has 512 GiB at most");
    shape->bytes = (setup->bytes + HH_PAGE - 1) / HH_PAGE * HH_PAGE;
    if (!shape->handles) {
        shape->handles = shape->bytes / 32;
        shape->handles = shape->handles < 65536 ? 65536 : shape->handles;
        if (shape->handles > UINT64_C(1) << 31)
            shape->handles = UINT64_C(1) << 31;
    }
    int error = hh_layout(shape, &map->at);
    if (!error && file_bytes && map->at.total > file_bytes)
        return hh_fail(-ENOSPC, "the file has %llu bytes, the heap needs %llu",
                       (unsigned long long)file_bytes,
                       (unsigned long long)map->at.total);
    return error;
}

/* Writes the header of an empty heap; the magic word last. */
static int format(struct hh_map *map, uint32_t flags)
{
    unsigned char tag = 0;
    int error = hh_os_provide(map, 0, map->at.lanes_at);
    if (error)
        return error;
    while (!tag) {
        if (getrandom(&tag, 1, 0) != 1)
            tag = (unsigned char)hh_now();
    }
    struct hh_header *head = map->head;
    map->tag = tag;
    map->flags = flags;
    head->version = HH_VERSION;
    head->flags = flags;
    head->shape = map->shape;
    head->tag = tag;
    hh_policy_start(head);
    HH_STORE(&head->magic, HH_MAGIC);
    return 0;
}

/* A file that is given must hold nothing yet. */
static int all_zero(int fd)
{
    off_t data = lseek(fd, 0, SEEK_DATA);
    if (data >= 0)
        return hh_fail(-EEXIST, "the file holds data already");
    return 0;
}

int hh_create(struct hh_where where, const struct hh_setup *setup, struct hh_heap **out)
{
    hh_why_clear();
    if (!setup || !out || setup->flags & ~HH_CHECKED)
        return -EINVAL;
    struct hh_map *map;
    struct hh_heap *heap = NULL;
    struct stat info;
    int fd, error = hh_os_create(where, setup->mode ? setup->mode : 0600, &fd);
    if (error)
        return error;
    error = map_new(fd, &map);
    if (error) {
        (void)close(fd);
        return error;
    }
    if (fstat(fd, &info))
        error = -errno;
    if (!error && info.st_size)
        error = all_zero(fd);
    if (!error)
        error = choose(setup, (uint64_t)info.st_size, map);
    if (!error && !info.st_size && ftruncate(fd, (off_t)map->at.total))
        error =
            errno == EFBIG ? hh_fail(-ENOSPC, "beyond the file size limit") : -errno;
    if (!error)
        error = map_all(map);
    if (!error)
        error = format(map, setup->flags);
    if (error) {
        map_end(map);
        return error;
    }
    error = enter(map, &heap);
    if (error)
        return error;
    error = hh_os_publish(where, fd);
    if (error) {
        hh_close(heap);
        return error;
    }
    *out = heap;
    return 0;
}

/* Makes the caller's memory a heap, or proves the one in it. */
static int settle_in(struct hh_map *map, size_t bytes, const struct hh_setup *setup)
{
    if (!setup)
        return prove(map, *(const struct constants *)(const void *)map->base, bytes);
    struct hh_setup fitting = *setup;
    fitting.bytes = 0;
    int error = choose(&fitting, bytes, map);
    if (error)
        return error == -ENOSPC
                   ? hh_fail(-EINVAL, "%zu bytes are too few for a heap", bytes)
                   : error;
    memset(map->base, 0, map->at.area_at);
    return format(map, setup->flags);
}

int hh_attach(void *memory, size_t bytes, const struct hh_setup *setup, int token_fd,
              struct hh_heap **out)
{
    hh_why_clear();
    if (!memory || !out || (setup && setup->flags & ~HH_CHECKED))
        return -EINVAL;
    if ((uintptr_t)memory % HH_PAGE)
        return hh_fail(-EINVAL, "the memory is not aligned to %u", HH_PAGE);
    if (bytes < sizeof(struct hh_header))
        return hh_fail(-EINVAL, "%zu bytes are too few for a heap", bytes);
    struct hh_map *map = calloc(1, sizeof *map);
    struct stat info;
    if (!map)
        return -ENOMEM;
    map->foreign = true;
    map->base = memory;
    map->head = memory;
    map->fd = -1;
    hh_layout_classes(map->classes);
    int error = map_mine(map);
    if (!error && token_fd >= 0) {
        int fd = hh_os_again(token_fd);
        if (fd < 0)
            error = fd;
        else if (fstat(fd, &info))
            error = -errno;
        map->fd = fd;
        map->device = info.st_dev;
        map->inode = info.st_ino;
    }
    if (!error)
        error = settle_in(map, bytes, setup);
    if (error) {
        map_end(map);
        return error;
    }
    return enter(map, out);
}

int hh_clone(struct hh_heap *heap, struct hh_heap **out)
{
    hh_why_clear();
    if (!heap || !out)
        return -EINVAL;
    struct hh_map *map = hh_door_forget(heap, true);
    if (!map || (!*map->mine && !hh_revive(heap)))
        return -EINVAL;
    return hh_door_new(map, out);
}

void hh_close(struct hh_heap *heap)
{
    if (!heap || !hh_revive(heap))
        return;
    struct hh_map *map = heap->map;
    hh_door_close(heap);
    if (HH_ADD(&map->doors, -1u) != 1)
        return;
    hh_client_leave(map);
    map_end(map);
}

int hh_remove(struct hh_where where)
{
    hh_why_clear();
    if ((where.kind != HH_FILE && where.kind != HH_SHM) || !where.name)
        return -EINVAL;
    struct hh_map *map;
    struct stat info;
    int fd, error = hh_os_open(where, &fd);
    if (error)
        return error;
    error = map_new(fd, &map);
    if (error) {
        (void)close(fd);
        return error;
    }
    if (fstat(fd, &info))
        error = -errno;
    else
        error = prove_file(map, (uint64_t)info.st_size);
    map_end(map);
    return error ? error : hh_os_unlink(where);
}

int hh_fd_get(const struct hh_heap *heap)
{
    /* By the list, so that the child of a fork gets it without a door of its own. */
    struct hh_map *map = heap ? hh_door_forget(heap, true) : NULL;
    return map ? map->fd : -EINVAL;
}

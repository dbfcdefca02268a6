// SPDX-License-Identifier: MIT
/*
 * attach.c - create, open, clone, close: from a file to a door.
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

#define DOOR_BYTES ((sizeof(struct hh_heap) + HH_PAGE - 1) / HH_PAGE * HH_PAGE)
#define DOORS      4096

/* Which door belongs to which mapping, for the child of a fork: ordinary memory, which
 * fork copies. Changed by CAS. */
static struct {
    struct hh_heap *door;
    struct hh_map *map;
} doors[DOORS];

static bool remember(struct hh_heap *door, struct hh_map *map)
{
    for (uint32_t i = 0; i < DOORS; i++) {
        struct hh_heap *none = NULL;
        if (HH_CAS(&doors[i].door, &none, door)) {
            HH_STORE(&doors[i].map, map);
            return true;
        }
    }
    return false;
}

static struct hh_map *forget(const struct hh_heap *door, bool keep)
{
    for (uint32_t i = 0; i < DOORS; i++) {
        if (HH_LOAD(&doors[i].door) != door)
            continue;
        struct hh_map *map = HH_LOAD(&doors[i].map);
        if (!keep) {
            HH_STORE(&doors[i].map, NULL);
            HH_STORE(&doors[i].door, NULL);
        }
        return map;
    }
    return NULL;
}

/* --- clients: one for each mapping --- */

/* Makes this mapping a client: under the byte lock of a free or dead entry. */
static int client_claim(struct hh_map *map)
{
    for (uint32_t i = 0; i < map->shape.clients; i++) {
        uint64_t *word = &map->head->client[i];
        void *token;
        if (hh_os_alive(map, i))
            continue;
        int error = hh_os_token(map, i, &token);
        if (error == -EAGAIN)
            continue;
        if (error)
            return error;
        uint64_t state = HH_LOAD(word), epoch = state >> 8;
        if ((state & 255) != HH_CLIENT_FREE) {
            HH_STORE(word, epoch << 8 | HH_CLIENT_DEAD);
            hh_recover_owned(map, i);
        }
        epoch = (epoch + 1) & 0xffffffff;
        HH_PUT(&map->head->client_pid[i], (uint32_t)getpid());
        HH_STORE(word, epoch << 8 | HH_CLIENT_USED);
        map->client = i;
        map->client_epoch = epoch;
        map->token = token;
        map->barrier = hh_os_barrier_register();
        return 0;
    }
    return hh_fail(-EUSERS, "all %u clients are alive", map->shape.clients);
}

static void client_leave(struct hh_map *map)
{
    HH_STORE(&map->head->client[map->client], map->client_epoch << 8 | HH_CLIENT_FREE);
    (void)munmap(map->token, HH_PAGE);
}

/* --- lanes: one for each door --- */

static int lane_claim(struct hh_map *map, uint32_t *lane)
{
    uint64_t used =
        (uint64_t)map->client << 32 | (map->client_epoch & 0xffff) << 16 | 1;
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < map->shape.lanes; i++) {
            uint64_t known = HH_LOAD(&map->head->lanes_used), none = 0;
            if (i >= known) {
                int error = hh_os_provide(map, map->at.lanes_at + i * HH_LANE_BYTES,
                                          HH_LANE_BYTES);
                if (error)
                    return error;
                hh_max(&map->head->lanes_used, i + 1);
            }
            struct hh_lane *record = hh_lane_at(map, i);
            if (!HH_CAS(&record->state, &none, used))
                continue;
            uint64_t fresh = 0;
            (void)HH_CAS(&record->epoch, &fresh, UINT64_C(1));
            *lane = i;
            return 0;
        }
        if (!hh_recover_all(map))
            break;
    }
    return hh_fail(-EUSERS, "all %u lanes are in use", map->shape.lanes);
}

/* Fills a door that is all zero. */
static int door_open(struct hh_heap *heap, struct hh_map *map)
{
    uint32_t lane = 0;
    int error = lane_claim(map, &lane);
    if (error)
        return error;
    heap->base = map->base;
    heap->table = hh_entry_at(map, 0);
    heap->lane = hh_lane_at(map, lane);
    heap->cell = heap->lane->cell;
    heap->owner = hh_owner(lane, HH_LOAD(&heap->lane->epoch));
    heap->key = map->tag << HH_TAG_SHIFT;
    heap->live_key = (map->tag << 28) ^ HH_LIVE;
    heap->cached_key = (map->tag << 28) ^ HH_CACHED;
    heap->busy = &heap->lane->busy;
    heap->shared = &heap->lane->shared;
    heap->home = lane;
    heap->place_first = map->at.area_at / 16;
    heap->place_count = map->shape.bytes / 16;
    heap->strict = !map->barrier;
    heap->cells = heap->strict ? 0 : HH_CELLS_FAST;
    HH_STORE(&heap->lane->strict, heap->strict);
    HH_STORE(&heap->lane->cells_used, HH_CELLS_FAST);
    /* With HH_CHECKED each free looks at the pins: never the fast path. */
    heap->held = map->flags & HH_CHECKED ? UINT64_C(1) << 32 : 0;
    /* A magazine holds up to 32 KiB of blocks, and little of a small heap. */
    uint64_t most = map->shape.bytes / 2048;
    most = most > (32u << 10) ? 32u << 10 : most < HH_PAGE ? HH_PAGE : most;
    for (uint32_t i = 1; i <= HH_CLASSES; i++) {
        uint64_t full = most / map->classes[i].bytes;
        heap->full[i] = (unsigned char)(full < 2              ? 2
                                        : full > HH_MAG_ITEMS ? HH_MAG_ITEMS
                                                              : full);
    }
    heap->map = map;
    hh_refresh(heap);
    return 0;
}

static int door_new(struct hh_map *map, struct hh_heap **out)
{
    struct hh_heap *heap = mmap(NULL, DOOR_BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (heap == MAP_FAILED)
        return -ENOMEM;
    int error = 0;
    if (madvise(heap, DOOR_BYTES, MADV_WIPEONFORK))
        error = -errno;
    if (!error && !remember(heap, map))
        error = hh_fail(-EUSERS, "a process has %d doors at most", DOORS);
    if (!error)
        error = door_open(heap, map);
    if (error) {
        (void)forget(heap, false);
        (void)munmap(heap, DOOR_BYTES);
        return error;
    }
    (void)HH_ADD(&map->doors, 1);
    *out = heap;
    return 0;
}

/* In the child of a fork: a client and a lane of its own. False: there is none. */
bool hh_revive(struct hh_heap *heap)
{
    if (heap->map)
        return true;
    struct hh_map *map = forget(heap, true);
    if (!map)
        return false;
    if (!*map->mine) {
        /* The first call of this child: no other thread can be in here yet. */
        if (client_claim(map))
            return false;
        *map->mine = 1;
    }
    return !door_open(heap, map);
}

/* --- mappings --- */

static void map_end(struct hh_map *map)
{
    if (map->mine)
        (void)munmap(map->mine, HH_PAGE);
    if (map->base)
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
    *out = map;
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

/* Reads and proves the header of an open file. */
static int prove(struct hh_map *map, uint64_t file_bytes)
{
    struct {
        uint64_t magic;
        uint32_t version, flags;
        struct hh_shape shape;
        uint64_t tag;
    } head;
    _Static_assert(sizeof head == offsetof(struct hh_header, constants_end),
                   "same start");
    ssize_t got = pread(map->fd, &head, sizeof head, 0);
    if (got < 0)
        return -errno;
    if ((size_t)got < sizeof head)
        return hh_fail(-EBADMSG, "%zd bytes are too few for a heap", got);
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

/* The first door of a mapping; takes the descriptor over, also on failure. */
static int enter(struct hh_map *map, struct hh_heap **out)
{
    int error = client_claim(map);
    if (error)
        goto unmap;
    error = door_new(map, out);
    if (error)
        goto leave;
    return 0;
leave:
    client_leave(map);
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
        error = prove(map, (uint64_t)info.st_size);
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

int hh_clone(struct hh_heap *heap, struct hh_heap **out)
{
    hh_why_clear();
    if (!heap || !out)
        return -EINVAL;
    struct hh_map *map = forget(heap, true);
    if (!map || (!*map->mine && !hh_revive(heap)))
        return -EINVAL;
    return door_new(map, out);
}

void hh_close(struct hh_heap *heap)
{
    if (!heap || !hh_revive(heap))
        return;
    struct hh_map *map = heap->map;
    struct hh_lane *lane = heap->lane;
    for (uint32_t i = 0; i < HH_EXCL; i++) {
        hh_handle held = {HH_LOAD(&lane->excl[i])};
        if (held.word)
            (void)hh_unlock_slow(heap, held);
    }
    hh_mags_close(heap);
    for (uint32_t i = 1; i <= HH_CLASSES; i++) {
        if (heap->span[i]) {
            hh_span_leave(heap, heap->span[i] - 1);
            (void)hh_span_dissolve(heap, heap->span[i] - 1);
        }
    }
    hh_lane_end(map, (uint32_t)(heap->owner >> 12), HH_LOAD(&lane->state));
    hh_mover_free(heap);
    (void)forget(heap, false);
    (void)munmap(heap, DOOR_BYTES);
    if (HH_ADD(&map->doors, -1u) != 1)
        return;
    client_leave(map);
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
        error = prove(map, (uint64_t)info.st_size);
    map_end(map);
    return error ? error : hh_os_unlink(where);
}

int hh_fd_get(const struct hh_heap *heap)
{
    /* By the list, so that the child of a fork gets it without a door of its own. */
    struct hh_map *map = heap ? forget(heap, true) : NULL;
    return map ? map->fd : -EINVAL;
}

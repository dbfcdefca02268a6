// SPDX-License-Identifier: MIT
/*
 * door.c - clients, lanes and doors.
 *
 * Built on: os.c, recover.c. Concurrency: any thread; a door itself is one thread's.
 * Why this way: a door lives on pages that fork wipes. The child's first call finds it
 * empty, and attaches anew through the mapping it inherited.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
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

struct hh_map *hh_door_forget(const struct hh_heap *door, bool keep)
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
int hh_client_claim(struct hh_map *map)
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

void hh_client_leave(struct hh_map *map)
{
    HH_STORE(&map->head->client[map->client], map->client_epoch << 8 | HH_CLIENT_FREE);
    if (map->token)
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
    heap->hot = HH_HOT_NONE;
    heap->busy = &heap->lane->busy;
    heap->shared = &heap->lane->shared;
    heap->home = (uint64_t)lane << HH_M_HOME_SHIFT;
    heap->place_first = map->at.area_at / 16;
    heap->place_count = map->shape.bytes / 16;
    heap->strict = !map->barrier;
    heap->cells = heap->strict ? 0 : HH_CELLS_FAST;
    HH_STORE(&heap->lane->strict, heap->strict);
    HH_STORE(&heap->lane->cells_used, HH_CELLS_FAST);
    HH_STORE(&heap->lane->excl_used, 0u);
    /* With HH_CHECKED each free looks at the pins: never the fast path. */
    heap->held = map->flags & HH_CHECKED ? UINT64_C(1) << 32 : 0;
    /* A magazine holds up to 64 KiB of blocks, and little of a small heap. */
    uint64_t most = map->shape.bytes / 2048;
    most = most > (64u << 10) ? 64u << 10 : most < HH_PAGE ? HH_PAGE : most;
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

int hh_door_new(struct hh_map *map, struct hh_heap **out)
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
        (void)hh_door_forget(heap, false);
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
    struct hh_map *map = hh_door_forget(heap, true);
    if (!map)
        return false;
    if (!*map->mine) {
        /* The first call of this child: no other thread can be in here yet. */
        if (hh_client_claim(map))
            return false;
        *map->mine = 1;
    }
    return !door_open(heap, map);
}

/* Gives everything the door holds to the others, and ends it. */
void hh_door_close(struct hh_heap *heap)
{
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
    (void)hh_door_forget(heap, false);
    (void)munmap(heap, DOOR_BYTES);
}

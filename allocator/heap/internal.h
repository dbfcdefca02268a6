// SPDX-License-Identifier: MIT
/*
 * internal.h - what the heap's own files share.
 *
 * Built on: layout.h. Concurrency: struct hh_map is one process's and constant after
 * attach but for its counter of doors; everything reached through it is the segment.
 * Why this way: the files below call each other strictly downwards in this order:
 *   os, layout -> pages -> mags, spans -> recover -> mover -> alloc, free, lock ->
 * attach.
 */
#ifndef ALLOCATOR_HEAP_INTERNAL_H
#define ALLOCATOR_HEAP_INTERNAL_H

#include "allocator/heap/layout.h"

#include <sys/types.h>

/* Offsets and counts that follow from a shape. */
struct hh_geometry {
    uint64_t bare_bits_at, empty_bits_at, page_bits_at; /* one bit a magazine, a page */
    uint64_t lanes_at, pages_at, mags_at, table_at;
    uint64_t map_at[3]; /* span maps of fine, middle and coarse classes */
    uint64_t area_at, total;
    uint64_t pages, bare_mags, empty_mags;
};

struct hh_class {
    uint32_t bytes, pages, slots;
    uint32_t region; /* which of the three maps */
};

/* One mapping of one segment in one process. */
struct hh_map {
    unsigned char *base;
    struct hh_header *head; /* == base */
    struct hh_shape shape; /* the validated copies: never read again from the segment */
    struct hh_geometry at;
    struct hh_class classes[HH_CLASSES + 1];
    uint64_t tag;
    uint32_t flags;
    int fd;
    dev_t device;
    ino_t inode;
    uint32_t client;
    uint64_t client_epoch;
    void *token;    /* the page that keeps the liveness lock's description alive */
    bool barrier;   /* membarrier works here */
    bool memory;    /* the file lies in memory, not on a disk */
    bool foreign;   /* the memory is the caller's; fd is for tokens only, or -1 */
    uint32_t doors; /* fetch-add */
    uint32_t *mine; /* on a page that fork wipes: 1 while the client is this process */
};

/* --- error.c --- */
int hh_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hh_why_clear(void);

/* --- os.c: files, memory, clock, barrier, futex --- */
int64_t hh_now(void);
int hh_os_create(struct hh_where where, uint32_t mode, int *fd);
int hh_os_publish(struct hh_where where, int fd);
int hh_os_unlink(struct hh_where where);
int hh_os_again(int fd);
bool hh_os_in_memory(int fd);
int hh_os_open(struct hh_where where, int *fd);
int hh_os_provide(struct hh_map *map, uint64_t at, uint64_t bytes);
int hh_os_punch(struct hh_map *map, uint64_t at, uint64_t bytes);
int hh_os_token(struct hh_map *map, uint32_t client, void **token); /* -EAGAIN: held */
bool hh_os_alive(struct hh_map *map, uint32_t client);
bool hh_os_barrier_register(void);
int hh_os_barrier(void);
void hh_os_settle(void);
void hh_os_pause(void);
void hh_os_wait(uint32_t *word, uint32_t value, int64_t timeout_ns);
void hh_os_wake(uint32_t *word);

/* --- layout.c --- */
int hh_layout(const struct hh_shape *shape, struct hh_geometry *out);
int hh_layout_for_file(struct hh_shape *shape, uint64_t file_bytes,
                       struct hh_geometry *out);
void hh_layout_classes(struct hh_class classes[HH_CLASSES + 1]);

static inline struct hh_lane *hh_lane_at(struct hh_map *map, uint32_t lane)
{
    return (struct hh_lane *)(map->base + map->at.lanes_at + lane * HH_LANE_BYTES);
}
static inline struct hh_pageword *hh_page_at(struct hh_map *map, uint64_t page)
{
    return (struct hh_pageword *)(map->base + map->at.pages_at) + page;
}
static inline struct hh_mag *hh_mag_at(struct hh_map *map, uint64_t mag)
{
    return (struct hh_mag *)(map->base + map->at.mags_at) + mag;
}
static inline uint64_t hh_mag_number(struct hh_map *map, struct hh_mag *mag)
{
    return (uint64_t)(mag - hh_mag_at(map, 0));
}
static inline struct hh_entry *hh_entry_at(struct hh_map *map, uint32_t index)
{
    return (struct hh_entry *)(map->base + map->at.table_at) + index;
}
static inline uint32_t *hh_slot_at(struct hh_map *map, uint64_t map_at)
{
    return (uint32_t *)(void *)(map->base + map_at);
}
/* Whether pages from there on are within the blocks. */
static inline bool hh_fits(struct hh_map *map, uint64_t page, uint64_t pages)
{
    return page < map->at.pages && pages <= map->at.pages - page;
}
static inline uint64_t hh_place_of(struct hh_map *map, uint64_t page)
{
    return (map->at.area_at + page * HH_PAGE) / 16;
}
/* The page a place is in; at.pages or more for a place that is none. */
static inline uint64_t hh_page_of(struct hh_map *map, uint64_t place)
{
    return (place * 16 - map->at.area_at) / HH_PAGE;
}
static inline uint32_t hh_owner(uint32_t lane, uint64_t epoch)
{
    return lane << 12 | (uint32_t)(epoch & 0xfff);
}
/* Indexes that have memory in the table. */
uint32_t hh_limit(struct hh_map *map);
/* Pages whose words have memory; those beyond were never used. */
uint64_t hh_pages_known(struct hh_map *map);

/* --- pages.c: runs of pages --- */
int hh_pages_claim(struct hh_heap *heap, uint32_t pages, uint64_t below,
                   uint32_t *page);
void hh_pages_commit(struct hh_heap *heap, uint32_t page, uint32_t pages, uint64_t d);
void hh_pages_release(struct hh_heap *heap, uint32_t page, uint32_t pages);
void hh_pages_resolve(struct hh_map *map, uint32_t owner, uint32_t page,
                      uint32_t pages);
bool hh_run_settle(struct hh_map *map, uint32_t owner, uint32_t index, uint32_t page);
void hh_pages_unmark(struct hh_map *map, uint64_t page);
uint64_t hh_pages_trim(struct hh_heap *heap, uint64_t keep_bytes);

/* --- mags.c: magazines and the depot --- */
struct hh_mag *hh_mag_empty(struct hh_heap *heap);
void hh_mag_return(struct hh_heap *heap, struct hh_mag *mag);
struct hh_mag *hh_mag_take(struct hh_heap *heap, uint32_t class_);
bool hh_mag_give(struct hh_heap *heap, uint32_t class_, struct hh_mag *mag);
int hh_bare_peek(struct hh_heap *heap, uint32_t *index);
bool hh_item_cached(struct hh_heap *heap, uint64_t item);
void hh_bare_drop(struct hh_heap *heap);
bool hh_bare_room(struct hh_heap *heap);
void hh_mag_strip(struct hh_heap *heap, struct hh_mag *mag);
void hh_bare_push(struct hh_heap *heap, uint32_t index);
bool hh_mag_room(struct hh_heap *heap, uint32_t class_);
void hh_mag_orphan(struct hh_map *map, uint64_t number);
void hh_mags_orphaned(struct hh_map *map);
void hh_mags_close(struct hh_heap *heap);
void hh_caches_drop(struct hh_heap *heap);

/* --- spans.c: slots --- */
int hh_slot_get(struct hh_heap *heap, uint32_t class_, uint32_t index,
                struct hh_note *note, uint64_t *place, uint64_t *map_at);
void hh_slot_count(struct hh_heap *heap, uint32_t class_);
int hh_slot_attach(struct hh_heap *heap, uint32_t class_, uint32_t index);
void hh_slot_strip(struct hh_heap *heap, uint32_t index);
int hh_slot_find(struct hh_map *map, uint64_t place, uint32_t *page, uint64_t *map_at);
uint64_t hh_slots_at(struct hh_map *map, uint32_t page, uint32_t class_);
void hh_slot_settle(struct hh_map *map, uint32_t owner, uint64_t map_at, uint32_t index,
                    uint64_t place);
void hh_slot_release(struct hh_map *map, uint32_t owner, uint64_t map_at,
                     uint32_t index, uint64_t place);
bool hh_names(struct hh_map *map, uint32_t index, uint64_t place);
void hh_span_unuse(struct hh_heap *heap, uint32_t page, uint32_t slots);
void hh_span_leave(struct hh_heap *heap, uint32_t page);
void hh_span_offer(struct hh_map *map, uint32_t class_, uint32_t page);
bool hh_span_dissolve(struct hh_heap *heap, uint32_t page);
bool hh_slot_claim(struct hh_heap *heap, uint32_t page, uint32_t class_,
                   uint32_t *cursor, uint64_t *place, uint64_t *map_at,
                   struct hh_note *note, uint32_t index);
uint32_t hh_span_take(struct hh_heap *heap, uint32_t class_);
int hh_span_new(struct hh_heap *heap, uint32_t class_, uint64_t below, uint32_t *page);

/* --- recover.c: what the dead leave behind --- */
bool hh_owner_dead(struct hh_map *map, uint32_t owner);
uint32_t hh_recover_all(struct hh_map *map);
bool hh_recover_client(struct hh_map *map, uint32_t client);
void hh_recover_owned(struct hh_map *map, uint32_t client);
void hh_lane_end(struct hh_map *map, uint32_t lane, uint64_t state);

/* --- publish.c --- */
void hh_debt_settle(struct hh_map *map, uint32_t owner, uint64_t handle,
                    uint64_t holder, uint64_t offset);

/* --- alloc.c, free.c --- */
bool hh_reclaim(struct hh_heap *heap, uint32_t turn);
int hh_alloc_noted(struct hh_heap *heap, size_t bytes, struct hh_debt *debt,
                   hh_handle *out);
bool hh_is_locked(struct hh_map *map, uint64_t handle);
void hh_run_free(struct hh_heap *heap, uint32_t page, uint32_t pages, uint32_t index);

/* --- lock.c --- */
void hh_disown(struct hh_heap *heap, hh_handle block);
int hh_look_up(struct hh_heap *heap, hh_handle block, uint64_t *w, uint64_t *m);
static inline size_t hh_size(uint64_t m, size_t capacity)
{
    size_t size = m & HH_M_SIZE_MASK;
    return (m >> HH_M_CLASS_SHIFT & 255) == HH_CLASS_LARGE ? capacity - size : size;
}
int hh_measure(struct hh_heap *heap, hh_handle block, uint64_t *w, uint64_t *m,
               size_t *capacity);
int hh_capacity(struct hh_map *map, uint64_t w, uint64_t m, size_t *out);

/* --- mover.c --- */
int hh_move(struct hh_heap *heap, uint64_t budget_bytes, int64_t budget_ns, bool hard,
            struct hh_moved *out);
void hh_mover_free(struct hh_heap *heap);
void hh_move_step(struct hh_heap *heap);

/* --- door.c --- */
int hh_client_claim(struct hh_map *map);
void hh_client_leave(struct hh_map *map);
int hh_door_new(struct hh_map *map, struct hh_heap **out);
void hh_door_close(struct hh_heap *heap);
struct hh_map *hh_door_forget(const struct hh_heap *door, bool keep);
bool hh_revive(struct hh_heap *heap);
static inline void hh_refresh(struct hh_heap *heap)
{
    heap->known = hh_limit(heap->map);
    /* Without membarrier nobody could wait for this lane's plain stores. */
    heap->limit = heap->strict ? 0 : heap->known;
}

/* --- policy.c --- */
void hh_policy_start(struct hh_header *head);
void hh_policy_read(struct hh_map *map, struct hh_policy *out);

/* One more value in a histogram of ns. */
static inline void hh_count_ns(uint64_t *log2, int64_t ns)
{
    uint32_t at = ns > 0 ? 64u - (uint32_t)__builtin_clzll((uint64_t)ns) : 0;
    uint64_t *count = &log2[at < HH_LOG2 ? at : HH_LOG2 - 1];
    HH_PUT(count, HH_PEEK(count) + 1);
}

static inline void hh_max(uint64_t *word, uint64_t value)
{
    uint64_t seen = HH_LOAD(word);
    while (seen < value && !HH_CAS(word, &seen, value))
        ;
}

#endif

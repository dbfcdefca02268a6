// SPDX-License-Identifier: MIT
/*
 * layout.h - where everything lies in a segment, and who writes it.
 *
 * Built on: words.h. Units: offsets in bytes from the start of the segment.
 * Concurrency: beside each shared field stands its writer and memory order; where
 * nothing else is said, a field is changed by CAS or fetch-add and read with acquire.
 * Why this way: the whole layout follows from four numbers (struct hh_shape), so
 * opening a file proves it by computing it again; nothing read from a file is used as
 * an offset without that. The truth is the handle table, the span maps and the page
 * words; rows, page bits and counters are hints that anyone may rebuild. Tables lie
 * before the blocks and are never in between, so an overrun of a block cannot damage
 * the heap.
 *
 *   header | bits | lanes | page words | magazines | handle table | span maps | blocks
 * All but the first two take memory only as they come into use.
 */
#ifndef ALLOCATOR_HEAP_LAYOUT_H
#define ALLOCATOR_HEAP_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/heap/hh.h"

#define HH_MAGIC     UINT64_C(0x3170616568686c62) /* "blhheap1" in memory order */
#define HH_VERSION   1u
#define HH_PAGE      4096u
#define HH_CLIENTS   256u
#define HH_LANES_MAX 4096u
#define HH_ROW       64u
#define HH_BATCH     64u
#define HH_CELLS     512u
#define HH_EXCL      64u
#define HH_TOKEN_AT  (INT64_C(1) << 60) /* first byte of the liveness locks */

/* The four numbers that the layout follows from. */
struct hh_shape {
    uint64_t bytes; /* for blocks, a multiple of the page */
    uint64_t handles;
    uint32_t clients;
    uint32_t lanes;
};

/* client word: epoch << 8 | enum. Changed by CAS, to anything but USED under the
 * client's byte lock. */
enum hh_client_state { HH_CLIENT_FREE = 0, HH_CLIENT_USED = 1, HH_CLIENT_DEAD = 2 };

struct hh_root {
    uint64_t hash;   /* 0: free; CAS claims it, for good */
    uint64_t handle; /* release store by anyone */
    char name[48];   /* every claimer of one hash writes the same bytes */
};

/* 64 hints: magazine or page number + 1. A CAS puts and takes; what is taken from it is
 * believed only if the owner word agrees. */
struct hh_row {
    uint32_t slot[HH_ROW];
};

struct hh_header {
    uint64_t magic; /* written last by the creator; constant as all to tag */
    uint32_t version;
    uint32_t flags;
    struct hh_shape shape;
    uint64_t tag;
    uint64_t constants_end[1];

    /* Watermarks: only ever rise, by CAS, after the memory below them is provided. */
    uint64_t bare_mags
        __attribute__((aligned(64))); /* magazines that brought indexes */
    uint64_t
        empty_mags; /* those that came without, numbered from the end of the others */
    uint64_t lanes_used;                              /* lanes ever used */
    uint64_t table_backed, mags_backed, pages_backed; /* bytes of each with memory */

    uint64_t mover __attribute__((aligned(64))); /* owner of the role, or 0: CAS */
    uint64_t moving;      /* 1: between frag_start and frag_stop; holder of the role */
    uint64_t move_cursor; /* page where the next step looks; holder of the role */

    /* Hints, relaxed fetch-add. */
    uint64_t used_pages __attribute__((aligned(64))); /* of spans and large blocks */
    uint64_t idle_pages;                              /* free, but with memory */
    uint64_t
        slot_bytes; /* capacity of all slots that have an index, and large blocks */
    uint64_t class_slots[HH_CLASSES + 1], class_used[HH_CLASSES + 1];
    uint64_t moved_blocks, moved_bytes, moves_cancelled, moves_pinned, batches;
    uint64_t steps, step_ns, step_ns_max, recoveries;
    uint64_t strips; /* blocks taken from free indexes */
    uint64_t mover_calls, mover_ns;
    uint64_t mover_hold_log2[HH_LOG2]; /* holder of the role */

    /* Thresholds: each 8 bytes, relaxed; doubles by their bits. */
    uint64_t policy[16] __attribute__((aligned(64)));

    uint64_t client[HH_CLIENTS] __attribute__((aligned(64)));
    uint32_t client_pid[HH_CLIENTS]; /* for messages only */
    struct hh_root root[HH_ROOTS];
    struct hh_row depot[HH_CLASSES + 1]; /* full magazines by class */
    struct hh_row part[HH_CLASSES + 1];  /* spans of nobody with free slots, by class */
};

/* What a lane is in the middle of; written by its thread before the first step, op last
 * (release), cleared after the last. Recovery finishes or undoes it. */
enum hh_op {
    HH_OP_NONE = 0,
    HH_OP_SLOT = 1,  /* a slot and an entry come together or part */
    HH_OP_RUN = 2,   /* pages are claimed or given up, with or without an entry */
    HH_OP_SHIFT = 3, /* a large block moves from page to to_page */
};

struct hh_intent {
    uint32_t op;
    uint32_t index;
    uint64_t place;
    uint64_t map_at; /* offset of the slot's word */
    uint32_t page, pages;
    uint32_t to_page, to_pages;
};

/* One block of a mover's batch; the count in the lane makes it valid. */
struct hh_note {
    uint32_t index;
    uint32_t unused;
    uint64_t from, map_from;
    uint64_t to, map_to; /* to is 0 until a new slot is about to be claimed */
};

/* A block that its lane has allocated and not published; own thread, handle last. */
struct hh_debt {
    uint64_t handle; /* 0: none */
    uint64_t holder; /* the block whose slot is to name it, or 0 */
    uint64_t offset; /* of that slot in the holder */
};
#define HH_DEBTS 16u

/* state: client 16 << 32 | client epoch 16 << 16 | used 1. CAS. */
struct hh_lane {
    uint64_t state;
    uint64_t epoch;  /* raised by recovery or close, before state is cleared */
    uint64_t shared; /* 0: frees its own blocks by plain stores; 1: is to stop that; 2:
                      * has stopped, for good. Raised by any lane, by CAS (free.c) */
    uint64_t wants;  /* handle this lane waits for exclusively; release, own thread */
    uint32_t notes;  /* valid entries of note; release, own thread */
    uint32_t strict; /* 1: pins by xchg; own thread, before its first pin */
    uint32_t cells_used; /* pin cells the mover must look at; rises; own thread */
    uint32_t excl_used;
    uint64_t waits, wait_ns, wait_ns_max;            /* own thread, relaxed */
    uint64_t wait_log2[HH_LOG2], hold_log2[HH_LOG2]; /* the same */
    /* index + 1 of the entry whose W this lane is about to change by a plain store; own
     * thread, release; the mover and unbias look at it after a barrier. */
    uint64_t busy __attribute__((aligned(64)));
    struct hh_intent intent __attribute__((aligned(64)));
    struct hh_note note[HH_BATCH] __attribute__((aligned(64)));
    struct hh_debt debt[HH_DEBTS];
    uint64_t cell[HH_CELLS] __attribute__((aligned(64)));
    uint64_t excl[HH_EXCL];
};
#define HH_LANE_BYTES 12288u

/* Page word: kind 4 | ... ; CAS while it can race.
 *   FREE          nothing                  IDLE      free, has memory
 *   CLAIMED       owner 32                 BODY      head page 32
 *   SPAN          owner 32 | class 8       RUN       index 32
 * aux, of a head: pages 32 | slots with an index 32 (a hint). */
enum hh_page_kind {
    HH_PAGE_FREE = 0,
    HH_PAGE_IDLE = 1,
    HH_PAGE_CLAIMED = 2,
    HH_PAGE_BODY = 3,
    HH_PAGE_SPAN = 4,
    HH_PAGE_RUN = 5
};

struct hh_pageword {
    uint64_t d;
    uint32_t pages; /* of a head: length of its run; written while CLAIMED */
    uint32_t used;  /* of a span: slots in use; hint, fetch-add */
};

/* The capacity of a class 1 to HH_CLASSES. */
static inline uint32_t hh_class_bytes(uint32_t class_)
{
    if (class_ <= 8)
        return class_ * 16;
    uint32_t log = 7 + (class_ - 9) / 8;
    return (9 + (class_ - 9) % 8) << (log - 3);
}

static inline uint64_t hh_d(enum hh_page_kind kind, uint64_t class_, uint64_t value)
{
    return (uint64_t)kind << 60 | class_ << 32 | value;
}
static inline enum hh_page_kind hh_d_kind(uint64_t d)
{
    return (enum hh_page_kind)(d >> 60);
}
static inline uint32_t hh_d_class(uint64_t d)
{
    return (uint32_t)(d >> 32) & 127;
}
static inline uint32_t hh_d_value(uint64_t d)
{
    return (uint32_t)d;
}

/* Slot word (32 bits) of a span map: 0 free, or index + 1, or CLAIM | owner while index
 * and slot come together or part; only that owner, or who recovers it, ends a claim. So
 * that an owner fits beside the bit, there are at most 4096 lanes. */
#define HH_SLOT_CLAIM UINT32_C(0x80000000)

/* Magazine owner word: kind 8 << 56 | class 8 << 48 | owner 32. */
enum hh_mag_kind { HH_MAG_VIRGIN = 0, HH_MAG_LANE = 1, HH_MAG_DEPOT = 2 };
static inline uint64_t hh_mag_word(enum hh_mag_kind kind, uint64_t class_,
                                   uint64_t owner)
{
    return (uint64_t)kind << 56 | class_ << 48 | owner;
}

#endif

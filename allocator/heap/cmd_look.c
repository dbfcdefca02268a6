// SPDX-License-Identifier: MIT
/*
 * cmd_look.c - hh info, map and top.
 *
 * Built on: hh.h. Concurrency: one thread; the heap lives on meanwhile.
 * Why this way: figures and picture come from the same public calls anybody has.
 */
#include "allocator/heap/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int hh_cmd_info(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_stats s;
    int error = hh_stats(heap, &s);
    if (error)
        return hh_cmd_complain(a, error);
    hh_cmd_line("room for blocks", s.bytes, "bytes");
    hh_cmd_line("file length", s.segment_bytes, "bytes, sparse");
    hh_cmd_line("memory of the file", s.footprint_bytes, "bytes");
    hh_cmd_line("in tables", s.table_bytes, "bytes");
    hh_cmd_line("in spans and runs", s.used_bytes, "bytes");
    hh_cmd_line("free", s.free_bytes, "bytes");
    hh_cmd_line("largest free run", s.largest_free_bytes, "bytes");
    hh_cmd_line("live blocks", s.live_blocks, "");
    hh_cmd_line("their capacity", s.live_bytes, "bytes");
    hh_cmd_line("asked for", s.requested_bytes, "bytes");
    hh_cmd_line("cached free blocks", s.cached_blocks, "");
    hh_cmd_line("their capacity", s.cached_bytes, "bytes");
    (void)printf("%-22s %15.3f used / live\n", "fragmentation", s.fragmentation);
    (void)printf("%-22s %15" PRIu64 " of %" PRIu64 "\n", "handles", s.handles_used,
                 s.handles);
    hh_cmd_line("processes", s.clients, "with this one");
    hh_cmd_line("doors", s.lanes, "");
    hh_cmd_line("allocs", s.allocs, "");
    hh_cmd_line("frees", s.frees, "");
    hh_cmd_line("blocks moved", s.moved_blocks, "");
    hh_cmd_line("bytes moved", s.moved_bytes, "bytes");
    hh_cmd_line("moves cancelled", s.moves_cancelled, "");
    hh_cmd_line("skipped as pinned", s.moves_pinned, "");
    hh_cmd_line("steps within calls", s.steps, "");
    hh_cmd_line("longest step", s.step_ns_max, "ns");
    hh_cmd_line("exclusive waits", s.exclusive_waits, "");
    hh_cmd_line("longest wait", s.exclusive_wait_ns_max, "ns");
    hh_cmd_line("dead recovered", s.recoveries, "");
    return 0;
}

/* --- map --- */

struct picture {
    uint64_t from, bytes; /* what the picture covers */
    uint64_t cells;
    double *used, *live; /* bytes, by cell */
    unsigned char *large, *backed, *pinned;
};

/* Adds a share of [offset, offset + bytes) to every cell it touches. */
static int paint(const struct hh_extent *e, void *context)
{
    struct picture *p = context;
    double cell = (double)p->bytes / (double)p->cells;
    double from = (double)(e->offset - p->from), to = from + (double)e->bytes;
    for (uint64_t i = (uint64_t)(from / cell); i < p->cells; i++) {
        double low = cell * (double)i, high = low + cell;
        low = low > from ? low : from;
        high = high < to ? high : to;
        if (high <= low)
            break;
        p->backed[i] |= e->backed != 0;
        if (e->kind == HH_EXTENT_FREE)
            continue;
        p->used[i] += high - low;
        p->live[i] +=
            (high - low) * (double)e->live * (double)e->block_bytes / (double)e->bytes;
        p->large[i] |= e->kind == HH_EXTENT_LARGE;
        p->pinned[i] |= e->pinned != 0;
    }
    return 0;
}

static int find_start(const struct hh_extent *e, void *context)
{
    *(uint64_t *)context = e->offset;
    return 1;
}

static void draw(const struct picture *p, uint64_t width)
{
    double cell = (double)p->bytes / (double)p->cells;
    for (uint64_t i = 0; i < p->cells; i++) {
        if (i % width == 0)
            (void)printf("%s%12.0f  ", i ? "\n" : "", cell * (double)i);
        double full = p->used[i] > 0 ? p->live[i] / cell : 0;
        const char *levels = "_123456789";
        int level = (int)(full * 9.999);
        char c = p->used[i] <= 0 ? (p->backed[i] ? ',' : '.')
                 : p->pinned[i]  ? '!'
                 : p->large[i]   ? '#'
                                 : levels[level < 0   ? 0
                                          : level > 9 ? 9
                                                      : level];
        (void)putchar(c);
    }
    (void)printf(
        "\n\n1..9 live share of spans in tenths, _ hardly any, # large block, ! "
        "pinned\n, free with memory, . free without; %.0f bytes a character\n",
        cell);
}

int hh_cmd_map(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_stats s;
    struct picture p = {0};
    uint64_t width = a->width ? a->width : 64;
    int result = 1, error = hh_stats(heap, &s);
    if (error)
        return hh_cmd_complain(a, error);
    if (width < 8 || width > 1000) {
        (void)fprintf(stderr, "hh: map: --width is within 8 to 1000\n");
        return 1;
    }
    p.bytes = s.bytes;
    p.cells = s.bytes / 4096 < width * 16 ? s.bytes / 4096 : width * 16;
    if (hh_walk_extents(heap, find_start, &p.from) < 0)
        return hh_cmd_complain(a, -EBADMSG);
    p.used = calloc(p.cells, sizeof *p.used);
    p.live = calloc(p.cells, sizeof *p.live);
    p.large = calloc(p.cells, 3);
    if (p.used && p.live && p.large) {
        p.backed = p.large + p.cells;
        p.pinned = p.backed + p.cells;
        error = hh_walk_extents(heap, paint, &p);
        if (error) {
            result = hh_cmd_complain(a, error);
        } else {
            draw(&p, width);
            result = 0;
        }
    }
    free(p.used);
    free(p.live);
    free(p.large);
    return result;
}

/* Clears the rest of a line that is drawn again; nothing where no terminal is. */
static const char *rest = "";

static void rate(const char *name, uint64_t now, uint64_t before, double seconds)
{
    (void)printf("%-22s %15.0f a second%s\n", name, (double)(now - before) / seconds,
                 rest);
}

int hh_cmd_top(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    struct hh_stats s, before;
    struct timespec then, now;
    uint64_t looks = 0;
    bool first = true, live = isatty(STDOUT_FILENO);
    rest = live ? "\033[K" : "";
    hh_cmd_catch();
    do {
        int error = hh_stats(heap, &s);
        if (error)
            return hh_cmd_complain(a, error);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (first) {
            before = s;
            then = now;
        }
        double seconds = (double)(now.tv_sec - then.tv_sec) +
                         (double)(now.tv_nsec - then.tv_nsec) / 1e9;
        seconds = seconds > 0 ? seconds : 1;
        if (live)
            (void)printf(first ? "\033[2J\033[H" : "\033[H");
        (void)printf("%s   %u processes, %u doors%s\n", a->file, s.clients, s.lanes,
                     rest);
        (void)printf("%-22s %15.3f used / live%s\n", "fragmentation", s.fragmentation,
                     rest);
        hh_cmd_line("used", s.used_bytes, "bytes");
        hh_cmd_line("live", s.live_bytes, "bytes");
        hh_cmd_line("cached", s.cached_bytes, "bytes");
        hh_cmd_line("memory of the file", s.footprint_bytes, "bytes");
        rate("allocs", s.allocs, before.allocs, seconds);
        rate("frees", s.frees, before.frees, seconds);
        rate("blocks moved", s.moved_blocks, before.moved_blocks, seconds);
        rate("bytes moved", s.moved_bytes, before.moved_bytes, seconds);
        rate("moves cancelled", s.moves_cancelled, before.moves_cancelled, seconds);
        rate("skipped as pinned", s.moves_pinned, before.moves_pinned, seconds);
        before = s;
        then = now;
        first = false;
        if (hh_cmd_map(a, heap))
            return 1;
        (void)fflush(stdout);
    } while (hh_cmd_another(a, &looks, 1000));
    return 0;
}

// SPDX-License-Identifier: MIT
/*
 * cmd.c - hh: make, look at and tidy a heap from the command line.
 *
 * Built on: hh.h, argp. Units: sizes take K, M, G. Concurrency: a process like any
 * other. Why this way: a verb, the heap, its options; data on stdout, errors in one
 * line on stderr. Exit codes: 0 done, 1 usage or could not, 2 the check failed.
 */
#include "allocator/heap/hh.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "hh (shmbench) " SB_VERSION;

static const char doc[] =
    "Make, look at and tidy heaps in shared memory."
    "\vVerbs:\n"
    "  create FILE --bytes N   make an empty heap\n"
    "  info FILE               sizes, blocks, fragmentation, counters\n"
    "  map FILE                a picture of the pages\n"
    "  check FILE              examine every invariant (exit code 2 if one is broken)\n"
    "  compact FILE            move blocks together\n"
    "  policy FILE             show the thresholds; --set NAME=VALUE changes one\n"
    "\n"
    "FILE is a path, or /NAME of a POSIX shared memory object with --shm. The memfd of "
    "a\n"
    "running process is /proc/PID/fd/N. Sizes take K, M or G.\n"
    "\n"
    "Exit codes: 0 done, 1 usage or could not be done, 2 the check failed.";

enum {
    KEY_BYTES = 'b',
    KEY_HANDLES = 'n',
    KEY_LANES = 'l',
    KEY_SHM = 's',
    KEY_SET = 'p',
    KEY_CHECKED = 'c',
    KEY_BUDGET = 'B',
    KEY_TIME = 't',
    KEY_WIDTH = 'w'
};

static const struct argp_option options[] = {
    {"bytes", KEY_BYTES, "N", 0, "create: room for blocks", 1},
    {"handles", KEY_HANDLES, "N", 0, "create: most blocks at a time", 1},
    {"lanes", KEY_LANES, "N", 0, "create: most threads at a time", 1},
    {"checked", KEY_CHECKED, NULL, 0, "create: refuse to free what others have pinned",
     1},
    {"budget", KEY_BUDGET, "N", 0, "compact: most bytes to move", 2},
    {"time", KEY_TIME, "MS", 0, "compact: most milliseconds", 2},
    {"set", KEY_SET, "NAME=VALUE", 0, "policy: change a threshold; may be repeated", 3},
    {"width", KEY_WIDTH, "N", 0, "map: characters in a row [64]", 4},
    {"shm", KEY_SHM, NULL, 0, "FILE is the name of a POSIX shared memory object", 5},
    {0}};

struct arguments {
    const char *verb, *file;
    uint64_t bytes, handles, lanes, budget, time_ms, width;
    int shm, checked, sets;
    const char *set[16];
};

static int parse_size(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (end == text || errno || *text == '-')
        return -EINVAL;
    if (*end) {
        const char *units = "KMGT";
        const char *unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!unit || end[1])
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (value > UINT64_MAX >> shift)
        return -ERANGE;
    *out = (uint64_t)value << shift;
    return 0;
}

static void size_or_exit(struct argp_state *state, const char *text, uint64_t *out)
{
    if (parse_size(text, out))
        argp_error(state, "'%s' is no size", text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case KEY_BYTES:
        size_or_exit(state, arg, &a->bytes);
        return 0;
    case KEY_HANDLES:
        size_or_exit(state, arg, &a->handles);
        return 0;
    case KEY_LANES:
        size_or_exit(state, arg, &a->lanes);
        return 0;
    case KEY_BUDGET:
        size_or_exit(state, arg, &a->budget);
        return 0;
    case KEY_TIME:
        size_or_exit(state, arg, &a->time_ms);
        return 0;
    case KEY_WIDTH:
        size_or_exit(state, arg, &a->width);
        return 0;
    case KEY_CHECKED:
        a->checked = 1;
        return 0;
    case KEY_SHM:
        a->shm = 1;
        return 0;
    case KEY_SET:
        if (a->sets == 16)
            argp_error(state, "too many --set");
        a->set[a->sets++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            a->verb = arg;
        else if (state->arg_num == 1)
            a->file = arg;
        else
            argp_error(state, "one FILE only, not also '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (!a->verb)
            argp_error(state, "a verb is missing: create, info, map, check, compact, "
                              "policy");
        if (!a->file)
            argp_error(state, "%s: which FILE?", a->verb);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int complain(const struct arguments *a, int error)
{
    const char *why = hh_why();
    (void)fprintf(stderr, "hh: %s %s: %s%s%s\n", a->verb, a->file, hh_strerror(error),
                  *why ? ": " : "", why);
    return 1;
}

static struct hh_where where(const struct arguments *a)
{
    return a->shm ? hh_shm(a->file) : hh_file(a->file);
}

static int verb_create(const struct arguments *a)
{
    struct hh_heap *heap;
    if (!a->bytes) {
        (void)fprintf(stderr, "hh: create %s: --bytes N is missing\n", a->file);
        return 1;
    }
    if (a->lanes > UINT32_MAX)
        return complain(a, -EINVAL);
    struct hh_setup setup = {.bytes = a->bytes,
                             .handles = a->handles,
                             .lanes = (uint32_t)a->lanes,
                             .flags = a->checked ? HH_CHECKED : 0};
    int error = hh_create(where(a), &setup, &heap);
    if (error)
        return complain(a, error);
    hh_close(heap);
    return 0;
}

static void line(const char *name, uint64_t value, const char *unit)
{
    (void)printf("%-22s %15" PRIu64 " %s\n", name, value, unit);
}

static int verb_info(const struct arguments *a, struct hh_heap *heap)
{
    struct hh_stats s;
    int error = hh_stats(heap, &s);
    if (error)
        return complain(a, error);
    line("room for blocks", s.bytes, "bytes");
    line("file length", s.segment_bytes, "bytes, sparse");
    line("memory of the file", s.footprint_bytes, "bytes");
    line("in tables", s.table_bytes, "bytes");
    line("in spans and runs", s.used_bytes, "bytes");
    line("free", s.free_bytes, "bytes");
    line("largest free run", s.largest_free_bytes, "bytes");
    line("live blocks", s.live_blocks, "");
    line("their capacity", s.live_bytes, "bytes");
    line("asked for", s.requested_bytes, "bytes");
    line("cached free blocks", s.cached_blocks, "");
    line("their capacity", s.cached_bytes, "bytes");
    (void)printf("%-22s %15.3f used / live\n", "fragmentation", s.fragmentation);
    (void)printf("%-22s %15" PRIu64 " of %" PRIu64 "\n", "handles", s.handles_used,
                 s.handles);
    line("processes", s.clients, "with this one");
    line("doors", s.lanes, "");
    line("allocs", s.allocs, "");
    line("frees", s.frees, "");
    line("blocks moved", s.moved_blocks, "");
    line("bytes moved", s.moved_bytes, "bytes");
    line("moves cancelled", s.moves_cancelled, "");
    line("skipped as pinned", s.moves_pinned, "");
    line("steps within calls", s.steps, "");
    line("longest step", s.step_ns_max, "ns");
    line("exclusive waits", s.exclusive_waits, "");
    line("longest wait", s.exclusive_wait_ns_max, "ns");
    line("dead recovered", s.recoveries, "");
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

static int verb_map(const struct arguments *a, struct hh_heap *heap)
{
    struct hh_stats s;
    struct picture p = {0};
    uint64_t width = a->width ? a->width : 64;
    int result = 1, error = hh_stats(heap, &s);
    if (error)
        return complain(a, error);
    if (width < 8 || width > 1000) {
        (void)fprintf(stderr, "hh: map: --width is within 8 to 1000\n");
        return 1;
    }
    p.bytes = s.bytes;
    p.cells = s.bytes / 4096 < width * 16 ? s.bytes / 4096 : width * 16;
    if (hh_walk_extents(heap, find_start, &p.from) < 0)
        return complain(a, -EBADMSG);
    p.used = calloc(p.cells, sizeof *p.used);
    p.live = calloc(p.cells, sizeof *p.live);
    p.large = calloc(p.cells, 3);
    if (p.used && p.live && p.large) {
        p.backed = p.large + p.cells;
        p.pinned = p.backed + p.cells;
        error = hh_walk_extents(heap, paint, &p);
        if (error) {
            result = complain(a, error);
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

static int verb_check(const struct arguments *a, struct hh_heap *heap)
{
    int error = hh_check(heap);
    if (error == -EBADMSG) {
        (void)fprintf(stderr, "hh: check %s: broken: %s\n", a->file, hh_why());
        return 2;
    }
    if (error)
        return complain(a, error);
    (void)printf("%s: every invariant holds\n", a->file);
    return 0;
}

static int verb_compact(const struct arguments *a, struct hh_heap *heap)
{
    struct hh_moved m;
    int error =
        hh_compact(heap, a->budget, (int64_t)(a->time_ms % 1000000000) * 1000000, &m);
    if (error)
        return complain(a, error);
    line("blocks moved", m.blocks, "");
    line("bytes moved", m.bytes, "bytes");
    line("moves cancelled", m.cancelled, "");
    line("skipped as pinned", m.pinned, "");
    line("pages emptied", m.returned_bytes, "bytes");
    line("given back", m.punched_bytes, "bytes");
    return 0;
}

/* --- policy --- */

static const struct {
    const char *name;
    char kind; /* d double, u 64 bits, w 32 bits */
    size_t at;
    const char *what;
} thresholds[] = {
#define ROW(name, kind, what)                                                          \
    {                                                                                  \
#name, kind, offsetof(struct hh_policy, name), what                            \
    }
    ROW(frag_start, 'd', "used / live above which moving starts"),
    ROW(frag_stop, 'd', "and below which it stops"),
    ROW(occupancy_max, 'd', "fuller spans are left alone"),
    ROW(overhead_max, 'd', "share of a caller's time for steps"),
    ROW(credit, 'd', "bytes moved per byte allocated"),
    ROW(min_waste_bytes, 'u', "below this waste never start"),
    ROW(step_bytes, 'u', "most one step moves"),
    ROW(step_ns, 'u', "and the longest it takes"),
    ROW(release_bytes, 'u', "empty memory kept before punching"),
    ROW(batch, 'w', "blocks per membarrier"),
    ROW(trigger, 'w', "0 manual, 1 in calls, 2 background"),
    ROW(deterministic, 'w', "1: no clocks"),
#undef ROW
};

static int set_one(const struct arguments *a, const char *set, struct hh_policy *policy)
{
    const char *value = strchr(set, '=');
    for (size_t i = 0; value && i < sizeof thresholds / sizeof thresholds[0]; i++) {
        void *at = (char *)policy + thresholds[i].at;
        uint64_t whole;
        char *end;
        if (strlen(thresholds[i].name) != (size_t)(value - set) ||
            strncmp(set, thresholds[i].name, (size_t)(value - set)))
            continue;
        if (thresholds[i].kind == 'd') {
            *(double *)at = strtod(value + 1, &end);
            if (end > value + 1 && !*end)
                return 0;
        } else if (!parse_size(value + 1, &whole)) {
            if (thresholds[i].kind == 'u')
                *(uint64_t *)at = whole;
            else
                *(uint32_t *)at = whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
            return 0;
        }
        (void)fprintf(stderr, "hh: policy %s: '%s' is no value\n", a->file, value + 1);
        return 1;
    }
    (void)fprintf(stderr, "hh: policy %s: no threshold as in '%s'\n", a->file, set);
    return 1;
}

static int verb_policy(const struct arguments *a, struct hh_heap *heap)
{
    struct hh_policy policy;
    int error = hh_policy_get(heap, &policy);
    for (int i = 0; !error && i < a->sets; i++) {
        if (set_one(a, a->set[i], &policy))
            return 1;
    }
    if (!error && a->sets)
        error = hh_policy_set(heap, &policy);
    if (error)
        return complain(a, error);
    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        const void *at = (const char *)&policy + thresholds[i].at;
        double value = thresholds[i].kind == 'd'   ? *(const double *)at
                       : thresholds[i].kind == 'u' ? (double)*(const uint64_t *)at
                                                   : (double)*(const uint32_t *)at;
        (void)printf("%-16s %12.10g  %s\n", thresholds[i].name, value,
                     thresholds[i].what);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "VERB FILE", doc,
                                     NULL,    NULL,  NULL};
    static const struct {
        const char *name;
        int (*run)(const struct arguments *a, struct hh_heap *heap);
    } verbs[] = {{"info", verb_info},
                 {"map", verb_map},
                 {"check", verb_check},
                 {"compact", verb_compact},
                 {"policy", verb_policy}};
    struct arguments a = {0};
    argp_err_exit_status = 1;
    if (argp_parse(&argp, argc, argv, 0, NULL, &a))
        return 1;
    if (!strcmp(a.verb, "create"))
        return verb_create(&a);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        struct hh_heap *heap;
        if (strcmp(a.verb, verbs[i].name))
            continue;
        int error = hh_open(where(&a), &heap);
        if (error)
            return complain(&a, error);
        int result = verbs[i].run(&a, heap);
        hh_close(heap);
        return result;
    }
    (void)fprintf(stderr, "hh: no verb '%s' (try hh --help)\n", a.verb);
    return 1;
}

// SPDX-License-Identifier: MIT
/*
 * cmd.c - hh: make, look at and tidy a heap from the command line.
 *
 * Built on: hh.h, argp. Units: sizes take K, M, G. Concurrency: a process like any
 * other. Why this way: a verb, the heap, its options; data on stdout, errors in one
 * line on stderr. Exit codes: 0 done, 1 usage or could not, 2 the check failed.
 */
#include "allocator/heap/cmd.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *argp_program_version = "hh (shmbench) " SB_VERSION;

static const char doc[] =
    "Make, look at and tidy heaps in shared memory."
    "\vVerbs:\n"
    "  create FILE --bytes N   make an empty heap\n"
    "  info FILE               sizes, blocks, fragmentation, counters\n"
    "  map FILE                a picture of the pages\n"
    "  check FILE              examine every invariant (exit code 2 if one is broken)\n"
    "  repair FILE             put in order what dead processes left, then check\n"
    "  compact FILE            move blocks together; --watch keeps at it\n"
    "  top FILE                the figures and the picture, live\n"
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
    KEY_WIDTH = 'w',
    KEY_WATCH = 'W',
    KEY_EVERY = 'e',
    KEY_COUNT = 'N'
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
    {"watch", KEY_WATCH, NULL, 0, "compact: as the policy wants it, until interrupted",
     2},
    {"every", KEY_EVERY, "MS", 0, "top, compact --watch: milliseconds between looks",
     4},
    {"count", KEY_COUNT, "N", 0, "top, compact --watch: looks before it ends", 4},
    {"width", KEY_WIDTH, "N", 0, "map: characters in a row [64]", 4},
    {"shm", KEY_SHM, NULL, 0, "FILE is the name of a POSIX shared memory object", 5},
    {0}};

int hh_cmd_size(const char *text, uint64_t *out)
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
    if (hh_cmd_size(text, out))
        argp_error(state, "'%s' is no size", text);
}

/* A word between spaces, to be looked for in a list. */
static const char *spaced(const char *word)
{
    static char text[32];
    (void)snprintf(text, sizeof text, " %s ", word);
    return text;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct hh_cmd_arguments *a = state->input;
    switch (key) {
    case KEY_BYTES:
        a->sized = 1;
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
    case KEY_EVERY:
        size_or_exit(state, arg, &a->every_ms);
        return 0;
    case KEY_COUNT:
        size_or_exit(state, arg, &a->count);
        return 0;
    case KEY_WATCH:
        a->watch = 1;
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
            argp_error(state, "a verb is missing: create, info, map, check, repair, "
                              "compact, top, policy");
        if (!strstr(" create info map check repair compact top policy ",
                    spaced(a->verb)))
            argp_error(state, "no verb '%s'", a->verb);
        if (!a->file)
            argp_error(state, "%s: which FILE?", a->verb);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int hh_cmd_complain(const struct hh_cmd_arguments *a, int error)
{
    const char *why = hh_why();
    (void)fprintf(stderr, "hh: %s %s: %s%s%s\n", a->verb, a->file, hh_strerror(error),
                  *why ? ": " : "", why);
    return 1;
}

void hh_cmd_line(const char *name, uint64_t value, const char *unit)
{
    (void)printf("%-22s %15" PRIu64 " %s\n", name, value, unit);
}

static struct hh_where where(const struct hh_cmd_arguments *a)
{
    return a->shm ? hh_shm(a->file) : hh_file(a->file);
}

static int verb_create(const struct hh_cmd_arguments *a)
{
    struct hh_heap *heap;
    if (!a->bytes && a->sized) {
        (void)fprintf(stderr, "hh: create %s: --bytes is more than 0\n", a->file);
        return 1;
    }
    if (!a->bytes) {
        (void)fprintf(stderr, "hh: create %s: --bytes N is missing\n", a->file);
        return 1;
    }
    if (a->lanes > UINT32_MAX)
        return hh_cmd_complain(a, -EINVAL);
    struct hh_setup setup = {.bytes = a->bytes,
                             .handles = a->handles,
                             .lanes = (uint32_t)a->lanes,
                             .flags = a->checked ? HH_CHECKED : 0};
    int error = hh_create(where(a), &setup, &heap);
    if (error)
        return hh_cmd_complain(a, error);
    hh_close(heap);
    return 0;
}

volatile sig_atomic_t hh_cmd_interrupted;

static void on_signal(int number)
{
    (void)number;
    hh_cmd_interrupted = 1;
}

/* Waits until the next look; false: it was the last. */
bool hh_cmd_another(const struct hh_cmd_arguments *a, uint64_t *looks,
                    uint64_t otherwise_ms)
{
    uint64_t ms = a->every_ms ? a->every_ms : otherwise_ms;
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    if (hh_cmd_interrupted || (a->count && ++*looks >= a->count))
        return false;
    return !nanosleep(&pause, NULL) && !hh_cmd_interrupted;
}

void hh_cmd_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static int verb_check(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    int error = hh_check(heap);
    if (error == -EBADMSG) {
        (void)fprintf(stderr, "hh: %s %s: broken: %s\n", a->verb, a->file, hh_why());
        return 2;
    }
    if (error)
        return hh_cmd_complain(a, error);
    (void)printf("%s: every invariant holds\n", a->file);
    return 0;
}

static int verb_repair(const struct hh_cmd_arguments *a, struct hh_heap *heap)
{
    uint32_t recovered;
    int error = hh_repair(heap, &recovered);
    if (error)
        return hh_cmd_complain(a, error);
    hh_cmd_line("dead recovered", recovered, "");
    return verb_check(a, heap);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "VERB FILE", doc,
                                     NULL,    NULL,  NULL};
    static const struct {
        const char *name;
        int (*run)(const struct hh_cmd_arguments *a, struct hh_heap *heap);
    } verbs[] = {{"info", hh_cmd_info},    {"map", hh_cmd_map},
                 {"check", verb_check},    {"compact", hh_cmd_compact},
                 {"repair", verb_repair},  {"top", hh_cmd_top},
                 {"policy", hh_cmd_policy}};
    struct hh_cmd_arguments a = {0};
    static char name[] = "hh";
    program_invocation_name = argv[0] = name;
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
            return hh_cmd_complain(&a, error);
        int result = verbs[i].run(&a, heap);
        hh_close(heap);
        return result;
    }
    (void)fprintf(stderr, "hh: no verb '%s' (try hh --help)\n", a.verb);
    return 1;
}

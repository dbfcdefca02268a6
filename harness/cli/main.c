// SPDX-License-Identifier: MIT
// shmbench: benchmark and stress suite for heaps that several processes share.
//
// Built on: everything below; a reader starts here and only ever goes down. A verb is
// one file command_x.c (or, in Python or another language, an executable shmbench-x
// beside this one). `run` is the heart: command_run.c asks harness/run for a plan and
// has it carried out by worker processes (harness/run/worker.c), each of which drives
// one workload (workloads/) on one subject (allocator/subjects/); every outcome goes to
// harness/store and, summed up, to the table on the terminal.
// Concurrency: one thread, one verb.
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "allocator/subjects/subjects.h"
#include "harness/base/text.h"
#include "harness/cli/line.h"
#include "harness/cli/places.h"
#include "harness/cli/verbs.h"

static const struct sb_verb verbs[] = {
    {"list", "subjects, workloads and profiles there are", sb_command_list},
    {"describe", "one subject or workload: what it is, its options",
     sb_command_describe},
    {"doctor", "what this machine is, and what would spoil a measurement",
     sb_command_doctor},
    {"run", "measure: a profile, job files, or words on the command line",
     sb_command_run},
    {"clean", "remove segments that killed runs left behind", sb_command_clean},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

// Verbs in executables of their own. They are found by name alone; this is only what
// the help says of those we ship.
static const struct sb_verb companions[] = {
    {"report", "report.html and plots of a run folder", NULL},
    {"compare", "two runs, cell by cell", NULL},
    {"gate", "refuse a regression in CI", NULL},
    {"tune", "search a subject's thresholds", NULL},
    {"history", "ratios over time", NULL},
    {"repro", "the command that repeats a run", NULL},
    {"micro", "Google Benchmark's micro suite", NULL},
};
enum { COMPANIONS = sizeof companions / sizeof companions[0] };

// An executable beside this one that is a part of it, not a verb.
static const char worker[] = "worker";

static void print_verb(const char *name, const char *summary)
{
    printf("  %-10s %s\n", name, summary);
}

static int help(void)
{
    char **found;
    struct sb_error error;
    printf("Usage: shmbench VERB [WORD...]\n"
           "Measures allocators whose blocks several processes share.\n\n");
    for (int i = 0; i < VERBS; i++) {
        print_verb(verbs[i].name, verbs[i].summary);
    }
    if (sb_places_companions(&found, &error) != 0) {
        return sb_complain("%s", error.text);
    }
    for (char **name = found; *name != NULL; name++) {
        const char *summary = "(an executable beside shmbench)";
        for (int i = 0; i < COMPANIONS; i++) {
            if (strcmp(*name, companions[i].name) == 0) {
                summary = companions[i].summary;
            }
        }
        if (strcmp(*name, worker) != 0) {
            print_verb(*name, summary);
        }
    }
    sb_places_free(found);
    printf("\nshmbench VERB --help says more of each. A first run:\n"
           "  shmbench run --profile quick\n");
    return SB_EXIT_OK;
}

// Returns only where there is no such executable.
static void run_companion(char **argv)
{
    char folder[PATH_MAX], path[PATH_MAX + 64];
    struct sb_error error;
    if (strchr(argv[0], '/') != NULL || strlen(argv[0]) > 40 ||
        strcmp(argv[0], worker) == 0 || sb_place_of_program(folder, &error) != 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/shmbench-%s", folder, argv[0]);
    char *name = argv[0];
    argv[0] = path;
    execv(path, argv);
    argv[0] = name;
    if (errno != ENOENT) {
        _exit(sb_complain("%s cannot be run: %s", path, strerror(errno)));
    }
}

static int unknown(const char *name)
{
    const char *names[VERBS + 64] = {NULL};
    size_t used = 0;
    char **found = NULL;
    struct sb_error error;
    for (int i = 0; i < VERBS; i++) {
        names[used++] = verbs[i].name;
    }
    if (sb_places_companions(&found, &error) == 0) {
        for (char **at = found; *at != NULL && used < VERBS + 63; at++) {
            if (strcmp(*at, worker) != 0) {
                names[used++] = *at;
            }
        }
    }
    sb_unknown(&error, "verb", name, names);
    sb_places_free(found);
    return sb_complain("%s", error.text);
}

// A caller may have closed what every program expects to be open (`>&-`). The next file
// opened would take that number, and what is printed would land in it.
static void fill_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            // Not to be written: output that nobody can get is an error to be told.
            (void)!open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        return sb_complain("say what to do: shmbench --help lists the verbs");
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        if (argc == 2) {
            return help();
        }
        // `shmbench help run` is `shmbench run --help`.
        static char option[] = "--help";
        argv[1] = argv[2];
        argv[2] = option;
        argc = 3;
        name = argv[1];
    }
    if (strcmp(name, "--version") == 0) {
        printf("shmbench %s (%s)\n", SB_VERSION, SB_BUILD);
        return SB_EXIT_OK;
    }
    for (int i = 0; i < VERBS; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    run_companion(argv + 1);
    return unknown(argv[1]);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = SB_EXIT_FAULT;
    fill_streams();
    if (sb_subjects_prepare()) {
        // The loader reads what that has set only when a program starts. Where it
        // cannot be started again, the subjects concerned say that they are not usable.
        execv("/proc/self/exe", argv);
    }
    int code = dispatch(argc, argv);
    // A full disk or a closed pipe behind stdout must not look like success.
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != SB_EXIT_FAULT) {
        return sb_complain("the output could not be written: %s", strerror(errno));
    }
    return code;
}

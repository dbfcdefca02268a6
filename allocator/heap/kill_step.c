// SPDX-License-Identifier: MIT
/*
 * kill_step.c - see kill_step.h.
 *
 * Built on: ptrace(2), mincore(2). Concurrency: one stepped process at a time for each
 * call of kill_step; calls nest.
 * Why this way: most instructions do not write to the segment, and a kill after one of
 * those is the kill after the one before. Comparing costs a tenth of a recovery.
 */
#include "allocator/heap/kill_step.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

int kill_image_of(int fd, struct kill_image *out)
{
    struct stat info;
    if (fstat(fd, &info))
        return -errno;
    struct kill_image image = {.fd = fd, .bytes = (size_t)info.st_size};
    image.blocks_at = image.bytes;
    image.at = mmap(NULL, image.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (image.at == MAP_FAILED)
        return -errno;
    image.last = calloc(1, image.bytes);
    image.resident = calloc(1, image.bytes / PAGE + 1);
    if (!image.last || !image.resident) {
        kill_image_end(&image);
        return -ENOMEM;
    }
    *out = image;
    return 0;
}

int kill_image_new(size_t bytes, struct kill_image *out)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = ftruncate(fd, (off_t)bytes) ? -errno : kill_image_of(fd, out);
    if (error)
        (void)close(fd);
    return error;
}

/* The descriptor of kill_image_of is the caller's, that of kill_image_new goes too. */
void kill_image_end(struct kill_image *image)
{
    (void)munmap(image->at, image->bytes);
    free(image->last);
    free(image->resident);
    image->at = NULL;
}

/* Which pages of the file have memory; looking must not give it to them. */
static void look(struct kill_image *image, size_t bytes)
{
    if (mincore(image->at, bytes, image->resident))
        memset(image->resident, 1, bytes / PAGE);
}

void kill_image_copy(struct kill_image *to, struct kill_image *from)
{
    look(from, from->bytes);
    look(to, to->bytes);
    for (size_t page = 0; page < from->bytes / PAGE; page++) {
        if (from->resident[page] & 1)
            memcpy(to->at + page * PAGE, from->at + page * PAGE, PAGE);
        else if (to->resident[page] & 1)
            memset(to->at + page * PAGE, 0, PAGE);
    }
}

/* Whether the tables differ from what they were at the last call. */
static bool changed(struct kill_image *image)
{
    bool differs = false;
    if (image->looked++ % 8 == 0)
        look(image, image->blocks_at);
    for (size_t page = 0; page < image->blocks_at / PAGE; page++) {
        if (!(image->resident[page] & 1))
            continue;
        unsigned char *now = image->at + page * PAGE, *then = image->last + page * PAGE;
        if (!memcmp(now, then, PAGE))
            continue;
        memcpy(then, now, PAGE);
        differs = true;
    }
    return differs;
}

static void victim(const struct kill_case *what, int fd, struct kill_book *book)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGALRM, SIG_DFL);
    (void)signal(SIGSEGV, SIG_DFL);
    (void)signal(SIGBUS, SIG_DFL);
    void *door = what->ready(fd, book);
    if (!door || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(3);
    (void)raise(SIGSTOP);
    __atomic_store_n(&book->phase, KILL_WITHIN, __ATOMIC_SEQ_CST);
    what->call(door, book);
    __atomic_store_n(&book->phase, KILL_AFTER, __ATOMIC_SEQ_CST);
    for (;;)
        (void)pause();
}

/* One instruction further: true while it goes on. */
static bool step(pid_t pid, int *status)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
        return false;
    while (waitpid(pid, status, 0) < 0) {
        if (errno != EINTR)
            return false;
    }
    return WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

int kill_step(const struct kill_case *what, struct kill_image *source,
              struct kill_book *book, bool each,
              int (*image_is_well)(struct kill_image *source, void *context),
              void *context, struct kill_count *count)
{
    int status = 0, result = 0;
    uint64_t within = 0;
    book->phase = KILL_BEFORE;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (!pid)
        victim(what, source->fd, book);
    if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) {
        (void)fprintf(stderr, "%s: could not get ready (status %x)\n", what->name,
                      (unsigned)status);
        return -1;
    }
    (void)changed(source);
    bool fresh = true;
    while (!result) {
        if (!step(pid, &status)) {
            (void)fprintf(stderr, "%s: died by itself at point %llu (status %x)\n",
                          what->name, (unsigned long long)within, (unsigned)status);
            result = -1;
            break;
        }
        uint32_t phase = __atomic_load_n(&book->phase, __ATOMIC_SEQ_CST);
        if (phase == KILL_BEFORE)
            continue;
        within++;
        /* Within a copy of a block nothing else changes: some points of it too. */
        if (each || changed(source) || fresh || phase == KILL_AFTER ||
            within % 1024 == 0) {
            fresh = false;
            count->images++;
            result = image_is_well(source, context);
            if (result)
                (void)fprintf(stderr, "%s: not well after instruction %llu\n",
                              what->name, (unsigned long long)within);
        }
        if (phase == KILL_AFTER)
            break;
    }
    count->points += within;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return result;
}

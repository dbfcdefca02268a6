// SPDX-License-Identifier: MIT
/*
 * error.c - errors in words.
 *
 * Built on: libc. Concurrency: the particulars are kept per thread.
 * Why this way: an errno says what kind of thing went wrong, one line more says which.
 */
#include "allocator/heap/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char why[200];

int hh_fail(int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return error;
}

void hh_why_clear(void)
{
    why[0] = 0;
}

const char *hh_why(void)
{
    return why;
}

const char *hh_strerror(int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {
        {0, "no error"},
        {ESTALE, "the handle names no block of this heap"},
        {EBADMSG, "not a heap, or a damaged one"},
        {ENOTSUP, "a heap of another version"},
        {ENOMEM, "the heap is full"},
        {ENOSPC, "no space left on the device or in the file"},
        {EBUSY, "in use"},
        {EUSERS, "no client or lane is left"},
        {EMFILE, "too many locks held by one door"},
        {ETIMEDOUT, "the deadline has passed"},
        {EDEADLK, "waiting would never end"},
        {EOWNERDEAD, "the last owner of the lock died"},
        {EPERM, "not locked by this door, or not permitted"},
        {EAGAIN, "the heap is still being made"},
        {E2BIG, "beyond 1 TiB or 2^31 handles"},
        {ENOENT, "no such file or name"},
        {EEXIST, "exists already"},
        {ERANGE, "out of range"},
        {ENAMETOOLONG, "the name is too long"},
    };
    int positive = error < 0 ? -error : error;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].error == positive)
            return texts[i].text;
    }
    const char *text = strerrordesc_np(positive);
    return text ? text : "unknown error";
}

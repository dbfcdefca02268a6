// SPDX-License-Identifier: MIT
// One line of text for the person who has to act on a failure.
//
// Built on: nothing. Concurrency: a struct sb_error belongs to one thread.
// Why this way: an errno says what failed, never which of the user's words was wrong;
// every call that can fail for a user's reason fills one of these and returns the errno
// beside it.
#ifndef SB_BASE_ERROR_H
#define SB_BASE_ERROR_H

struct sb_error {
    char text[512]; // one line, no newline, empty while nothing failed
};

// Writes the line into *error (which may be NULL) and returns `code`, a negative errno,
// so that a caller can write `return sb_fail(error, -EINVAL, "...", ...);`.
int sb_fail(struct sb_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
// It sees one file at a time and would follow paths on which a failure returns 0.
#define sb_fail(error, code, ...)                                                      \
    ((void)sb_fail(error, code, __VA_ARGS__), (code) < 0 ? (code) : -1)
#endif

// Puts "prefix: " before a line that a lower layer wrote. Returns `code`.
int sb_fail_in(struct sb_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

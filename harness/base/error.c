// SPDX-License-Identifier: MIT
// One line of text for the person who has to act: see error.h.
#include "harness/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// User's words are quoted in complaints and may hold anything; the line stays one line.
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

int(sb_fail)(struct sb_error *error, int code, const char *format, ...)
{
    if (error == NULL) {
        return code;
    }
    // By way of a second buffer: an argument may well be error->text itself.
    char line[sizeof(error->text)];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    make_one_line(line);
    memcpy(error->text, line, sizeof(line));
    return code;
}

int sb_fail_in(struct sb_error *error, int code, const char *format, ...)
{
    if (error == NULL) {
        return code;
    }
    char line[sizeof(error->text)];
    va_list list;
    va_start(list, format);
    int made = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    size_t used = made < 0 ? 0 : (size_t)made;
    if (used + 3 < sizeof(line) && error->text[0] != '\0') {
        // A line too long is cut, as everywhere.
        size_t letters = strlen(error->text), room = sizeof(line) - used - 3;
        letters = letters < room ? letters : room;
        memcpy(line + used, ": ", 2);
        memcpy(line + used + 2, error->text, letters);
        line[used + 2 + letters] = '\0';
    }
    make_one_line(line);
    memcpy(error->text, line, sizeof(line));
    return code;
}

// SPDX-License-Identifier: MIT
// Figures and names as people read them: see text.h.
#include "harness/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    double size;
    const char *name;
};

// `units` ascending, ended by a size of 0. A value that would round up to 1000 of a
// decimal unit is shown in the next one.
static char *format_units(double value, const struct unit *units, char *text,
                          size_t bytes)
{
    const struct unit *unit = units;
    while (unit[1].size > 0 && fabs(value) >= unit[1].size * 0.9995) {
        unit++;
    }
    double shown = value / unit->size;
    double whole = fabs(shown);
    bool exact = unit == units && value == floor(value);
    int digits = exact || whole >= 99.95 ? 0 : whole >= 9.995 ? 1 : 2;
    snprintf(text, bytes, "%.*f%s%s", digits, shown, unit->name[0] != '\0' ? " " : "",
             unit->name);
    return text;
}

char *sb_format_bytes(double value, char *text, size_t bytes)
{
    static const struct unit units[] = {
        {1, "B"},        {0x1p10, "KiB"}, {0x1p20, "MiB"},
        {0x1p30, "GiB"}, {0x1p40, "TiB"}, {0, NULL},
    };
    return format_units(value, units, text, bytes);
}

char *sb_format_ns(double value, char *text, size_t bytes)
{
    static const struct unit units[] = {
        {1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}, {0, NULL},
    };
    return format_units(value, units, text, bytes);
}

char *sb_format_count(double value, char *text, size_t bytes)
{
    static const struct unit units[] = {
        {1, ""}, {1e3, "k"}, {1e6, "M"}, {1e9, "G"}, {1e12, "T"}, {0, NULL},
    };
    return format_units(value, units, text, bytes);
}

enum { WORD = 63 };

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static char lower(char c)
{
    return (char)tolower((unsigned char)c);
}

uint32_t sb_edit_distance(const char *a, const char *b)
{
    // Three rows of the usual table suffice; the third is for swapped neighbours.
    uint32_t rows[3][WORD + 1];
    size_t a_count = strnlen(a, WORD), b_count = strnlen(b, WORD);
    for (size_t j = 0; j <= b_count; j++) {
        rows[0][j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= a_count; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i - 1) % 3];
        const uint32_t *second = rows[(i + 1) % 3]; // two above
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= b_count; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] =
                least_of(above[j - 1] + (x != y), least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2])) {
                row[j] = least_of(row[j], second[j - 2] + 1);
            }
        }
    }
    return rows[a_count % 3][b_count];
}

const char *sb_nearest(const char *name, const char *const *names)
{
    size_t letters = strlen(name);
    const char *best = NULL;
    uint32_t best_distance = UINT32_MAX;
    for (; *names != NULL; names++) {
        uint32_t distance = sb_edit_distance(name, *names);
        // The beginning of one name is a better guess than its letters tell.
        if (letters >= 3 && strncasecmp(name, *names, letters) == 0) {
            distance = 1;
        }
        if (distance < best_distance) {
            best = *names;
            best_distance = distance;
        }
    }
    // Beyond a third of the letters a suggestion is noise.
    return best_distance <= 1 + letters / 3 && best_distance < letters ? best : NULL;
}

int sb_unknown(struct sb_error *error, const char *what, const char *name,
               const char *const *names)
{
    char list[320] = "";
    size_t used = 0;
    for (const char *const *next = names; *next != NULL; next++) {
        const char *comma = used == 0 ? "" : ", ";
        // Five bytes stay free for the mark that the list was cut.
        if (used + strlen(comma) + strlen(*next) + 6 > sizeof(list)) {
            memcpy(list + used, ", ...", 6);
            break;
        }
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", comma, *next);
    }
    const char *nearest = sb_nearest(name, names);
    if (used == 0) {
        return sb_fail(error, -ENOENT, "no %s '%.80s': there is none", what, name);
    }
    if (nearest != NULL) {
        return sb_fail(error, -ENOENT, "no %s '%.80s', did you mean '%s'? there is: %s",
                       what, name, nearest, list);
    }
    return sb_fail(error, -ENOENT, "no %s '%.80s': there is: %s", what, name, list);
}

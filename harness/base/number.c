// SPDX-License-Identifier: MIT
// Numbers with a unit: see number.h.
#include "harness/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
    const char *text;
    uint64_t scale;
};

// The first of equal scales is the one that is written; ascending.
static const struct suffix count_suffixes[] = {
    {"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {NULL, 0},
};
static const struct suffix bytes_suffixes[] = {
    {"", 1},
    {"B", 1},
    {"K", 1ull << 10},
    {"KiB", 1ull << 10},
    {"k", 1ull << 10},
    {"M", 1ull << 20},
    {"MiB", 1ull << 20},
    {"G", 1ull << 30},
    {"GiB", 1ull << 30},
    {"T", 1ull << 40},
    {"TiB", 1ull << 40},
    {NULL, 0},
};
static const struct suffix ns_suffixes[] = {
    {"ns", 1},
    {"", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"min", 60000000000},
    {"h", 3600000000000},
    {NULL, 0},
};

static const struct suffix *suffixes_of(enum sb_type type)
{
    return type == SB_BYTES ? bytes_suffixes
           : type == SB_NS  ? ns_suffixes
                            : count_suffixes;
}

static int malformed(enum sb_type type, const char *text, struct sb_error *error)
{
    static const char *const hints[] = {
        [SB_COUNT] = "a count, such as 250 or 10k (k, M, G: powers of 1000)",
        [SB_BYTES] = "bytes, such as 64 or 16K (K, M, G, T: powers of 1024)",
        [SB_NS] = "a time, such as 500ns, 20us, 5ms, 90s or 10min",
        [SB_RATIO] = "a ratio, such as 0.25 or 25%",
    };
    return sb_fail(error, -EINVAL, "'%.80s' is not %s", text, hints[type]);
}

static int too_large(enum sb_type type, const char *text, struct sb_error *error)
{
    return sb_fail(error, -ERANGE, "%.80s is too large for %s", text,
                   sb_type_name(type));
}

static int parse_hex(const char *text, uint64_t *value, struct sb_error *error)
{
    if (!isxdigit((unsigned char)text[2])) {
        return malformed(SB_COUNT, text, error);
    }
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 16);
    if (*end != '\0') {
        return malformed(SB_COUNT, text, error);
    }
    if (errno == ERANGE) {
        return too_large(SB_COUNT, text, error);
    }
    *value = parsed;
    return 0;
}

static int parse_whole(enum sb_type type, const char *text, uint64_t *value,
                       struct sb_error *error)
{
    // 128 bits hold every 64-bit number times every scale, digits after the point
    // included, so that overflow shows and nothing is rounded.
    typedef unsigned __int128 wide;
    if (type == SB_COUNT && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        return parse_hex(text, value, error);
    }
    const char *next = text + (text[0] == '-' || text[0] == '+');
    wide digits = 0;
    uint64_t divisor = 1;
    bool any = false, point = false, large = false;
    for (; isdigit((unsigned char)*next) || (*next == '.' && !point); next++) {
        if (*next == '.') {
            point = true;
            continue;
        }
        any = true;
        large = large || digits > UINT64_MAX;
        digits = large ? digits : digits * 10 + (unsigned)(*next - '0');
        if (point) {
            if (divisor >= 1000000000000) {
                return malformed(type, text, error); // more digits than any unit has
            }
            divisor *= 10;
        }
    }
    const struct suffix *suffix = suffixes_of(type);
    while (suffix->text != NULL && strcmp(suffix->text, next) != 0) {
        suffix++;
    }
    if (!any || suffix->text == NULL) {
        return malformed(type, text, error);
    }
    if (text[0] == '-') {
        return sb_fail(error, -ERANGE, "%.80s is negative", text);
    }
    wide product = digits * suffix->scale;
    if (large || product / divisor > UINT64_MAX) {
        return too_large(type, text, error);
    }
    if (product % divisor != 0) {
        return sb_fail(error, -EINVAL, "%.80s is not a whole number (%s)", text,
                       sb_type_name(type));
    }
    *value = (uint64_t)(product / divisor);
    return 0;
}

static int parse_ratio(const char *text, double *value, struct sb_error *error)
{
    // strtod also takes "inf", "nan" and hexadecimal, which nobody means here.
    if (text[0] == '\0' || text[strspn(text, "0123456789+-.eE%")] != '\0') {
        return malformed(SB_RATIO, text, error);
    }
    char *end;
    double parsed = strtod(text, &end);
    if (end != text && *end == '%') {
        parsed /= 100;
        end++;
    }
    if (end == text || *end != '\0') {
        return malformed(SB_RATIO, text, error);
    }
    if (!isfinite(parsed)) {
        return too_large(SB_RATIO, text, error);
    }
    *value = parsed;
    return 0;
}

int sb_number_parse(enum sb_type type, const char *text, union sb_number *number,
                    struct sb_error *error)
{
    switch (type) {
    case SB_RATIO:
        return parse_ratio(text, &number->ratio, error);
    case SB_COUNT:
    case SB_BYTES:
    case SB_NS:
        return parse_whole(type, text, &number->whole, error);
    case SB_FLAG:
    case SB_CHOICE:
        break;
    }
    return sb_fail(error, -EINVAL, "a %s is not a number", sb_type_name(type));
}

static void whole_text(enum sb_type type, uint64_t value, char *text, size_t bytes)
{
    const struct suffix *suffix = suffixes_of(type), *chosen = suffix;
    uint64_t scale = 1;
    // Counts stay plain: 1000 is easier to compare with other counts than 1k.
    for (; type != SB_COUNT && value != 0 && suffix->text != NULL; suffix++) {
        bool fits = suffix->scale > scale && value % suffix->scale == 0;
        if (fits && !(type == SB_NS && suffix->scale > 1000000000)) {
            chosen = suffix;
            scale = suffix->scale;
        }
    }
    snprintf(text, bytes, "%llu%s", (unsigned long long)(value / scale), chosen->text);
}

void sb_number_text(enum sb_type type, union sb_number number, char *text, size_t bytes)
{
    if (type != SB_RATIO) {
        whole_text(type, number.whole, text, bytes);
        return;
    }
    // As few digits as bring back the same double: 0.1 rather than
    // 0.1000000000000000056.
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, bytes, "%.*g", digits, number.ratio);
        if (strtod(text, NULL) == number.ratio) {
            return;
        }
    }
}

double sb_number_double(enum sb_type type, union sb_number number)
{
    return type == SB_RATIO ? number.ratio : (double)number.whole;
}

union sb_number sb_number_of(enum sb_type type, double value)
{
    union sb_number number;
    if (type == SB_RATIO) {
        number.ratio = value;
    } else {
        number.whole = value >= 0x1p64 ? UINT64_MAX : value > 0 ? (uint64_t)value : 0;
    }
    return number;
}

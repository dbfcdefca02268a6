// SPDX-License-Identifier: MIT
// One row describes one option: see option.h.
#include "harness/base/option.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/number.h"
#include "harness/base/text.h"

const char *sb_type_name(enum sb_type type)
{
    static const char *const names[] = {"count", "bytes", "ns",
                                        "ratio", "flag",  "choice"};
    return (unsigned)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

const struct sb_option *sb_option_find(const struct sb_option *table, const char *name)
{
    for (; table != NULL && table->name != NULL; table++) {
        if (strcmp(table->name, name) == 0) {
            return table;
        }
    }
    return NULL;
}

static int unknown_option(const struct sb_option *table, const char *name,
                          struct sb_error *error)
{
    const char *names[SB_OPTIONS_MAX + 1];
    size_t count = 0;
    for (; table != NULL && table->name != NULL && count < SB_OPTIONS_MAX; table++) {
        names[count++] = table->name;
    }
    names[count] = NULL;
    return sb_unknown(error, "option", name, names);
}

static int set_choice(const struct sb_option *row, void *field, const char *text,
                      struct sb_error *error)
{
    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            memcpy(field, &i, sizeof(i));
            return 0;
        }
    }
    sb_unknown(error, "choice", text, row->choices);
    return sb_fail_in(error, -EINVAL, "%s", row->name);
}

static int set_flag(const struct sb_option *row, void *field, const char *text,
                    struct sb_error *error)
{
    static const char *const words[] = {"no",  "yes", "false", "true",
                                        "off", "on",  "0",     "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], text) == 0) {
            bool value = i % 2 == 1;
            memcpy(field, &value, sizeof(value));
            return 0;
        }
    }
    return sb_fail(error, -EINVAL, "%s=%.80s: not yes or no", row->name, text);
}

static int out_of_range(const struct sb_option *row, const char *text,
                        struct sb_error *error)
{
    char least[SB_NUMBER_BYTES], most[SB_NUMBER_BYTES];
    sb_number_text(row->type, sb_number_of(row->type, row->least), least,
                   sizeof(least));
    sb_number_text(row->type, sb_number_of(row->type, row->most), most, sizeof(most));
    return sb_fail(error, -ERANGE, "%s=%.80s: out of range, %s to %s (%s)", row->name,
                   text, least, most, sb_type_name(row->type));
}

static int set_number(const struct sb_option *row, void *field, const char *text,
                      struct sb_error *error)
{
    union sb_number number;
    int rc = sb_number_parse(row->type, text, &number, error);
    if (rc == -ERANGE) {
        return out_of_range(row, text, error);
    }
    if (rc != 0) {
        return sb_fail_in(error, rc, "%s", row->name);
    }
    double value = sb_number_double(row->type, number);
    if (value < row->least || value > row->most) {
        return out_of_range(row, text, error);
    }
    if (row->type == SB_RATIO) {
        memcpy(field, &number.ratio, sizeof(number.ratio));
    } else {
        memcpy(field, &number.whole, sizeof(number.whole));
    }
    return 0;
}

static int set_row(const struct sb_option *row, void *values, const char *text,
                   struct sb_error *error)
{
    void *field = (char *)values + row->offset;
    switch (row->type) {
    case SB_FLAG:
        return set_flag(row, field, text, error);
    case SB_CHOICE:
        return set_choice(row, field, text, error);
    case SB_COUNT:
    case SB_BYTES:
    case SB_NS:
    case SB_RATIO:
        return set_number(row, field, text, error);
    }
    return sb_fail(error, -EINVAL, "%s: a row of no known type", row->name);
}

int sb_option_set(const struct sb_option *table, void *values, const char *name,
                  const char *text, struct sb_error *error)
{
    const struct sb_option *row = sb_option_find(table, name);
    if (row == NULL) {
        return unknown_option(table, name, error);
    }
    return set_row(row, values, text, error);
}

void sb_options_default(const struct sb_option *table, void *values)
{
    for (; table != NULL && table->name != NULL; table++) {
        int rc = set_row(table, values, table->initial, NULL);
        assert(rc == 0 && "an option's initial value is not one of its own");
        (void)rc;
    }
}

int sb_options_check(const struct sb_option *table, void *values,
                     struct sb_error *error)
{
    uint32_t count = 0;
    for (const struct sb_option *row = table; row != NULL && row->name != NULL; row++) {
        if (++count > SB_OPTIONS_MAX) {
            return sb_fail(error, -E2BIG, "more than %d options", SB_OPTIONS_MAX);
        }
        if (sb_option_find(table, row->name) != row) {
            return sb_fail(error, -EEXIST, "two options are called '%s'", row->name);
        }
        if (row->summary == NULL || row->initial == NULL) {
            return sb_fail(error, -EINVAL, "%s: no summary or no initial value",
                           row->name);
        }
        if (row->type == SB_CHOICE && (row->choices == NULL || !row->choices[0])) {
            return sb_fail(error, -EINVAL, "%s: nothing to choose from", row->name);
        }
        int rc = set_row(row, values, row->initial, error);
        if (rc != 0) {
            return sb_fail_in(error, rc, "initial value");
        }
    }
    return 0;
}

void sb_option_text(const struct sb_option *row, const void *values, char *text,
                    size_t bytes)
{
    const void *field = (const char *)values + row->offset;
    bool flag;
    uint32_t choice;
    union sb_number number;
    switch (row->type) {
    case SB_FLAG:
        memcpy(&flag, field, sizeof(flag));
        snprintf(text, bytes, "%s", flag ? "yes" : "no");
        return;
    case SB_CHOICE:
        memcpy(&choice, field, sizeof(choice));
        snprintf(text, bytes, "%s", row->choices[choice]);
        return;
    case SB_RATIO:
        memcpy(&number.ratio, field, sizeof(number.ratio));
        break;
    case SB_COUNT:
    case SB_BYTES:
    case SB_NS:
        memcpy(&number.whole, field, sizeof(number.whole));
        break;
    }
    sb_number_text(row->type, number, text, bytes);
}

int sb_parse_number(enum sb_type type, const char *text, double *value,
                    struct sb_error *error)
{
    union sb_number number;
    int rc = sb_number_parse(type, text, &number, error);
    if (rc == 0) {
        *value = sb_number_double(type, number);
    }
    return rc;
}

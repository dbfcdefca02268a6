// SPDX-License-Identifier: MIT
// Sweeps: one value of a job file that stands for many, see ini.h.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/ini.h"
#include "harness/base/number.h"

enum { ITEMS_MAX = 1000, ITEM_BYTES = 256 };

struct sweep {
    enum sb_type type;
    char **items;
    uint32_t count;
    struct sb_error *error;
};

static int add_item(struct sweep *sweep, const char *text)
{
    if (sweep->count == ITEMS_MAX) {
        return sb_fail(sweep->error, -E2BIG, "a sweep of over %d values", ITEMS_MAX);
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return sb_fail(sweep->error, -ENOMEM, "no memory for a sweep");
    }
    sweep->items[sweep->count++] = copy;
    return 0;
}

struct range {
    union sb_number first, last, step;
    double factor;
    bool times;
};

// The value after `now`; false when the range ends here.
static bool next_in_range(const struct sweep *sweep, const struct range *range,
                          union sb_number *now)
{
    if (sweep->type == SB_RATIO) {
        double next =
            range->times ? now->ratio * range->factor : now->ratio + range->step.ratio;
        // 0.1 + 0.1 + 0.1 passes 0.3 by rounding alone.
        bool within = next <= range->last.ratio + fabs(range->last.ratio) * 1e-9;
        now->ratio = next;
        return within;
    }
    uint64_t value = now->whole, next;
    if (range->times) {
        double product = floor((double)value * range->factor);
        next = product >= 0x1p64 ? 0 : (uint64_t)product;
    } else if (__builtin_add_overflow(value, range->step.whole, &next)) {
        return false;
    }
    // A step that does not advance (1 times 1.5) would never end.
    now->whole = next;
    return next > value && next <= range->last.whole;
}

static int parse_range(const struct sweep *sweep, char *text, struct range *range)
{
    char *step = strchr(text, ':');
    char *last = strchr(step + 1, ':');
    if (last == NULL || strchr(last + 1, ':') != NULL || step[1] == '\0' ||
        strchr("*+", step[1]) == NULL) {
        return sb_fail(sweep->error, -EINVAL,
                       "'%.80s' is no range: write first:*factor:last or "
                       "first:+step:last",
                       text);
    }
    *step++ = '\0';
    *last++ = '\0';
    range->times = *step++ == '*';
    int rc = sb_number_parse(sweep->type, text, &range->first, sweep->error);
    if (rc == 0) {
        rc = sb_number_parse(sweep->type, last, &range->last, sweep->error);
    }
    if (rc == 0 && range->times) {
        rc = sb_parse_number(SB_RATIO, step, &range->factor, sweep->error);
    } else if (rc == 0) {
        rc = sb_number_parse(sweep->type, step, &range->step, sweep->error);
    }
    return rc;
}

static int add_range(struct sweep *sweep, const char *item)
{
    char text[ITEM_BYTES];
    struct range range = {0};
    snprintf(text, sizeof(text), "%s", item);
    int rc = parse_range(sweep, text, &range);
    if (rc != 0) {
        return rc;
    }
    double first = sb_number_double(sweep->type, range.first);
    double step = sb_number_double(sweep->type, range.step);
    if (first > sb_number_double(sweep->type, range.last)) {
        return sb_fail(sweep->error, -EINVAL, "'%.80s' ends before it begins", item);
    }
    if (range.times ? !(first > 0 && range.factor > 1) : !(step > 0)) {
        return sb_fail(sweep->error, -EINVAL, "'%.80s' would never end", item);
    }
    union sb_number now = range.first;
    do {
        sb_number_text(sweep->type, now, text, sizeof(text));
        rc = add_item(sweep, text);
    } while (rc == 0 && next_in_range(sweep, &range, &now));
    return rc;
}

static int add_part(struct sweep *sweep, const char *part, size_t letters)
{
    while (letters > 0 && (*part == ' ' || *part == '\t')) {
        part++;
        letters--;
    }
    while (letters > 0 && (part[letters - 1] == ' ' || part[letters - 1] == '\t')) {
        letters--;
    }
    char item[ITEM_BYTES];
    if (letters == 0) {
        return sb_fail(sweep->error, -EINVAL, "an empty value in a list");
    }
    if (letters >= sizeof(item)) {
        return sb_fail(sweep->error, -EINVAL, "'%.40s...' is too long a value", part);
    }
    memcpy(item, part, letters);
    item[letters] = '\0';
    bool range = sweep->type != SB_FLAG && sweep->type != SB_CHOICE;
    return range && strchr(item, ':') != NULL ? add_range(sweep, item)
                                              : add_item(sweep, item);
}

int sb_sweep_expand(enum sb_type type, const char *value, char ***items,
                    uint32_t *count, struct sb_error *error)
{
    struct sweep sweep = {.type = type, .error = error};
    sweep.items = calloc(ITEMS_MAX, sizeof(*sweep.items));
    if (sweep.items == NULL) {
        return sb_fail(error, -ENOMEM, "no memory for a sweep");
    }
    const char *part = value;
    for (;;) {
        size_t letters = strcspn(part, ",");
        int rc = add_part(&sweep, part, letters);
        if (rc != 0) {
            sb_sweep_free(sweep.items, sweep.count);
            return rc;
        }
        if (part[letters] == '\0') {
            break;
        }
        part += letters + 1;
    }
    *items = sweep.items;
    *count = sweep.count;
    return 0;
}

void sb_sweep_free(char **items, uint32_t count)
{
    for (uint32_t i = 0; items != NULL && i < count; i++) {
        free(items[i]);
    }
    free(items);
}

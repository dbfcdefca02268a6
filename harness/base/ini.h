// SPDX-License-Identifier: MIT
// Job files: INI in fio's manner, read into sections of key = value with their lines.
//
// Built on: error.h, option.h (types, for ranges). Concurrency: a struct sb_ini is
// constant once read. Why this way: a line number beside every word lets each later
// complaint name its line.
#ifndef SB_BASE_INI_H
#define SB_BASE_INI_H

#include <stdint.h>

#include "harness/base/error.h"
#include "harness/base/option.h"

struct sb_ini_entry {
    const char *key, *value;
    uint32_t line;
};

struct sb_ini_section {
    const char *name;
    uint32_t line, entries_count;
    struct sb_ini_entry *entries;
};

struct sb_ini {
    char *path;
    uint32_t sections_count;
    struct sb_ini_section *sections;
    char *text; // all strings above point into it
};

// "# ..." and "; ..." are comments where a line begins or after a space.
// Errors: errno of open/read; -EFBIG over 1 MiB; -EINVAL with "path:line: ..." for a
// malformed line, an entry before the first section, a key twice in a section, or a
// section twice.
int sb_ini_read(const char *path, struct sb_ini *ini, struct sb_error *error);
void sb_ini_free(struct sb_ini *ini);

// Expands one value into its sweep: "1,2,4", "64:*2:1024" (times), "10:+10:50" (steps),
// or both mixed. `type` is the type of the option that the value is for: it says what
// the suffixes in a range mean. Each item is text in `items` (malloc'd array of
// malloc'd strings); a range goes on while it does not pass its last value. Errors:
// -EINVAL an empty item, a malformed or endless range, -E2BIG over 1000 items.
int sb_sweep_expand(enum sb_type type, const char *value, char ***items,
                    uint32_t *count, struct sb_error *error);
void sb_sweep_free(char **items, uint32_t count);

#endif

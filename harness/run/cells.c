// SPDX-License-Identifier: MIT
// The cells of a plan: sections expanded over workers and every swept option.
//
// Built on: builder.h. Concurrency: one thread.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/builder.h"
#include "harness/run/control.h"
#include "harness/run/sizing.h"

enum { WORKERS_USUAL = 2 };

struct axis {
    const char *key, *where;
    char **items;
    uint32_t count;
};

// One section while it is expanded.
struct expansion {
    struct sb_builder *builder;
    const struct sb_section *section;
    struct axis axes[SB_WORDS_MAX];
    uint32_t axes_count;
    uint32_t workers[SB_WORKERS_MAX], workers_count;
};

static int parse_workers(struct expansion *expansion, const char *list,
                         const char *where, bool strict)
{
    struct sb_error *error = expansion->builder->error;
    const struct sb_workload *workload = expansion->section->workload;
    uint32_t least = workload->workers_least ? workload->workers_least : 1;
    char **items;
    uint32_t count;
    int rc = sb_sweep_expand(SB_COUNT, list, &items, &count, error);
    if (rc != 0) {
        return sb_fail_in(error, rc, "%s: workers", where);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        double number;
        rc = sb_parse_number(SB_COUNT, items[i], &number, error);
        if (rc != 0) {
            sb_fail_in(error, rc, "%s: workers", where);
        } else if (number < 1 || number > SB_WORKERS_MAX) {
            rc = sb_fail(error, -ERANGE, "%s: workers=%s is not within 1..%d", where,
                         items[i], SB_WORKERS_MAX);
        } else if (number >= least && expansion->workers_count < SB_WORKERS_MAX) {
            expansion->workers[expansion->workers_count++] = (uint32_t)number;
        }
    }
    sb_sweep_free(items, count);
    if (rc == 0 && expansion->workers_count == 0) {
        // A list for many sections is bent for the one that needs more; a list for
        // this one alone is a mistake.
        if (strict) {
            return sb_fail(error, -EINVAL,
                           "%s: workers=%s: %s needs at least %u workers", where, list,
                           workload->name, least);
        }
        expansion->workers[expansion->workers_count++] = least;
    }
    return rc;
}

static int choose_workers(struct expansion *expansion)
{
    struct sb_builder *builder = expansion->builder;
    const struct sb_section *section = expansion->section;
    const struct sb_request *request = builder->request;
    if (request->workers) {
        return parse_workers(expansion, request->workers, "--workers",
                             builder->sections_count == 1);
    }
    if (section->workers) {
        return parse_workers(expansion, section->workers, section->workers_where, true);
    }
    if (builder->workers) {
        return parse_workers(expansion, builder->workers, builder->workers_where,
                             builder->sections_count == 1);
    }
    uint32_t least = section->workload->workers_least;
    expansion->workers[expansion->workers_count++] =
        least > WORKERS_USUAL ? least : WORKERS_USUAL;
    return 0;
}

static int choose_axes(struct expansion *expansion)
{
    struct sb_builder *builder = expansion->builder;
    const struct sb_words *words = &expansion->section->words;
    for (uint32_t i = 0; i < words->count; i++) {
        const struct sb_word *word = &words->all[i];
        struct axis *axis = &expansion->axes[expansion->axes_count];
        *axis = (struct axis){.key = word->key, .where = word->where};
        const struct sb_option *row =
            sb_option_find(expansion->section->workload->options, word->key);
        int rc = sb_sweep_expand(row ? row->type : SB_COUNT, word->value, &axis->items,
                                 &axis->count, builder->error);
        if (rc != 0) {
            return sb_fail_in(builder->error, rc, "%s: %s", word->where, word->key);
        }
        expansion->axes_count++;
    }
    return 0;
}

static int set_axis(struct sb_cell *cell, const struct axis *axis, const char *value,
                    struct sb_error *error)
{
    int rc;
    if (strcmp(axis->key, "steps") == 0) {
        double number;
        rc = sb_parse_number(SB_COUNT, value, &number, error);
        if (rc == 0 && (number < 1 || number > 1e15)) {
            rc = sb_fail(error, -ERANGE, "steps=%s is not within 1..1e15", value);
        }
        if (rc == 0) {
            cell->steps = (uint64_t)number;
            cell->steps_fixed = true;
        }
    } else if (!cell->options) {
        rc = sb_fail(error, -ENOENT, "workload %s has no option %s (it has none)",
                     cell->workload->name, axis->key);
    } else {
        rc = sb_option_set(cell->workload->options, cell->options, axis->key, value,
                           error);
    }
    return rc != 0 ? sb_fail_in(error, rc, "%s", axis->where) : 0;
}

// Writes what differs from the table's initial values.
static void describe_set(struct sb_cell *cell, const void *initial)
{
    size_t used = 0;
    for (const struct sb_option *row = cell->workload->options; row && row->name;
         row++) {
        char mine[64], usual[64];
        sb_option_text(row, cell->options, mine, sizeof mine);
        sb_option_text(row, initial, usual, sizeof usual);
        if (strcmp(mine, usual) != 0 && used < sizeof cell->set) {
            used += (size_t)snprintf(cell->set + used, sizeof cell->set - used,
                                     "%s%s=%s", used ? " " : "", row->name, mine);
        }
    }
}

// Two cells alike would be two lines that nobody can tell apart.
static int refuse_twice(const struct expansion *expansion, const struct sb_cell *cell)
{
    const struct sb_plan *plan = expansion->builder->plan;
    for (const struct sb_cell *other = plan->cells; other < cell; other++) {
        if (other->workload == cell->workload && other->workers == cell->workers &&
            other->steps == cell->steps && strcmp(other->section, cell->section) == 0 &&
            (!cell->options || memcmp(other->options, cell->options,
                                      cell->workload->options_bytes) == 0)) {
            return sb_fail(expansion->builder->error, -EINVAL,
                           "%s: %s with %u workers%s%s is asked for twice",
                           expansion->section->where, cell->section, cell->workers,
                           cell->set[0] ? " and " : "", cell->set);
        }
    }
    return 0;
}

static int add_cell(struct expansion *expansion, uint32_t workers, uint64_t nth)
{
    struct sb_builder *builder = expansion->builder;
    struct sb_plan *plan = builder->plan;
    const struct sb_workload *workload = expansion->section->workload;
    if (plan->cells_count == SB_CELLS_MAX) {
        return sb_fail(builder->error, -E2BIG, "%s: more than %d cells",
                       expansion->section->where, SB_CELLS_MAX);
    }
    struct sb_cell *cell = &plan->cells[plan->cells_count];
    *cell = (struct sb_cell){.workload = workload, .workers = workers};
    snprintf(cell->section, sizeof cell->section, "%s", expansion->section->name);
    void *initial = NULL;
    int rc = 0;
    if (workload->options) {
        cell->options = calloc(1, workload->options_bytes);
        initial = calloc(1, workload->options_bytes);
        if (!cell->options || !initial) {
            rc = sb_fail(builder->error, -ENOMEM, "no memory for options");
            goto done;
        }
        sb_options_default(workload->options, cell->options);
        sb_options_default(workload->options, initial);
    }
    plan->cells_count++; // freed with the plan from here on, whatever happens
    for (uint32_t i = 0; i < expansion->axes_count && rc == 0; i++) {
        const struct axis *axis = &expansion->axes[i];
        rc = set_axis(cell, axis, axis->items[nth % axis->count], builder->error);
        nth /= axis->count;
    }
    if (rc == 0) {
        describe_set(cell, initial);
        rc = refuse_twice(expansion, cell);
    }
    if (rc == 0) {
        uint64_t live, shared, least = cell->steps ? cell->steps : 1;
        sb_cell_sizes(plan, cell, least, &live, &cell->segment_bytes, &shared);
        if (cell->segment_bytes < live) {
            rc = sb_fail(builder->error, -EINVAL,
                         "segment_bytes=%llu is too small: %s with %u workers may have "
                         "%llu bytes live",
                         (unsigned long long)cell->segment_bytes, workload->name,
                         workers, (unsigned long long)live);
        }
    }
done:
    if (cell == &plan->cells[plan->cells_count]) {
        free(cell->options);
    }
    free(initial);
    return rc;
}

static int expand_section(struct sb_builder *builder, const struct sb_section *section)
{
    struct expansion *expansion = calloc(1, sizeof *expansion);
    if (!expansion) {
        return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    }
    expansion->builder = builder;
    expansion->section = section;
    int rc = choose_workers(expansion);
    if (rc == 0) {
        rc = choose_axes(expansion);
    }
    uint64_t product = 1;
    for (uint32_t i = 0; i < expansion->axes_count && product <= SB_CELLS_MAX; i++) {
        product *= expansion->axes[i].count;
    }
    if (rc == 0 && product > SB_CELLS_MAX) {
        rc = sb_fail(builder->error, -E2BIG, "%s: more than %d cells", section->where,
                     SB_CELLS_MAX);
    }
    for (uint64_t nth = 0; nth < product && rc == 0; nth++) {
        for (uint32_t i = 0; i < expansion->workers_count && rc == 0; i++) {
            rc = add_cell(expansion, expansion->workers[i], nth);
        }
    }
    for (uint32_t i = 0; i < expansion->axes_count; i++) {
        sb_sweep_free(expansion->axes[i].items, expansion->axes[i].count);
    }
    free(expansion);
    return rc;
}

// Puts the sets of the command line (workload.key=value) over those of the sections.
static int apply_sets(struct sb_builder *builder)
{
    for (uint32_t i = 0; i < builder->workload_sets.count; i++) {
        const struct sb_word *word = &builder->workload_sets.all[i];
        bool found = false;
        for (uint32_t at = 0; at < builder->sections_count; at++) {
            struct sb_section *section = &builder->sections[at];
            if (strcmp(section->workload->name, word->owner) != 0 &&
                strcmp(section->name, word->owner) != 0) {
                continue;
            }
            found = true;
            int rc = sb_words_put(&section->words, NULL, word->key, word->value,
                                  word->where, builder->error);
            if (rc != 0) {
                return rc;
            }
        }
        if (!found) {
            return sb_fail(builder->error, -EINVAL,
                           "%s: workload %s is not part of this run", word->where,
                           word->owner);
        }
    }
    return 0;
}

int sb_builder_make_cells(struct sb_builder *builder)
{
    builder->plan->cells = calloc(SB_CELLS_MAX, sizeof *builder->plan->cells);
    if (!builder->plan->cells) {
        return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    }
    int rc = apply_sets(builder);
    for (uint32_t i = 0; i < builder->sections_count && rc == 0; i++) {
        rc = expand_section(builder, &builder->sections[i]);
    }
    return rc;
}

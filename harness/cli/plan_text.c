// SPDX-License-Identifier: MIT
// --show-plan: see plan_text.h.
#include "harness/cli/plan_text.h"

#include <inttypes.h>
#include <string.h>

#include "harness/base/text.h"

static void print_settings(FILE *file, const struct sb_plan *plan)
{
    fprintf(file, "settings");
    for (const struct sb_option *row = sb_settings_options; row->name != NULL; row++) {
        char text[64];
        sb_option_text(row, &plan->settings, text, sizeof text);
        fprintf(file, " %s=%s", row->name, text);
    }
    fputc('\n', file);
}

static void print_arms(FILE *file, const struct sb_plan *plan)
{
    fprintf(file, "arms\n");
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        const struct sb_arm *arm = &plan->arms[i];
        bool missing = arm->missing[0] != '\0';
        fprintf(file, "  %-20s %s%s%s\n", arm->label, missing ? "n/a: " : "",
                missing ? arm->missing : arm->version,
                arm->control ? " (A/A copy of the first)" : "");
    }
}

static void print_cell(FILE *file, const struct sb_plan *plan,
                       const struct sb_cell *cell)
{
    char bytes[SB_FORMAT_BYTES];
    fprintf(file, "  %-20s %u workers, segment %s%s%s\n", cell->section, cell->workers,
            cell->segment_bytes > 0
                ? sb_format_bytes((double)cell->segment_bytes, bytes, sizeof bytes)
                : "by its steps",
            cell->set[0] != '\0' ? ", " : "", cell->set);
    for (uint32_t i = 0; i < plan->arms_count; i++) {
        if (cell->pairings[i].na && plan->arms[i].missing[0] == '\0') {
            fprintf(file, "    n/a: %s: %s\n", plan->arms[i].label,
                    cell->pairings[i].reason);
        }
    }
}

void sb_plan_print(FILE *file, const struct sb_plan *plan)
{
    uint64_t trials, total_ns;
    char text[SB_FORMAT_BYTES];
    sb_plan_expect(plan, &trials, &total_ns);
    fprintf(file,
            "plan %s: %u cells x %u arms, about %" PRIu64
            " trials and %s (before calibration)\n",
            plan->profile, plan->cells_count, plan->arms_count, trials,
            sb_format_ns((double)total_ns, text, sizeof text));
    print_settings(file, plan);
    print_arms(file, plan);
    fprintf(file, "cells\n");
    for (uint32_t i = 0; i < plan->cells_count; i++) {
        print_cell(file, plan, &plan->cells[i]);
    }
}

// SPDX-License-Identifier: MIT
// The table in README.md is what the descriptors say, and the profiles in jobs/ name
// only what there is.
//
// Built on: workloads.h, base/ini.h. Why this way: with SB_UPDATE_DOCS set in the
// environment the table is written instead of compared, so that nobody edits it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/ini.h"
#include "workloads/workloads.h"

static const char begins[] = "<!-- made from the descriptors: begin -->\n";
static const char ends[] = "<!-- made from the descriptors: end -->\n";

static void write_options(FILE *out, const struct sb_workload *workload)
{
    fprintf(out, "\n| option | unit | initial | what |\n| --- | --- | --- | --- |\n");
    for (const struct sb_option *row = workload->options; row->name != NULL; row++) {
        fprintf(out, "| `%s` | ", row->name);
        if (row->type == SB_CHOICE) {
            for (uint32_t i = 0; row->choices[i] != NULL; i++) {
                fprintf(out, "%s%s", i > 0 ? ", " : "", row->choices[i]);
            }
        } else {
            fprintf(out, "%s", sb_type_name(row->type));
        }
        fprintf(out, " | %s | %s |\n", row->initial, row->summary);
    }
}

static void write_table(FILE *out)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } needs[] = {{SB_NEED_EXCHANGE, "exchange of blocks"},
                 {SB_NEED_CONTENTS, "contents"},
                 {SB_CAP_SHARE, "SHARE"},
                 {SB_CAP_COMPACT, "COMPACT"},
                 {SB_CAP_PIN, "PIN"}};
    fprintf(out, "| workload | what it does | workers | needs |\n");
    fprintf(out, "| --- | --- | --- | --- |\n");
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        const struct sb_workload *each = sb_workloads[i];
        fprintf(out, "| `%s` | %s | from %u |", each->name, each->summary,
                each->workers_least);
        uint32_t left = each->needs;
        for (size_t j = 0; j < sizeof needs / sizeof *needs; j++) {
            if ((each->needs & needs[j].bit) != 0) {
                fprintf(out, "%s %s", left != each->needs ? "," : "", needs[j].word);
                left &= ~needs[j].bit;
            }
        }
        assert_int_equal(left, 0);
        fprintf(out, "%s |\n", each->needs != 0 ? "" : " nothing");
    }
    for (uint32_t i = 0; sb_workloads[i] != NULL; i++) {
        const struct sb_workload *each = sb_workloads[i];
        fprintf(out, "\n### %s\n\n", each->name);
        fprintf(out, "- Stresses: %s.\n- Does not show: %s.\n- Source: %s.\n",
                each->stresses, each->not_shown, each->source);
        write_options(out, each);
    }
}

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t bytes = fread(text, 1, (1 << 20) - 1, file);
    assert_true(bytes > 0);
    fclose(file);
    return text;
}

static void readme_is_up_to_date(void **state)
{
    (void)state;
    char *wanted = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&wanted, &bytes);
    write_table(out);
    fclose(out);

    char *text = read_whole(SB_WORKLOADS_DIR "/README.md");
    char *begin = strstr(text, begins), *end = strstr(text, ends);
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen(begins);
    bool same = (size_t)(end - begin) == bytes && memcmp(begin, wanted, bytes) == 0;
    if (!same && getenv("SB_UPDATE_DOCS") != NULL) {
        FILE *file = fopen(SB_WORKLOADS_DIR "/README.md", "w");
        assert_non_null(file);
        fprintf(file, "%.*s%s%s", (int)(begin - text), text, wanted, end);
        fclose(file);
    } else if (!same) {
        fail_msg("workloads/README.md is not what the descriptors say; run this test "
                 "with SB_UPDATE_DOCS=1 in the environment");
    }
    free(text);
    free(wanted);
}

// Parses every item of a key's sweep as the workload would.
static void assert_parses(const struct sb_workload *workload,
                          const struct sb_ini_entry *entry)
{
    uint64_t values[32] = {0};
    char **items = NULL;
    uint32_t count = 0;
    struct sb_error error = {0};
    assert_true(workload->options_bytes <= sizeof values);
    const struct sb_option *row = sb_option_find(workload->options, entry->key);
    if (row == NULL) {
        fail_msg("line %u: %s has no option %s", entry->line, workload->name,
                 entry->key);
        return;
    }
    assert_int_equal(sb_sweep_expand(row->type, entry->value, &items, &count, &error),
                     0);
    for (uint32_t i = 0; i < count; i++) {
        if (sb_option_set(workload->options, values, entry->key, items[i], &error) !=
            0) {
            fail_msg("line %u: %s", entry->line, error.text);
        }
    }
    sb_sweep_free(items, count);
}

// Counts the workloads that a profile uses; all of its words are known.
static uint32_t check_profile(const char *name)
{
    char path[512];
    struct sb_ini ini;
    struct sb_error error = {0};
    uint64_t used = 0;
    snprintf(path, sizeof path, "%s/jobs/%s.ini", SB_WORKLOADS_DIR, name);
    if (sb_ini_read(path, &ini, &error) != 0) {
        fail_msg("%s", error.text);
    }
    for (uint32_t i = 0; i < ini.sections_count; i++) {
        const struct sb_ini_section *section = &ini.sections[i];
        if (strcmp(section->name, "global") == 0) {
            continue; // the runner's words: its tests read the same files
        }
        const char *named = section->name;
        for (uint32_t j = 0; j < section->entries_count; j++) {
            if (strcmp(section->entries[j].key, "workload") == 0) {
                named = section->entries[j].value;
            }
        }
        const struct sb_workload *workload = NULL;
        if (sb_workload_find(named, &workload, &error) != 0) {
            fail_msg("%s:%u: %s", path, section->line, error.text);
        }
        for (uint32_t j = 0; sb_workloads[j] != NULL; j++) {
            used |= (uint64_t)(sb_workloads[j] == workload) << j;
        }
        for (uint32_t j = 0; j < section->entries_count; j++) {
            const struct sb_ini_entry *entry = &section->entries[j];
            if (strcmp(entry->key, "workload") != 0 &&
                strcmp(entry->key, "workers") != 0 &&
                strcmp(entry->key, "steps") != 0) {
                assert_parses(workload, entry);
            }
        }
    }
    sb_ini_free(&ini);
    return (uint32_t)__builtin_popcountll(used);
}

static void profiles_name_what_there_is(void **state)
{
    (void)state;
    uint32_t all = 0;
    while (sb_workloads[all] != NULL) {
        all++;
    }
    // Smoke and full leave nothing out.
    assert_int_equal(check_profile("smoke"), all);
    assert_int_equal(check_profile("full"), all);
    assert_true(check_profile("quick") > 0);
    assert_true(check_profile("ci") > 0);
    assert_true(check_profile("soak") > 0);
    assert_true(check_profile("bounds") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readme_is_up_to_date),
        cmocka_unit_test(profiles_name_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
// Job files and the command line, collected into sections that await expansion.
//
// Built on: builder.h, base/ini.h, workloads/workloads.h. Concurrency: one thread.
// Format: [global] holds settings (sb_settings_options), subjects=, workload=, workers=
//   and subject.key=; any other section is a workload by its name or by workload=, with
//   workers=, steps= and the workload's own options, each of which may be a sweep.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/builder.h"
#include "workloads/workloads.h"

int sb_word_say(char **text, char *where, const char *value, const char *place)
{
    char *copy = strdup(value);
    if (!copy) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    snprintf(where, SB_WHERE_BYTES, "%s", place);
    return 0;
}

int sb_words_put(struct sb_words *words, const char *owner, const char *key,
                 const char *value, const char *where, struct sb_error *error)
{
    struct sb_word *word = NULL;
    for (uint32_t i = 0; i < words->count && !word; i++) {
        struct sb_word *one = &words->all[i];
        bool same_owner = owner && one->owner ? strcmp(owner, one->owner) == 0
                                              : !owner && !one->owner;
        if (same_owner && strcmp(one->key, key) == 0) {
            word = one;
        }
    }
    if (!word) {
        if (words->count == SB_WORDS_MAX) {
            return sb_fail(error, -E2BIG, "%s: more than %d options", where,
                           SB_WORDS_MAX);
        }
        word = &words->all[words->count];
        char *own_key = strdup(key), *own_owner = owner ? strdup(owner) : NULL;
        if (!own_key || (owner && !own_owner)) {
            free(own_key);
            free(own_owner);
            return sb_fail(error, -ENOMEM, "no memory for the plan");
        }
        *word = (struct sb_word){.owner = own_owner, .key = own_key};
        words->count++;
    }
    int rc = sb_word_say(&word->value, word->where, value, where);
    return rc != 0 ? sb_fail(error, rc, "no memory for the plan") : 0;
}

void sb_words_free(struct sb_words *words)
{
    for (uint32_t i = 0; i < words->count; i++) {
        free(words->all[i].owner);
        free(words->all[i].key);
        free(words->all[i].value);
    }
    words->count = 0;
}

static int read_global(struct sb_builder *builder, const struct sb_ini *ini,
                       const struct sb_ini_section *global, char **workload,
                       char *workload_where)
{
    int rc = 0;
    for (uint32_t i = 0; i < global->entries_count && rc == 0; i++) {
        const struct sb_ini_entry *entry = &global->entries[i];
        char where[SB_WHERE_BYTES], owner[256];
        snprintf(where, sizeof where, "%.250s:%u", ini->path, entry->line);
        const char *dot = strrchr(entry->key, '.');
        if (dot) {
            snprintf(owner, sizeof owner, "%.*s", (int)(dot - entry->key), entry->key);
            rc = sb_words_put(&builder->subject_sets, owner, dot + 1, entry->value,
                              where, builder->error);
        } else if (strcmp(entry->key, "subjects") == 0) {
            rc = sb_word_say(&builder->subjects, builder->subjects_where, entry->value,
                             where);
        } else if (strcmp(entry->key, "workers") == 0) {
            rc = sb_word_say(&builder->workers, builder->workers_where, entry->value,
                             where);
        } else if (strcmp(entry->key, "workload") == 0) {
            rc = sb_word_say(workload, workload_where, entry->value, where);
        } else {
            rc = sb_option_set(sb_settings_options, &builder->plan->settings,
                               entry->key, entry->value, builder->error);
            if (rc != 0) {
                sb_fail_in(builder->error, rc, "%s", where);
            }
        }
    }
    return rc;
}

static int add_section(struct sb_builder *builder, const char *name, const char *where,
                       struct sb_section **added)
{
    size_t count = builder->sections_count + 1;
    void *grown = realloc(builder->sections, count * sizeof *builder->sections);
    if (!grown) {
        return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    }
    builder->sections = grown;
    struct sb_section *section = &builder->sections[builder->sections_count++];
    memset(section, 0, sizeof *section);
    snprintf(section->name, sizeof section->name, "%s", name);
    snprintf(section->where, sizeof section->where, "%s", where);
    *added = section;
    return 0;
}

static int read_section(struct sb_builder *builder, const struct sb_ini *ini,
                        const struct sb_ini_section *from, const char *workload,
                        const char *workload_where)
{
    char where[SB_WHERE_BYTES];
    snprintf(where, sizeof where, "%.250s:%u", ini->path, from->line);
    const char *named = workload ? workload : from->name;
    const char *named_where = workload ? workload_where : where;
    struct sb_section *section;
    int rc = add_section(builder, from->name, where, &section);
    for (uint32_t i = 0; i < from->entries_count && rc == 0; i++) {
        const struct sb_ini_entry *entry = &from->entries[i];
        char place[SB_WHERE_BYTES];
        snprintf(place, sizeof place, "%.250s:%u", ini->path, entry->line);
        if (strcmp(entry->key, "workload") == 0) {
            named = entry->value;
            snprintf(where, sizeof where, "%s", place);
            named_where = where;
        } else if (strcmp(entry->key, "workers") == 0) {
            section->workers_strict = true;
            rc = sb_word_say(&section->workers, section->workers_where, entry->value,
                             place);
        } else if (strchr(entry->key, '.')) {
            rc = sb_fail(builder->error, -EINVAL,
                         "%s: options of subjects (%s) belong into [global]", place,
                         entry->key);
        } else {
            rc = sb_words_put(&section->words, NULL, entry->key, entry->value, place,
                              builder->error);
        }
    }
    if (rc == 0) {
        rc = sb_workload_find(named, &section->workload, builder->error);
        if (rc != 0) {
            sb_fail_in(builder->error, rc, "%s", named_where);
        }
    }
    return rc;
}

int sb_builder_read_job(struct sb_builder *builder, const char *path)
{
    struct sb_ini ini;
    char *workload = NULL, workload_where[SB_WHERE_BYTES] = "";
    uint32_t before = builder->sections_count;
    int rc = sb_ini_read(path, &ini, builder->error);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < ini.sections_count && rc == 0; i++) {
        if (strcmp(ini.sections[i].name, "global") == 0) {
            rc =
                read_global(builder, &ini, &ini.sections[i], &workload, workload_where);
        }
    }
    for (uint32_t i = 0; i < ini.sections_count && rc == 0; i++) {
        if (strcmp(ini.sections[i].name, "global") != 0) {
            rc =
                read_section(builder, &ini, &ini.sections[i], workload, workload_where);
        }
    }
    if (rc == 0 && builder->sections_count == before) {
        rc = sb_fail(builder->error, -EINVAL, "%s: no section names a workload", path);
    }
    free(workload);
    sb_ini_free(&ini);
    return rc;
}

// Keeps the sections that `list` names, by section or by workload.
static int filter(struct sb_builder *builder, char *list)
{
    bool *kept = calloc(builder->sections_count, sizeof *kept);
    int rc = kept ? 0 : sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    char *rest = NULL;
    for (char *word = strtok_r(list, ", ", &rest); word && rc == 0;
         word = strtok_r(NULL, ", ", &rest)) {
        bool found = false;
        for (uint32_t i = 0; i < builder->sections_count; i++) {
            const struct sb_section *section = &builder->sections[i];
            if (strcmp(section->name, word) == 0 ||
                strcmp(section->workload->name, word) == 0) {
                kept[i] = found = true;
            }
        }
        const struct sb_workload *known;
        if (!found && sb_workload_find(word, &known, builder->error) == 0) {
            rc = sb_fail(builder->error, -ENOENT,
                         "workload %s is not in this job (run it without the job, or "
                         "add a section)",
                         word);
        } else if (!found) {
            rc = -ENOENT;
        }
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < builder->sections_count && rc == 0; i++) {
        if (kept[i]) {
            builder->sections[count++] = builder->sections[i];
        } else {
            sb_words_free(&builder->sections[i].words);
            free(builder->sections[i].workers);
        }
    }
    if (rc == 0) {
        builder->sections_count = count;
    }
    free(kept);
    return rc;
}

static int from_names(struct sb_builder *builder, char *list)
{
    char *rest = NULL;
    int rc = 0;
    for (char *word = strtok_r(list, ", ", &rest); word && rc == 0;
         word = strtok_r(NULL, ", ", &rest)) {
        struct sb_section *section;
        if (strcmp(word, "all") == 0) {
            for (size_t i = 0; sb_workloads[i] && rc == 0; i++) {
                rc = add_section(builder, sb_workloads[i]->name, "workload all",
                                 &section);
                if (rc == 0) {
                    section->workload = sb_workloads[i];
                }
            }
            continue;
        }
        const struct sb_workload *workload;
        rc = sb_workload_find(word, &workload, builder->error);
        if (rc == 0) {
            rc = add_section(builder, word, "workload", &section);
        }
        if (rc == 0) {
            section->workload = workload;
        }
    }
    return rc;
}

int sb_builder_choose(struct sb_builder *builder)
{
    const struct sb_request *request = builder->request;
    if (!request->workloads && request->jobs_count == 0) {
        return sb_fail(builder->error, -EINVAL,
                       "nothing to run: name a profile, a job file or a workload");
    }
    if (!request->workloads) {
        return 0;
    }
    char *list = strdup(request->workloads);
    if (!list) {
        return sb_fail(builder->error, -ENOMEM, "no memory for the plan");
    }
    int rc = request->jobs_count ? filter(builder, list) : from_names(builder, list);
    free(list);
    if (rc == 0 && builder->sections_count == 0) {
        rc = sb_fail(builder->error, -EINVAL, "no workload is named");
    }
    return rc;
}

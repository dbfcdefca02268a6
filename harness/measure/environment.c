// SPDX-License-Identifier: MIT
// The list of facts and its hash: see environment.h.
#include "harness/measure/environment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/measure/facts.h"

static struct sb_fact *add_fact(struct sb_environment *environment, const char *name,
                                enum sb_belongs belongs)
{
    if (environment->count == SB_FACTS_MAX) {
        return NULL;
    }
    struct sb_fact *fact = &environment->facts[environment->count++];
    *fact = (struct sb_fact){.name = name, .identity = belongs == SB_IDENTITY};
    return fact;
}

void sb_fact_text(struct sb_environment *environment, const char *name,
                  enum sb_belongs belongs, const char *format, ...)
{
    struct sb_fact *fact = add_fact(environment, name, belongs);
    if (fact == NULL) {
        return;
    }
    va_list list;
    va_start(list, format);
    vsnprintf(fact->value, sizeof(fact->value), format, list);
    va_end(list);
    if (fact->value[0] == '\0') {
        strcpy(fact->value, "unknown");
    }
}

void sb_fact_number(struct sb_environment *environment, const char *name,
                    enum sb_belongs belongs, double value)
{
    struct sb_fact *fact = add_fact(environment, name, belongs);
    if (fact != NULL) {
        fact->number = true;
        union sb_number number = {.ratio = value};
        sb_number_text(SB_RATIO, number, fact->value, sizeof(fact->value));
    }
}

void sb_fact_file(struct sb_environment *environment, const char *name,
                  enum sb_belongs belongs, const char *path)
{
    char text[128] = "";
    if (sb_file_read(path, text, sizeof(text)) != 0) {
        text[0] = '\0';
    }
    text[strcspn(text, "\n")] = '\0';
    sb_fact_text(environment, name, belongs, "%s", text);
}

void sb_fact_warn(struct sb_environment *environment, const char *format, ...)
{
    struct sb_fact *fact = &environment->facts[environment->count - 1];
    va_list list;
    va_start(list, format);
    vsnprintf(fact->warning, sizeof(fact->warning), format, list);
    va_end(list);
}

bool sb_file_value(const char *path, const char *key, char *value, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    char line[2048];
    bool found = false;
    size_t letters = strlen(key);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        const char *after = line + letters;
        if (strncmp(line, key, letters) == 0 && strchr(" \t:=", *after) != NULL) {
            after += strspn(after, " \t:=");
            snprintf(value, bytes, "%.*s", (int)strcspn(after, "\n"), after);
            found = true;
        }
    }
    fclose(file);
    return found;
}

bool sb_file_chosen(const char *path, char *word, size_t bytes)
{
    char text[256];
    if (sb_file_read(path, text, sizeof(text)) != 0) {
        return false;
    }
    const char *open = strchr(text, '[');
    if (open == NULL || strchr(open, ']') == NULL) {
        return false;
    }
    snprintf(word, bytes, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
    return true;
}

bool sb_file_number(const char *path, double *value)
{
    char text[128];
    if (sb_file_read(path, text, sizeof(text)) != 0) {
        return false;
    }
    char *end;
    double parsed = strtod(text, &end);
    if (end == text || (*end != '\0' && *end != ' ' && *end != '\n')) {
        return false;
    }
    *value = parsed;
    return true;
}

// FNV-1a: equality is all that is asked of the hash, and nobody attacks it.
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash;
}

static void hash_identity(struct sb_environment *environment)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < environment->count; i++) {
        const struct sb_fact *fact = &environment->facts[i];
        if (fact->identity) {
            hash = hash_text(hash, fact->name);
            hash = hash_text(hash, "=");
            hash = hash_text(hash, fact->value);
            hash = hash_text(hash, "\n");
        }
    }
    snprintf(environment->hash, sizeof(environment->hash), "%016llx",
             (unsigned long long)hash);
}

void sb_environment_read(struct sb_environment *environment)
{
    memset(environment, 0, sizeof(*environment));
    sb_facts_cpu(environment);
    sb_facts_clock(environment);
    sb_facts_kernel(environment);
    sb_facts_memory(environment);
    sb_facts_container(environment);
    sb_facts_build(environment);
    sb_facts_noise(environment);
    hash_identity(environment);
}

const struct sb_fact *sb_environment_find(const struct sb_environment *environment,
                                          const char *name)
{
    for (uint32_t i = 0; i < environment->count; i++) {
        if (strcmp(environment->facts[i].name, name) == 0) {
            return &environment->facts[i];
        }
    }
    return NULL;
}

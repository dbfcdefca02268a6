// SPDX-License-Identifier: MIT
// Job files: see ini.h.
#include "harness/base/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INI_BYTES_MAX = 1 << 20 };

static int complain(const struct sb_ini *ini, uint32_t line, struct sb_error *error,
                    const char *what, const char *word)
{
    return sb_fail(error, -EINVAL, "%s:%u: %s '%.120s'", ini->path, line, what, word);
}

static int read_text(const char *path, char **text, size_t *bytes,
                     struct sb_error *error)
{
    int rc = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sb_fail(error, -errno, "%s: %s", path, strerror(errno));
    }
    // One byte more than allowed tells a file that is too large; one for the end.
    char *buffer = malloc(INI_BYTES_MAX + 2);
    if (buffer == NULL) {
        rc = sb_fail(error, -ENOMEM, "%s: no memory to read it", path);
        goto out_file;
    }
    errno = 0;
    size_t got = fread(buffer, 1, INI_BYTES_MAX + 1, file);
    if (ferror(file)) {
        int why = errno;
        rc = why > 0 ? -why : -EIO;
        sb_fail(error, rc, "%s: %s", path, strerror(-rc));
        goto out_buffer;
    }
    if (got > INI_BYTES_MAX) {
        rc = sb_fail(error, -EFBIG, "%s: over 1 MiB, which no job file is", path);
        goto out_buffer;
    }
    buffer[got] = '\0';
    *text = buffer;
    *bytes = got;
    buffer = NULL;
out_buffer:
    free(buffer);
out_file:
    fclose(file);
    return rc;
}

// Cuts spaces off both ends and the comment off the right one, in place.
static char *trim(char *line)
{
    for (char *c = line; *c != '\0'; c++) {
        bool starts = c == line || isspace((unsigned char)c[-1]);
        if (starts && (*c == '#' || *c == ';')) {
            *c = '\0';
            break;
        }
    }
    while (isspace((unsigned char)*line)) {
        line++;
    }
    char *end = line + strlen(line);
    while (end > line && isspace((unsigned char)end[-1])) {
        end--;
    }
    *end = '\0';
    return line;
}

static bool is_key(const char *key)
{
    for (const char *c = key; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("_-.", *c) == NULL) {
            return false;
        }
    }
    return *key != '\0';
}

// Room for one more item; NULL leaves the array as it is.
static void *grow(void *array, uint32_t count, size_t item_bytes)
{
    return realloc(array, ((size_t)count + 1) * item_bytes);
}

static int add_section(struct sb_ini *ini, char *line, uint32_t number,
                       struct sb_error *error)
{
    size_t letters = strlen(line);
    if (line[letters - 1] != ']' || letters < 3) {
        return complain(ini, number, error, "a section is [name], this is", line);
    }
    line[letters - 1] = '\0';
    char *name = trim(line + 1);
    if (*name == '\0' || strpbrk(name, "[]") != NULL) {
        return complain(ini, number, error, "a section cannot be called", name);
    }
    for (uint32_t i = 0; i < ini->sections_count; i++) {
        if (strcmp(ini->sections[i].name, name) == 0) {
            return sb_fail(error, -EINVAL,
                           "%s:%u: section [%.80s] stands already in line %u",
                           ini->path, number, name, ini->sections[i].line);
        }
    }
    struct sb_ini_section *grown =
        grow(ini->sections, ini->sections_count, sizeof(*grown));
    if (grown == NULL) {
        return sb_fail(error, -ENOMEM, "%s:%u: no memory", ini->path, number);
    }
    grown[ini->sections_count++] =
        (struct sb_ini_section){.name = name, .line = number};
    ini->sections = grown;
    return 0;
}

static int add_entry(struct sb_ini *ini, char *line, uint32_t number,
                     struct sb_error *error)
{
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return complain(ini, number, error, "neither [section] nor key=value:", line);
    }
    *equals = '\0';
    char *key = trim(line), *value = trim(equals + 1);
    if (!is_key(key)) {
        return complain(ini, number, error, "this is no key:", key);
    }
    if (*value == '\0') {
        return complain(ini, number, error, "no value for", key);
    }
    if (ini->sections_count == 0) {
        return complain(ini, number, error, "no [section] stands before", key);
    }
    struct sb_ini_section *section = &ini->sections[ini->sections_count - 1];
    for (uint32_t i = 0; i < section->entries_count; i++) {
        if (strcmp(section->entries[i].key, key) == 0) {
            return sb_fail(error, -EINVAL, "%s:%u: %.80s stands already in line %u",
                           ini->path, number, key, section->entries[i].line);
        }
    }
    struct sb_ini_entry *grown =
        grow(section->entries, section->entries_count, sizeof(*grown));
    if (grown == NULL) {
        return sb_fail(error, -ENOMEM, "%s:%u: no memory", ini->path, number);
    }
    grown[section->entries_count++] = (struct sb_ini_entry){key, value, number};
    section->entries = grown;
    return 0;
}

static int parse_text(struct sb_ini *ini, size_t bytes, struct sb_error *error)
{
    char *next = ini->text, *end = ini->text + bytes;
    for (uint32_t number = 1; next < end; number++) {
        char *line = next;
        char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline != NULL ? newline + 1 : end;
        if (newline != NULL) {
            *newline = '\0';
        }
        if (strlen(line) < (size_t)(next - line) - (newline != NULL)) {
            return complain(ini, number, error, "a zero byte follows", line);
        }
        line = trim(line);
        if (*line == '\0') {
            continue;
        }
        int rc = *line == '[' ? add_section(ini, line, number, error)
                              : add_entry(ini, line, number, error);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int sb_ini_read(const char *path, struct sb_ini *ini, struct sb_error *error)
{
    struct sb_ini made = {0};
    size_t bytes = 0;
    int rc = read_text(path, &made.text, &bytes, error);
    if (rc != 0) {
        return rc;
    }
    if (strncmp(made.text, "\xef\xbb\xbf", 3) == 0) {
        memset(made.text, ' ', 3); // the mark that some editors put before UTF-8
    }
    made.path = strdup(path);
    if (made.path == NULL) {
        rc = sb_fail(error, -ENOMEM, "%s: no memory to read it", path);
        goto fail;
    }
    rc = parse_text(&made, bytes, error);
    if (rc != 0) {
        goto fail;
    }
    *ini = made;
    return 0;
fail:
    sb_ini_free(&made);
    return rc;
}

void sb_ini_free(struct sb_ini *ini)
{
    for (uint32_t i = 0; i < ini->sections_count; i++) {
        free(ini->sections[i].entries);
    }
    free(ini->sections);
    free(ini->path);
    free(ini->text);
    *ini = (struct sb_ini){0};
}

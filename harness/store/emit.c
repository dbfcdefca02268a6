// SPDX-License-Identifier: MIT
// JSON as it is written: see emit.h.
#include "harness/store/emit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/subject.h"

static void append(struct sb_emit *emit, const char *bytes, size_t length)
{
    if (emit->failed) {
        return;
    }
    if (emit->length + length + 1 > emit->capacity) {
        size_t capacity = emit->capacity > 0 ? emit->capacity : 4096;
        while (capacity < emit->length + length + 1) {
            capacity *= 2;
        }
        char *text = realloc(emit->text, capacity);
        if (text == NULL) {
            emit->failed = true;
            return;
        }
        emit->text = text;
        emit->capacity = capacity;
    }
    memcpy(emit->text + emit->length, bytes, length);
    emit->length += length;
    emit->text[emit->length] = '\0';
}

static void append_text(struct sb_emit *emit, const char *text)
{
    append(emit, text, strlen(text));
}

// The length of the UTF-8 sequence at `text` (RFC 3629: no surrogates, no overlong
// forms), or 0 where there is none.
static size_t utf8_length(const unsigned char *text)
{
    unsigned char first = text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xf0 && first <= 0xf4 ? 4
                                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) {
        return 0;
    }
    return length;
}

static void append_quoted(struct sb_emit *emit, const char *value)
{
    append_text(emit, "\"");
    const unsigned char *at = (const unsigned char *)value;
    while (*at != '\0') {
        size_t length = utf8_length(at);
        if (length == 0) {
            append_text(emit, "\xef\xbf\xbd");
            at++;
            continue;
        }
        if (*at == '"' || *at == '\\') {
            char escaped[2] = {'\\', (char)*at};
            append(emit, escaped, sizeof escaped);
        } else if (*at < 0x20) {
            char escaped[8];
            snprintf(escaped, sizeof escaped, "\\u%04x", *at);
            append_text(emit, escaped);
        } else {
            append(emit, (const char *)at, length);
        }
        at += length;
    }
    append_text(emit, "\"");
}

static void new_line(struct sb_emit *emit)
{
    if (!emit->pretty) {
        return;
    }
    append_text(emit, "\n");
    for (uint32_t i = 0; i < emit->depth; i++) {
        append_text(emit, "  ");
    }
}

// What stands before each value: comma, line, key.
static void begin_value(struct sb_emit *emit, const char *key)
{
    if (emit->comma) {
        append_text(emit, ",");
    }
    if (emit->depth > 0) {
        new_line(emit);
    }
    if (key != NULL) {
        append_quoted(emit, key);
        append_text(emit, emit->pretty ? ": " : ":");
    }
    emit->comma = true;
}

void sb_emit_open(struct sb_emit *emit, const char *key, char bracket)
{
    begin_value(emit, key);
    append(emit, &bracket, 1);
    emit->depth++;
    emit->comma = false;
}

void sb_emit_close(struct sb_emit *emit, char bracket)
{
    emit->depth--;
    if (emit->comma) {
        new_line(emit);
    }
    append(emit, &bracket, 1);
    emit->comma = true;
}

void sb_emit_string(struct sb_emit *emit, const char *key, const char *value)
{
    begin_value(emit, key);
    if (value == NULL) {
        append_text(emit, "null");
    } else {
        append_quoted(emit, value);
    }
}

void sb_emit_whole(struct sb_emit *emit, const char *key, uint64_t value)
{
    char text[24];
    begin_value(emit, key);
    snprintf(text, sizeof text, "%" PRIu64, value);
    append_text(emit, text);
}

void sb_emit_known(struct sb_emit *emit, const char *key, uint64_t value)
{
    if (value == SB_UNKNOWN) {
        sb_emit_null(emit, key);
    } else {
        sb_emit_whole(emit, key, value);
    }
}

void sb_emit_signed(struct sb_emit *emit, const char *key, int64_t value)
{
    char text[24];
    begin_value(emit, key);
    snprintf(text, sizeof text, "%" PRId64, value);
    append_text(emit, text);
}

void sb_emit_real(struct sb_emit *emit, const char *key, double value)
{
    char text[40];
    begin_value(emit, key);
    snprintf(text, sizeof text, "%.15g", value);
    append_text(emit, isfinite(value) ? text : "null");
}

void sb_emit_ns(struct sb_emit *emit, const char *key, double value)
{
    sb_emit_real(emit, key, value < 1000 ? round(value * 10) / 10 : round(value));
}

void sb_emit_bool(struct sb_emit *emit, const char *key, bool value)
{
    begin_value(emit, key);
    append_text(emit, value ? "true" : "false");
}

void sb_emit_null(struct sb_emit *emit, const char *key)
{
    begin_value(emit, key);
    append_text(emit, "null");
}

static void option_value(struct sb_emit *emit, const struct sb_option *row,
                         const void *values)
{
    const char *at = (const char *)values + row->offset;
    switch (row->type) {
    case SB_COUNT:
    case SB_BYTES:
    case SB_NS:
        sb_emit_whole(emit, row->name, *(const uint64_t *)(const void *)at);
        return;
    case SB_RATIO:
        sb_emit_real(emit, row->name, *(const double *)(const void *)at);
        return;
    case SB_FLAG:
        sb_emit_bool(emit, row->name, *(const bool *)at);
        return;
    case SB_CHOICE:
        sb_emit_string(emit, row->name,
                       row->choices[*(const uint32_t *)(const void *)at]);
        return;
    }
}

void sb_emit_options(struct sb_emit *emit, const char *key,
                     const struct sb_option *table, const void *values)
{
    sb_emit_open(emit, key, '{');
    if (table != NULL && values != NULL) {
        for (const struct sb_option *row = table; row->name != NULL; row++) {
            option_value(emit, row, values);
        }
    }
    sb_emit_close(emit, '}');
}

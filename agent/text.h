/*
 * text.h - a growing text, for SQL and JSON.
 */
#ifndef WALHOUSE_AGENT_TEXT_H
#define WALHOUSE_AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Appending after a failed allocation does nothing: check failed once, at the end. */
typedef struct Text {
    char *data; /* zero-terminated, NULL while nothing was appended; text_free() it */
    size_t size;
    size_t capacity;
    bool failed;
} Text;

void text_append(Text *text, const char *data, size_t size);
__attribute__((format(printf, 2, 3))) void text_appendf(Text *text, const char *format, ...);
/* A ClickHouse identifier in backticks; a ClickHouse string literal in quotes. */
void text_append_identifier(Text *text, const char *name, size_t size);
void text_append_literal(Text *text, const char *value, size_t size);
/* Two digits a byte. */
void text_append_hex(Text *text, const void *bytes, size_t size);
/* What base64Decode() reads: four characters for three bytes, whatever they are. */
void text_append_base64(Text *text, const char *bytes, size_t size);
/* To standard output; what would move a terminal's cursor is shown as \xHH. */
void text_print(const char *data, size_t size);
/* Empties it and keeps its memory. */
void text_clear(Text *text);
void text_free(Text *text);

#endif

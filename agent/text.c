/*
 * text.c - a growing text; see text.h.
 */
#include "agent/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for size more bytes and a zero. */
static bool reserve(Text *text, size_t size)
{
    size_t capacity = text->capacity ? text->capacity : 256;
    char *grown;

    if (text->failed)
        return false;
    while (capacity < text->size + size + 1)
        capacity *= 2;
    if (capacity == text->capacity)
        return true;
    grown = realloc(text->data, capacity);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->data = grown;
    text->capacity = capacity;
    return true;
}

void text_append(Text *text, const char *data, size_t size)
{
    if (!reserve(text, size))
        return;
    if (size > 0)
        memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void text_appendf(Text *text, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) {
        text->failed = true;
        return;
    }
    if (!reserve(text, (size_t)size))
        return;
    va_start(arguments, format);
    (void)vsnprintf(text->data + text->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}

/* ClickHouse reads backslash escapes in both quoted identifiers and literals. */
static void append_quoted(Text *text, char quote, const char *data, size_t size)
{
    text_append(text, &quote, 1);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == quote || data[i] == '\\' || data[i] == '\0')
            text_append(text, "\\", 1);
        text_append(text, data[i] ? data + i : "0", 1);
    }
    text_append(text, &quote, 1);
}

void text_append_identifier(Text *text, const char *name, size_t size)
{
    append_quoted(text, '`', name, size);
}

void text_append_literal(Text *text, const char *value, size_t size)
{
    append_quoted(text, '\'', value, size);
}

void text_append_hex(Text *text, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text_appendf(text, "%02x", ((const uint8_t *)bytes)[i]);
}

void text_append_base64(Text *text, const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)(uint8_t)bytes[i] << 16 |
                         (left > 1 ? (uint32_t)(uint8_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)(uint8_t)bytes[i + 2] : 0);
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=', left > 2 ? digits[three & 63] : '='};

        text_append(text, four, sizeof four);
    }
}

void text_print(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        bool is_c1 = c == 0xc2 && i + 1 < size && (unsigned char)data[i + 1] < 0xa0;

        if (c < 0x20 || c == 0x7f || is_c1)
            (void)printf("\\x%02X", c);
        else
            (void)putchar(c);
    }
}

void text_clear(Text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->data)
        text->data[0] = '\0';
}

void text_free(Text *text)
{
    free(text->data);
    *text = (Text){0};
}

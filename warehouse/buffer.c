/* buffer.c - growable bytes, and the quoting of what goes into a statement. */
#include "warehouse/buffer.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for more bytes and the closing zero. */
static bool reserve(struct buffer *b, size_t more)
{
    size_t needed = b->length + more + 1;
    size_t capacity;
    char *data;

    if (needed <= more || (b->limit != 0 && b->length + more > b->limit))
        return false;
    if (needed <= b->capacity)
        return true;
    capacity = needed < 256 ? 256 : needed + needed / 2;
    data = realloc(b->data, capacity);
    if (data == NULL)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *b, const void *data, size_t bytes)
{
    if (b->failed)
        return;
    if (!reserve(b, bytes)) {
        b->failed = true;
        return;
    }
    if (bytes > 0)
        memcpy(b->data + b->length, data, bytes);
    b->length += bytes;
    b->data[b->length] = '\0';
}

void buffer_append_text(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

static void append_quoted(struct buffer *b, const char *text, char quote)
{
    buffer_append(b, &quote, 1);
    for (; *text != '\0'; text++) {
        if (*text == quote || *text == '\\')
            buffer_append(b, "\\", 1);
        buffer_append(b, text, 1);
    }
    buffer_append(b, &quote, 1);
}

void buffer_append_identifier(struct buffer *b, const char *name)
{
    append_quoted(b, name, '`');
}

void buffer_append_string(struct buffer *b, const char *text)
{
    append_quoted(b, text, '\'');
}

void buffer_clear(struct buffer *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.limit = b->limit};
}

/* A growable run of bytes with a limit. The holder owns it: buffer_free when done. */
#ifndef WAREHOUSE_BUFFER_H
#define WAREHOUSE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* NULL while empty; always one byte more than length is allocated, and that byte is 0 */
    size_t length;
    size_t capacity;
    bool failed;  /* sticky: memory ran out, or an append passed the limit; the content is then incomplete */
    size_t limit; /* bytes; 0 is none */
};

void buffer_append(struct buffer *b, const void *data, size_t bytes);
void buffer_append_text(struct buffer *b, const char *text);
/* `name` with ClickHouse's quoting of identifiers, and 'text' with its quoting of strings. */
void buffer_append_identifier(struct buffer *b, const char *name);
void buffer_append_string(struct buffer *b, const char *text);
/* Forgets the content and keeps the memory. */
void buffer_clear(struct buffer *b);
void buffer_free(struct buffer *b);

#endif

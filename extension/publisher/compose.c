/*
 * compose.c - head, lists and body into one run of bytes; see compose.h.
 */
#include "compose.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY 65536u

void compose_buffer_free(ComposeBuffer *buffer)
{
    free(buffer->data);
    *buffer = (ComposeBuffer){0};
}

static bool make_room(ComposeBuffer *buffer, size_t size, Failure *failure)
{
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    uint8_t *data;

    if (size <= buffer->capacity)
        return true;
    if (size > COMPOSE_BYTES_MAX)
        return failure_set(failure, "it takes %zu bytes, and a message at most %u", size, COMPOSE_BYTES_MAX);
    while (capacity < size)
        capacity *= 2;
    data = realloc(buffer->data, capacity);
    if (data == NULL)
        return failure_set(failure, "out of memory for %zu bytes", capacity);
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool compose_event(ComposeBuffer *buffer, const WhChunkItem *item, uint16_t epoch, WhSlice *key,
                   WhSlice *value, Failure *failure)
{
    WhEvent event = item->event;
    WhWriter w;

    if (!make_room(buffer, compose_size(item), failure))
        return false;
    w = wh_writer(buffer->data, buffer->capacity);
    event.epoch = epoch;
    wh_event_put(&w, &event);
    assert(!w.full);
    *key = (WhSlice){item->key_size ? event.body.data : NULL, item->key_size};
    *value = (WhSlice){w.data, w.length};
    return true;
}

/*
 * compose.h - an event of a chunk as the bytes of a Kafka message.
 *
 * One scratch buffer serves all events; it grows to what the largest one needs, at most COMPOSE_BYTES_MAX.
 */
#ifndef WALHOUSE_PUBLISHER_COMPOSE_H
#define WALHOUSE_PUBLISHER_COMPOSE_H

#include "extension/common/chunk.h"
#include "message.h"

/* What the largest message may need; a larger event becomes a dead letter. */
#define COMPOSE_BYTES_MAX WH_MESSAGE_BYTES_MAX

/* Zeroed: empty. data is its own, freed by compose_buffer_free(). */
typedef struct ComposeBuffer {
    uint8_t *data;
    size_t capacity;
} ComposeBuffer;

void compose_buffer_free(ComposeBuffer *buffer);

/* What item's event takes at most; more than COMPOSE_BYTES_MAX cannot be composed. */
static inline size_t compose_size(const WhChunkItem *item)
{
    return WH_EVENT_HEAD_BYTES_MAX + item->event.lists.size + WH_VARINT_BYTES_MAX + item->event.body.size;
}

/*
 * Writes item's event with the given epoch. *value borrows from buffer until the next call, *key from the
 * item; key.data is NULL for a table without a key. false with *failure set: the event is too large, or
 * memory is short.
 */
bool compose_event(ComposeBuffer *buffer, const WhChunkItem *item, uint16_t epoch, WhSlice *key,
                   WhSlice *value, Failure *failure);

#endif

/*
 * compose.h - an event of a chunk as the bytes of a Kafka message.
 *
 * One scratch buffer serves all events; it grows to what the largest one needs, at most COMPOSE_BYTES_MAX.
 */
#ifndef WALHOUSE_PUBLISHER_COMPOSE_H
#define WALHOUSE_PUBLISHER_COMPOSE_H

#include "extension/common/chunk.h"
#include "message.h"

/* What the largest message may need; a larger event is refused. */
#define COMPOSE_BYTES_MAX WH_MESSAGE_BYTES_MAX

/* Zeroed: empty. data is its own, freed by compose_buffer_free(). */
typedef struct ComposeBuffer {
    uint8_t *data;
    size_t capacity;
} ComposeBuffer;

void compose_buffer_free(ComposeBuffer *buffer);

/*
 * Writes item's event with the given epoch. *value borrows from buffer until the next call, *key from the
 * item; key.data is NULL for a table without a key. false with *failure set: the event is too large, or
 * memory is short.
 */
bool compose_event(ComposeBuffer *buffer, const WhChunkItem *item, uint16_t epoch, WhSlice *key,
                   WhSlice *value, Failure *failure);

#endif

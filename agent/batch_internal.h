/*
 * batch_internal.h - what batch.c and batch_event.c share; see batch.h.
 */
#ifndef WALHOUSE_AGENT_BATCH_INTERNAL_H
#define WALHOUSE_AGENT_BATCH_INTERNAL_H

#include "agent/batch.h"

#define BUFFER_BYTES_FIRST 65536

/* Makes *array hold at least count elements. false: out of memory, and nothing changed. */
bool batch_grow(void **array, size_t *capacity, size_t count, size_t element_size, size_t first);

#define GROW(array, capacity, count, first)                                                                  \
    batch_grow((void **)&(array), &(capacity), count, sizeof *(array), first)

/* size bytes that live until the batch is reset; NULL: out of memory. */
uint8_t *batch_take_bytes(Batch *batch, size_t size);
/* Makes the slice one that lives until the batch is reset. No bytes are not the same as an empty text. false:
 * out of memory. */
bool batch_copy_slice(Batch *batch, WhSlice *slice);
/* The table's buffer, which is made where there is none; NULL: out of memory. */
TableBuffer *batch_find_buffer(Batch *batch, TableSchema *table);

#endif

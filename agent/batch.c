/*
 * batch.c - rows and dead letters that are loaded together: what a batch holds, and how it is emptied; see
 * batch.h. What becomes of an event is batch_event.c's.
 */
#include "agent/batch.h"

#include <stdlib.h>
#include <string.h>

#include "agent/batch_internal.h"

#define CHUNK_BYTES 262144

bool batch_grow(void **array, size_t *capacity, size_t count, size_t element_size, size_t first)
{
    size_t larger = *capacity ? *capacity : first;
    void *grown;

    if (count <= *capacity)
        return true;
    while (larger < count)
        larger *= 2;
    grown = realloc(*array, larger * element_size);
    if (grown == NULL)
        return false;
    *array = grown;
    *capacity = larger;
    return true;
}

void batch_init(Batch *batch)
{
    *batch = (Batch){0};
}

void batch_close_buffer(TableBuffer *buffer)
{
    free(buffer->data);
    free(buffer->rows);
}

uint8_t *batch_take_bytes(Batch *batch, size_t size)
{
    Chunk *chunk = batch->chunks_used > 0 ? &batch->chunks[batch->chunks_used - 1] : NULL;
    size_t capacity = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    uint8_t *data;

    while (chunk == NULL || chunk->capacity - chunk->used < size) {
        if (batch->chunks_used == batch->chunk_count) {
            if (!GROW(batch->chunks, batch->chunk_capacity, batch->chunk_count + 1, 16) ||
                (data = malloc(capacity)) == NULL)
                return NULL;
            batch->chunks[batch->chunk_count++] = (Chunk){.data = data, .capacity = capacity};
        }
        chunk = &batch->chunks[batch->chunks_used++];
    }
    data = chunk->data + chunk->used;
    chunk->used += size;
    return data;
}

static void reset_chunks(Batch *batch, size_t keep_bytes)
{
    size_t kept = 0;
    size_t count = 0;

    for (size_t i = 0; i < batch->chunk_count; i++) {
        Chunk *chunk = &batch->chunks[i];

        if (kept + chunk->capacity > keep_bytes) {
            free(chunk->data);
            continue;
        }
        kept += chunk->capacity;
        chunk->used = 0;
        batch->chunks[count++] = *chunk;
    }
    batch->chunk_count = count;
    batch->chunks_used = 0;
}

void batch_empty_buffer(TableBuffer *buffer)
{
    buffer->size = buffer->header_size;
    buffer->row_count = 0;
    buffer->oldest_commit_us = INT64_MAX;
    buffer->has_late_rows = false;
    buffer->truncated = false;
    buffer->stopped = false;
    buffer->rows_refused = 0;
    buffer->rows_left = 0;
}

void batch_reset(Batch *batch, size_t keep_bytes)
{
    size_t kept = 0;

    reset_chunks(batch, keep_bytes);
    for (size_t i = 0; i < batch->table_count; i++)
        kept += batch->tables[i].capacity;
    for (size_t i = 0; i < batch->table_count; i++) {
        TableBuffer *buffer = &batch->tables[i];

        if (kept > keep_bytes)
            batch_close_buffer(buffer);
        batch_empty_buffer(buffer);
    }
    if (kept > keep_bytes)
        batch->table_count = 0;
    batch->last_table = NULL;
    batch->message_count = 0;
    batch->dlq_messages = 0;
    batch->unresolved_count = 0;
    batch->letter_count = 0;
    batch->gap_count = 0;
    batch->partition_count = 0;
    batch->bytes = 0;
    batch->rows = 0;
    batch->truncates = 0;
    batch->sweep_count = 0;
    batch->opened_at_ms = 0;
    batch->loaded = false;
    batch->server_asked = false;
    text_clear(&batch->offsets_sql);
}

void batch_fini(Batch *batch)
{
    batch_reset(batch, 0);
    for (size_t i = 0; i < batch->table_count; i++)
        batch_close_buffer(&batch->tables[i]);
    free(batch->chunks);
    free(batch->tables);
    free(batch->messages);
    free(batch->sweeps);
    free(batch->unresolved);
    free(batch->letters);
    free(batch->gaps);
    free(batch->partitions);
    text_free(&batch->offsets_sql);
    *batch = (Batch){0};
}

/* ---- messages ---- */

/* Notes the offset, and makes *view name the batch's copy of the topic. */
static Status note_offset(Batch *batch, MessageView *view, Error *error)
{
    PartitionRange *range;
    size_t size = strlen(view->topic) + 1;
    uint8_t *topic;

    /* Messages come in runs of one partition, so the newest range is the likeliest. */
    for (size_t i = batch->partition_count; i-- > 0;) {
        range = &batch->partitions[i];
        if (range->partition == view->partition && strcmp(range->topic, view->topic) == 0) {
            /* After a rebalance the same offsets may come again. */
            if (view->offset < range->first)
                range->first = view->offset;
            if (view->offset >= range->next)
                range->next = view->offset + 1;
            range->last_ms = view->time_ms;
            view->topic = range->topic;
            return STATUS_OK;
        }
    }
    topic = batch_take_bytes(batch, size);
    if (topic == NULL || !GROW(batch->partitions, batch->partition_capacity, batch->partition_count + 1, 16))
        return status_fail(error, STATUS_FATAL, "out of memory");
    memcpy(topic, view->topic, size);
    view->topic = (const char *)topic;
    batch->partitions[batch->partition_count++] = (PartitionRange){.topic = view->topic,
                                                                   .partition = view->partition,
                                                                   .first = view->offset,
                                                                   .next = view->offset + 1,
                                                                   .first_ms = view->time_ms,
                                                                   .last_ms = view->time_ms};
    return STATUS_OK;
}

bool batch_copy_slice(Batch *batch, WhSlice *slice)
{
    uint8_t *copy;

    if (slice->data == NULL)
        return true;
    copy = batch_take_bytes(batch, slice->size);
    if (copy == NULL)
        return false;
    if (slice->size > 0)
        memcpy(copy, slice->data, slice->size);
    slice->data = copy;
    return true;
}

Status batch_add_message(Batch *batch, MessageView *view, uint32_t *index, Error *error)
{
    Status status = note_offset(batch, view, error);
    MessageView copy = *view;

    if (status != STATUS_OK)
        return status;
    if (!GROW(batch->messages, batch->message_capacity, batch->message_count + 1, 1024) ||
        !batch_copy_slice(batch, &copy.key) || !batch_copy_slice(batch, &copy.value) ||
        !batch_copy_slice(batch, &copy.headers))
        return status_fail(error, STATUS_FATAL, "out of memory");
    *index = (uint32_t)batch->message_count;
    batch->messages[batch->message_count++] = copy;
    return STATUS_OK;
}

Status batch_add_letter(Batch *batch, uint32_t message, Reason reason, const Error *why, Error *error)
{
    if (!GROW(batch->letters, batch->letter_capacity, batch->letter_count + 1, 16))
        return status_fail(error, STATUS_FATAL, "out of memory");
    batch->letters[batch->letter_count++] = (DeadLetter){.message = message, .reason = reason, .error = *why};
    return STATUS_OK;
}

void batch_hide_key(Batch *batch)
{
    batch->letters[batch->letter_count - 1].hides_key = true;
}

static void forget_sweeps(Batch *batch, const char *topic)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->sweep_count; i++)
        if (strcmp(batch->tables[batch->sweeps[i].table].table->topic, topic) != 0)
            batch->sweeps[kept++] = batch->sweeps[i];
    batch->truncates -= batch->sweep_count - kept;
    batch->sweep_count = kept;
}

void batch_forget_letters(Batch *batch, const char *topic)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->letter_count; i++)
        if (strcmp(batch->messages[batch->letters[i].message].topic, topic) != 0)
            batch->letters[kept++] = batch->letters[i];
    batch->letter_count = kept;
}

static void forget_unresolved(Batch *batch, const char *topic)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->unresolved_count; i++) {
        const UnresolvedRow *row = &batch->unresolved[i];

        if (strcmp(batch->tables[row->table].table->topic, topic) != 0) {
            batch->unresolved[kept++] = *row;
            continue;
        }
        batch->rows--;
        batch->bytes -= row->row.size;
    }
    batch->unresolved_count = kept;
}

void batch_forget_topic(Batch *batch, const char *topic)
{
    size_t kept = 0;

    forget_sweeps(batch, topic);
    forget_unresolved(batch, topic);
    batch_forget_letters(batch, topic);
    for (size_t i = 0; i < batch->table_count; i++) {
        TableBuffer *buffer = &batch->tables[i];

        if (strcmp(buffer->table->topic, topic) != 0)
            continue;
        batch->rows -= buffer->row_count;
        batch->bytes -= buffer->size - buffer->header_size;
        batch->truncates -= buffer->truncated;
        batch_empty_buffer(buffer);
    }
    for (size_t i = 0; i < batch->partition_count; i++)
        if (strcmp(batch->partitions[i].topic, topic) != 0)
            batch->partitions[kept++] = batch->partitions[i];
    batch->partition_count = kept;
}

/* ---- rows ---- */

/* The header is written when the rows are sent: the loader knows the names in the storage table. */
bool batch_open_buffer(TableBuffer *buffer, TableSchema *table)
{
    *buffer = (TableBuffer){.table = table, .oldest_commit_us = INT64_MAX};
    buffer->header_size = buffer->size = target_header_room(&table->target);
    return GROW(buffer->data, buffer->capacity, buffer->size, BUFFER_BYTES_FIRST);
}

TableBuffer *batch_find_buffer(Batch *batch, TableSchema *table)
{
    if (batch->last_table && batch->last_table->table == table)
        return batch->last_table;
    for (size_t i = 0; i < batch->table_count; i++)
        if (batch->tables[i].table == table)
            return batch->last_table = &batch->tables[i];
    if (!GROW(batch->tables, batch->table_capacity, batch->table_count + 1, 16))
        return NULL;
    if (!batch_open_buffer(&batch->tables[batch->table_count], table)) {
        free(batch->tables[batch->table_count].data);
        return NULL;
    }
    return batch->last_table = &batch->tables[batch->table_count++];
}

uint8_t *batch_make_row(TableBuffer *buffer, size_t size, uint32_t message)
{
    uint8_t *place;

    if (buffer->size + size > UINT32_MAX ||
        !GROW(buffer->data, buffer->capacity, buffer->size + size, BUFFER_BYTES_FIRST) ||
        !GROW(buffer->rows, buffer->row_capacity, buffer->row_count + 1, 256))
        return NULL;
    place = buffer->data + buffer->size;
    buffer->rows[buffer->row_count++] = (BatchRow){.offset = (uint32_t)buffer->size, .message = message};
    buffer->size += size;
    return place;
}

bool batch_move_rows(TableBuffer *to, TableBuffer *from)
{
    size_t size = from->size - from->header_size;

    if (to->size + size > UINT32_MAX || !GROW(to->data, to->capacity, to->size + size, BUFFER_BYTES_FIRST) ||
        !GROW(to->rows, to->row_capacity, to->row_count + from->row_count, 256))
        return false;
    for (size_t i = 0; i < from->row_count; i++)
        to->rows[to->row_count++] =
            (BatchRow){.offset = (uint32_t)(from->rows[i].offset - from->header_size + to->size),
                       .message = from->rows[i].message};
    memcpy(to->data + to->size, from->data + from->header_size, size);
    to->size += size;
    batch_empty_buffer(from);
    return true;
}

size_t batch_drop_below(TableBuffer *buffer, Version floor)
{
    size_t kept = 0;
    size_t size = buffer->header_size;
    size_t dropped;

    for (size_t i = 0; i < buffer->row_count; i++) {
        size_t start = buffer->rows[i].offset;
        size_t end = i + 1 < buffer->row_count ? buffer->rows[i + 1].offset : buffer->size;

        if (version_load(buffer->data + end - BATCH_ROW_TAIL_BYTES) < floor)
            continue;
        memmove(buffer->data + size, buffer->data + start, end - start);
        buffer->rows[kept++] = (BatchRow){.offset = (uint32_t)size, .message = buffer->rows[i].message};
        size += end - start;
    }
    dropped = buffer->row_count - kept;
    buffer->row_count = kept;
    buffer->size = size;
    return dropped;
}

Version batch_newest_version(const TableBuffer *buffer)
{
    Version newest = buffer->truncated ? buffer->truncate.version : 0;

    for (size_t i = 0; i < buffer->row_count; i++) {
        size_t end = i + 1 < buffer->row_count ? buffer->rows[i + 1].offset : buffer->size;
        Version version = version_load(buffer->data + end - BATCH_ROW_TAIL_BYTES);

        newest = version > newest ? version : newest;
    }
    return newest;
}

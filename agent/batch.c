/*
 * batch.c - rows and dead letters that are loaded together; see batch.h.
 */
#include "agent/batch.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_FIRST 65536
#define CHUNK_BYTES        262144

/* Makes *array hold at least count elements. */
static bool grow(void **array, size_t *capacity, size_t count, size_t element_size, size_t first)
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

#define GROW(array, capacity, count, first)                                                                  \
    grow((void **)&(array), &(capacity), count, sizeof *(array), first)

void batch_init(Batch *batch)
{
    *batch = (Batch){0};
}

void batch_close_buffer(TableBuffer *buffer)
{
    free(buffer->data);
    free(buffer->rows);
}

/* size bytes that live until the batch is reset; NULL: out of memory. */
static uint8_t *take_bytes(Batch *batch, size_t size)
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
    topic = take_bytes(batch, size);
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

/* false: out of memory. No bytes are not the same as an empty text. */
static bool copy_slice(Batch *batch, WhSlice *slice)
{
    uint8_t *copy;

    if (slice->data == NULL)
        return true;
    copy = take_bytes(batch, slice->size);
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
        !copy_slice(batch, &copy.key) || !copy_slice(batch, &copy.value) || !copy_slice(batch, &copy.headers))
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

static TableBuffer *find_buffer(Batch *batch, TableSchema *table)
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

/* Does the body hold exactly what the schema says? */
static Status check_body(const TableSchema *table, const WhEvent *event, Error *error)
{
    bool key_only = wh_op_has_key_only(event->operation);
    uint32_t count = key_only ? table->schema.key_column_count : table->schema.column_count;
    WhReader r = wh_reader(event->body.data, event->body.size);

    if (table->map)
        rowmap_split(table->map, &r, count);
    else
        for (uint32_t i = 0; i < count; i++)
            (void)wh_type_get(&r, &table->types[i]);
    wh_get_end(&r);
    if (!wh_reader_ok(&r))
        return status_fail(error, STATUS_REJECT, "the row does not fit its schema: %s at byte %zu", r.error,
                           r.error_offset);
    if (key_only && count == 0)
        return status_fail(error, STATUS_REJECT, "no more than the key, of a table without one");
    return STATUS_OK;
}

static Status refuse_list(Error *error)
{
    return status_fail(error, STATUS_REJECT, "a list names a column that the schema does not have");
}

/* Does it matter that the body does not hold this column's value? */
static bool is_missed(const TableSchema *table, uint32_t index, bool by_filter)
{
    if (table->map == NULL)
        return !by_filter;
    return by_filter ? rowmap_filters_by(table->map, index) : rowmap_reads(table->map, index);
}

/* May messages for people show the column's value? Not while nobody knows what the rules hide. */
static bool may_show(const TableSchema *table, uint32_t index)
{
    return table->rules_error == NULL && (table->map == NULL || rowmap_may_show(table->map, index));
}

static Status refuse_out_of_range(const TableSchema *table, uint32_t index, WhSlice text, Error *error)
{
    const WhColumn *column = &table->schema.columns[index];

    if (!may_show(table, index))
        text = (WhSlice){(const uint8_t *)"a value that is not shown here", 30};
    return status_fail(error, STATUS_REJECT, "column %.*s: %.*s cannot hold %.*s", (int)column->name.size,
                       (const char *)column->name.data, (int)column->clickhouse_type.size,
                       (const char *)column->clickhouse_type.data, (int)(text.size < 200 ? text.size : 200),
                       (const char *)text.data);
}

/*
 * An event that says of itself that its body holds what is not so: is it missed, by the row or, if by_filter,
 * by the answer whether it is to be seen?
 */
static Status refuse_lists(const TableSchema *table, const WhEvent *event, bool by_filter, Reason *reason,
                           Error *error)
{
    WhLists lists = wh_lists(event->flags, event->lists);
    uint32_t index;
    WhSlice text;

    while (!(event->flags & WH_EVENT_ADJUSTED) && wh_lists_next_out_of_range(&lists, &index, &text)) {
        if (index >= table->schema.column_count)
            return refuse_list(error);
        if (!is_missed(table, index, by_filter))
            continue;
        *reason = REASON_VALUE_OUT_OF_RANGE;
        return refuse_out_of_range(table, index, text, error);
    }
    return STATUS_OK;
}

/* What follows from the values that an event leaves out. */
typedef struct Lacking {
    bool row;    /* the row misses one */
    bool filter; /* nobody can say whether the row is to be seen */
} Lacking;

/*
 * Only columns beside the key are left out of an insert or update, and its message must say which key it is.
 */
static Status find_lacking(const Batch *batch, const TableSchema *table, const WhEvent *event,
                           uint32_t message, Lacking *lacking, Error *error)
{
    WhLists lists = wh_lists(event->flags, event->lists);
    WhSlice key = batch->messages[message].key;
    uint32_t index;

    if (!(event->flags & WH_EVENT_HAS_UNCHANGED))
        return STATUS_OK;
    while (wh_lists_next_unchanged(&lists, &index)) {
        if (index >= table->schema.column_count || index < table->schema.key_column_count)
            return refuse_list(error);
        lacking->row |= is_missed(table, index, false);
        lacking->filter |= is_missed(table, index, true);
    }
    if ((event->operation != WH_OP_INSERT && event->operation != WH_OP_UPDATE) ||
        table->schema.key_column_count == 0 || key.size == 0 || key.size > event->body.size ||
        memcmp(key.data, event->body.data, key.size) != 0)
        return status_fail(error, STATUS_REJECT,
                           "values are left out, and the message's key is not that of a row that has them");
    return STATUS_OK;
}

/* The row as the table takes it; key_only: deleted, or by the filter not to be seen. NULL: no memory for a
 * hash. */
static uint8_t *put_row(uint8_t *p, const TableSchema *table, const WhEvent *event, bool key_only)
{
    if (table->map)
        return rowmap_put(table->map, p, key_only, event->operation);
    memcpy(p, event->body.data, event->body.size);
    p += event->body.size;
    if (key_only) {
        memcpy(p, table->delete_tail, table->delete_tail_size);
        p += table->delete_tail_size;
    }
    return p;
}

static bool append_row(TableBuffer *buffer, const WhEvent *event, bool key_only, uint32_t message)
{
    uint8_t *p = put_row(buffer->data + buffer->size, buffer->table, event, key_only);
    uint64_t high, low;

    if (p == NULL)
        return false;
    buffer->rows[buffer->row_count++] = (BatchRow){.offset = (uint32_t)buffer->size, .message = message};
    wh_version(event->epoch, event->commit_lsn, event->ordinal, &high, &low);
    p = wh_store_u64(p, low);
    p = wh_store_u64(p, high);
    *p++ = key_only;
    p = wh_store_u64(p, (uint64_t)event->commit_time_us);
    buffer->size = (size_t)(p - buffer->data);
    return true;
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

static Status add_sweep(Batch *batch, const TableBuffer *buffer, const Sweep *sweep, Error *error)
{
    if (!GROW(batch->sweeps, batch->sweep_capacity, batch->sweep_count + 1, 16))
        return status_fail(error, STATUS_FATAL, "out of memory for a batch");
    batch->sweeps[batch->sweep_count++] =
        (BatchSweep){.table = (size_t)(buffer - batch->tables), .sweep = *sweep};
    batch->truncates++;
    return STATUS_OK;
}

static Status add_truncate(Batch *batch, TableSchema *table, const WhEvent *event, uint32_t message,
                           Error *error)
{
    TableBuffer *buffer = find_buffer(batch, table);
    Truncate truncate = {.version = version_of(event), .commit_time_us = event->commit_time_us};
    Sweep sweep = {.truncate = truncate,
                   .partition = batch->messages[message].partition,
                   .partitions = batch->messages[message].partitions};

    if (buffer == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory for a batch");
    if (event->operation == WH_OP_END || (truncate_is_sweep(event) && sweep.partitions > 1))
        return add_sweep(batch, buffer, &sweep, error);
    batch->truncates += !buffer->truncated;
    /* What is gone for a lower version is gone for a higher one. */
    if (!buffer->truncated || truncate.version > buffer->truncate.version)
        buffer->truncate = truncate;
    buffer->truncated = true;
    return STATUS_OK;
}

/* Nothing is loaded for it; what comes behind it must know. */
static Status add_gap(Batch *batch, const TableSchema *table, const WhEvent *event, uint32_t message,
                      Error *error)
{
    WhSlice key = batch->messages[message].key;

    if (key.size != event->body.size || memcmp(key.data, event->body.data, key.size) != 0)
        return status_fail(error, STATUS_REJECT, "a row is too large, and the message's key is not its own");
    /* No note may have such a key, and no row of it is taken from an earlier one. */
    if (registry_hides_key(table))
        return STATUS_OK;
    if (!GROW(batch->gaps, batch->gap_capacity, batch->gap_count + 1, 16))
        return status_fail(error, STATUS_FATAL, "out of memory for a batch");
    batch->gaps[batch->gap_count++] = (BatchGap){.message = message, .version = version_of(event)};
    return STATUS_OK;
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

/* A change's commit, for the time from commit to loaded; rows of snapshots, and replayed ones, which have
 * headers, may be years old, and older than a truncate. */
static void note_commit_time(TableBuffer *buffer, const WhEvent *event, const MessageView *message)
{
    if (event->operation == WH_OP_SNAPSHOT || message->headers.size > 0)
        buffer->has_late_rows = true;
    else if (event->commit_time_us < buffer->oldest_commit_us)
        buffer->oldest_commit_us = event->commit_time_us;
}

/* Is the row to be seen? *visible is set where the answer is STATUS_OK. */
static Status apply_filter(const TableSchema *table, const WhEvent *event, const Lacking *lacking,
                           bool *visible, Reason *reason, Error *error)
{
    Status status = STATUS_OK;

    *visible = true;
    if (table->map == NULL || table->map->filter == NULL || event->operation == WH_OP_DELETE ||
        lacking->filter)
        return STATUS_OK;
    if (!wh_event_is_whole(event->flags))
        status = refuse_lists(table, event, true, reason, error);
    if (status == STATUS_OK)
        *visible = rowmap_matches(table->map);
    return status;
}

/* Takes the last row out of its buffer, and keeps it with what it lacks. */
static Status set_aside(Batch *batch, TableBuffer *buffer, const WhEvent *event, bool from_nowhere,
                        uint32_t message, Error *error)
{
    size_t start = buffer->rows[buffer->row_count - 1].offset;
    UnresolvedRow row = {.table = (size_t)(buffer - batch->tables),
                         .row = {buffer->data + start, buffer->size - start},
                         .lists = event->lists,
                         .flags = event->flags,
                         .from_nowhere = from_nowhere,
                         .message = message};

    if (!GROW(batch->unresolved, batch->unresolved_capacity, batch->unresolved_count + 1, 64) ||
        !copy_slice(batch, &row.row) || !copy_slice(batch, &row.lists))
        return status_fail(error, STATUS_FATAL, "out of memory for a batch");
    buffer->row_count--;
    buffer->size = start;
    batch->unresolved[batch->unresolved_count++] = row;
    return STATUS_OK;
}

Status batch_add_event(Batch *batch, TableSchema *table, const WhEvent *event, uint32_t message,
                       Reason *reason, Error *error)
{
    TableBuffer *buffer;
    size_t size = event->body.size + (table->map ? table->map->extra_bytes : table->delete_tail_size) +
                  BATCH_ROW_TAIL_BYTES;
    Lacking lacking = {false, false};
    bool visible;
    Status status;

    *reason = REASON_UNDECODABLE;
    if (wh_op_is_of_table(event->operation))
        return add_truncate(batch, table, event, message, error);
    status = check_body(table, event, error);
    if (status == STATUS_OK && event->operation == WH_OP_LARGE)
        return add_gap(batch, table, event, message, error);
    if (status == STATUS_OK)
        status = find_lacking(batch, table, event, message, &lacking, error);
    if (status == STATUS_OK)
        status = apply_filter(table, event, &lacking, &visible, reason, error);
    if (status == STATUS_OK && visible && !wh_event_is_whole(event->flags))
        status = refuse_lists(table, event, false, reason, error);
    if (status != STATUS_OK)
        return status;
    /* A row that is not to be seen takes its older versions away, which a log does not have. */
    if (!visible && table->schema.key_column_count == 0)
        return STATUS_OK;
    buffer = find_buffer(batch, table);
    if (buffer == NULL || !GROW(buffer->data, buffer->capacity, buffer->size + size, BUFFER_BYTES_FIRST) ||
        !GROW(buffer->rows, buffer->row_capacity, buffer->row_count + 1, 256))
        return status_fail(error, STATUS_FATAL, "out of memory for a batch");
    if (buffer->size + size > UINT32_MAX)
        return status_fail(error, STATUS_REJECT, "the row does not fit a batch");
    if (!append_row(buffer, event, event->operation == WH_OP_DELETE || !visible, message))
        return status_fail(error, STATUS_FATAL, "out of memory for a hash");
    note_commit_time(buffer, event, &batch->messages[message]);
    batch->bytes += buffer->size - buffer->rows[buffer->row_count - 1].offset;
    batch->rows++;
    if ((!lacking.row && !lacking.filter) || !visible)
        return STATUS_OK;
    return set_aside(batch, buffer, event, event->operation == WH_OP_INSERT || lacking.filter, message,
                     error);
}

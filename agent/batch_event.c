/*
 * batch_event.c - an event becomes a row of its batch, or the reason why it does not; see batch.h.
 *
 *      event --fits its schema? lists? filter?--> row in its table's buffer
 *                |                                  '-- values left out: set aside, for resolve.h
 *                '-- STATUS_REJECT with the reason
 *      truncate, end of a snapshot --> beside the rows, for truncate.h
 */
#include <string.h>

#include "agent/batch_internal.h"

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
    TableBuffer *buffer = batch_find_buffer(batch, table);
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
        !batch_copy_slice(batch, &row.row) || !batch_copy_slice(batch, &row.lists))
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
    buffer = batch_find_buffer(batch, table);
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

/*
 * load_resolve.c - rows that lack unchanged values, made whole before they are inserted; see resolve.h, which
 * decides.
 *
 *      keys for which the batch does not do --in groups--> their notes, their newest rows --> rows --> buffer
 *                                                                     '-- not to be had --> a note, and a
 * request
 *
 * Notes (_walhouse_unchanged) say what an agent must know after a restart, and are written before the offset
 * is committed:
 * - a gap: an event of this key was not loaded, as it became a dead letter, was too large for Kafka, or its
 * values were not to be had.
 * An older row is then no base, but for the columns that the event left alone.
 * - how old the values of a resolved row are. When a snapshot's sweep comes, rows whose values are older than
 * the sweep are asked for: the snapshot may have been taken because the warehouse was wrong, and its row is
 * below theirs.
 *
 * Memory: a group has at most GROUP_KEYS keys and an answer of a batch's bytes, or one row; what was resolved
 * is inserted when it has the bytes of a batch. The warehouse is asked in RowBinary, so values go from row to
 * row as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ddl.h"
#include "agent/load_internal.h"
#include "agent/resolve.h"
#include "lib/log.h"

#define GROUP_KEYS      1000
#define GROUP_KEY_BYTES 100000 /* in hexadecimal digits less than max_query_size */
#define GROUP_BYTES_MAX 33554432
#define SWEPT_KEYS      10000
#define TOO_MANY_BYTES  396 /* ClickHouse's exception for an answer that is too large */

typedef struct Group {
    Resolve *resolve;
    ResolveKey **keys;
    size_t count;
    uint8_t *notes; /* a copy of the answer; gaps borrow from it */
    size_t notes_size;
    const char *rows; /* the client's, until its next request */
    size_t rows_size;
} Group;

/* One buffer's work. */
typedef struct Job {
    Loader *loader;
    Batch *batch;
    TableBuffer *buffer;
    Resolve resolve;
    TableBuffer out;
    uint8_t *notes; /* to be written, as RowBinary */
    size_t notes_size;
    size_t notes_capacity;
    WhSlice *asks;
    size_t ask_count;
} Job;

static void append_hex(Text *text, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text_appendf(text, "%02x", data[i]);
}

/* ---- notes ---- */

static uint8_t *put_version(uint8_t *p, Version version)
{
    return wh_store_u64(wh_store_u64(p, (uint64_t)version), (uint64_t)(version >> 64));
}

static bool add_note(Job *job, const char *topic, WhSlice key, Version version, const uint16_t *columns,
                     size_t column_count, Version source)
{
    size_t size = strlen(topic) + key.size + 2 * column_count + 32 + 3 * WH_VARINT_BYTES_MAX;
    uint8_t *p;

    if (job->notes_size + size > job->notes_capacity) {
        size_t capacity = 2 * job->notes_capacity + size + 4096;

        p = realloc(job->notes, capacity);
        if (p == NULL)
            return false;
        job->notes = p;
        job->notes_capacity = capacity;
    }
    p = wh_store_varint(job->notes + job->notes_size, strlen(topic));
    memcpy(p, topic, strlen(topic));
    p = wh_store_varint(p + strlen(topic), key.size);
    memcpy(p, key.data, key.size);
    p = put_version(p + key.size, version);
    p = wh_store_varint(p, column_count);
    for (size_t i = 0; i < column_count; i++) {
        *p++ = (uint8_t)columns[i];
        *p++ = (uint8_t)(columns[i] >> 8);
    }
    p = put_version(p, source);
    job->notes_size = (size_t)(p - job->notes);
    return true;
}

/* The notes are the agent's own table: when it is gone it is made again. */
static Status mend(Loader *loader, Status status)
{
    Error ignored;

    if (status == STATUS_REJECT || status == STATUS_STOP)
        (void)ddl_ensure_system(loader->client, loader->config, &ignored);
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status write_notes_step(Loader *loader, void *context, Error *error)
{
    const Job *job = context;
    Status status = clickhouse_insert(
        loader->client,
        "INSERT INTO `_walhouse_unchanged` (topic, key, version, columns, source) FORMAT RowBinary",
        job->notes, job->notes_size, error);

    return mend(loader, status);
}

static Status write_notes(Job *job, Error *error)
{
    return job->notes_size > 0 ? loader_persist(job->loader, write_notes_step, job, error) : STATUS_OK;
}

static Status read_notes_step(Loader *loader, void *context, Error *error)
{
    Group *group = context;
    const char *topic = group->resolve->buffer->table->topic;
    uint8_t size[WH_VARINT_BYTES_MAX];
    const char *body = "";
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT key, version, columns, source FROM `_walhouse_unchanged` WHERE topic = ");
    text_append_literal(&sql, topic, strlen(topic));
    text_appendf(&sql, " AND key IN (SELECT k FROM format(RowBinary, 'k String', unhex('");
    for (size_t i = 0; i < group->count; i++) {
        WhSlice key = group->keys[i]->key;

        append_hex(&sql, size, (size_t)(wh_store_varint(size, key.size) - size));
        append_hex(&sql, key.data, key.size);
    }
    text_appendf(&sql, "'))) FORMAT RowBinary");
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(loader->client, NULL, sql.data, &body, &group->notes_size, error);
    text_free(&sql);
    if (status != STATUS_OK)
        return mend(loader, status);
    free(group->notes);
    group->notes = malloc(group->notes_size + 1);
    if (group->notes == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    memcpy(group->notes, body, group->notes_size);
    return STATUS_OK;
}

static Version get_version(WhReader *r)
{
    Version low = wh_get_u64(r);

    return (Version)wh_get_u64(r) << 64 | low;
}

static Status take_notes(Group *group, Error *error)
{
    WhReader r = wh_reader(group->notes, group->notes_size);

    while (wh_reader_left(&r) > 0) {
        ResolveGap gap = {.key = wh_get_bytes(&r, wh_get_varint(&r))};
        ResolveKey *key;
        Version source;

        gap.version = get_version(&r);
        gap.column_count = wh_get_varint(&r);
        gap.columns = wh_get_bytes(&r, 2 * (uint64_t)gap.column_count).data;
        source = get_version(&r);
        if (!wh_reader_ok(&r))
            break;
        key = resolve_find_key(group->resolve, gap.key);
        if (source == 0 && !resolve_add_gap(group->resolve, &gap))
            return status_fail(error, STATUS_RETRY, "out of memory");
        if (source > 0 && key && key->base.there && key->base.version == gap.version &&
            source < key->base.source)
            key->base.source = source;
    }
    return wh_reader_ok(&r)
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "ClickHouse's answer about notes: %s", r.error);
}

/* ---- rows ---- */

static void append_key(Text *sql, const Target *target)
{
    for (uint32_t i = 0; i < target->key_column_count; i++) {
        text_appendf(sql, i ? ", " : "");
        text_append_identifier(sql, target->columns[i].stored, strlen(target->columns[i].stored));
    }
}

static void append_wanted(Text *sql, const Group *group, const Target *target)
{
    Text structure = {0};

    for (uint32_t i = 0; i < target->key_column_count; i++)
        text_appendf(&structure, "%sk%u %s", i ? ", " : "", i, target->columns[i].type);
    text_appendf(sql, "(SELECT * FROM format(RowBinary, ");
    text_append_literal(sql, structure.data ? structure.data : "", structure.size);
    text_appendf(sql, ", unhex('");
    for (size_t i = 0; i < group->count; i++)
        append_hex(sql, group->keys[i]->row_key.data, group->keys[i]->row_key.size);
    text_appendf(sql, "')))");
    sql->failed |= structure.failed;
    text_free(&structure);
}

/* Deleted rows count, too, so this is not FINAL. The tuple keeps argMax from passing over NULL. */
static void append_rows_query(Text *sql, const Group *group, long long bytes_max)
{
    const Target *target = &group->resolve->buffer->table->target;

    text_appendf(sql, "SELECT ");
    append_key(sql, target);
    text_appendf(sql, ", max(`_version`), argMax((`_deleted`");
    for (size_t i = 0; i < group->resolve->column_count; i++) {
        const TargetColumn *column = &target->columns[group->resolve->columns[i]];

        text_appendf(sql, ", CAST(");
        text_append_identifier(sql, column->stored, strlen(column->stored));
        text_appendf(sql, ", ");
        text_append_literal(sql, column->type, strlen(column->type));
        text_appendf(sql, ")");
    }
    text_appendf(sql, "), `_version`) FROM ");
    target_append_storage(sql, target);
    text_appendf(sql, " WHERE (");
    append_key(sql, target);
    text_appendf(sql, ") IN ");
    append_wanted(sql, group, target);
    text_appendf(sql, " GROUP BY ");
    append_key(sql, target);
    /* One row may be as large as it is. */
    text_appendf(sql,
                 " SETTINGS final = 0, limit = 0, offset = 0, max_result_rows = 0, max_result_bytes = %lld, "
                 "result_overflow_mode = 'throw' FORMAT RowBinary",
                 group->count > 1 ? bytes_max : 0);
}

static Status read_rows_step(Loader *loader, void *context, Error *error)
{
    Group *group = context;
    Text sql = {0};
    Status status;

    append_rows_query(&sql, group,
                      loader->config->batch_max_bytes < GROUP_BYTES_MAX ? loader->config->batch_max_bytes
                                                                        : GROUP_BYTES_MAX);
    status = sql.failed
                 ? status_fail(error, STATUS_RETRY, "out of memory")
                 : clickhouse_query(loader->client, NULL, sql.data, &group->rows, &group->rows_size, error);
    text_free(&sql);
    if (status != STATUS_OK && clickhouse_exception_code(loader->client) == TOO_MANY_BYTES)
        return STATUS_REJECT;
    return status;
}

static int compare_row_keys(const void *left, const void *right)
{
    WhSlice a = (*(ResolveKey *const *)left)->row_key, b = (*(ResolveKey *const *)right)->row_key;
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* Takes the answer into the bases of the group's keys; values has room for all. */
static Status take_rows(Group *group, WhSlice *values, Error *error)
{
    const Resolve *resolve = group->resolve;
    const Target *target = &resolve->buffer->table->target;
    WhReader r = wh_reader(group->rows, group->rows_size);

    qsort(group->keys, group->count, sizeof *group->keys, compare_row_keys);
    for (size_t n = 0; wh_reader_left(&r) > 0 && n < group->count; n++) {
        size_t start = r.offset;
        ResolveBase base = {.there = true, .values = values + n * resolve->column_count};
        ResolveKey wanted = {0}, *key = &wanted, **found;

        for (uint32_t i = 0; i < target->key_column_count; i++)
            (void)wh_type_get(&r, &resolve->types[i]);
        wanted.row_key = (WhSlice){r.data + start, r.offset - start};
        base.version = base.source = get_version(&r);
        base.deleted = wh_get_u8(&r) != 0;
        for (size_t i = 0; i < resolve->column_count; i++)
            values[n * resolve->column_count + i] = wh_type_get(&r, &resolve->types[resolve->columns[i]]);
        found = bsearch(&key, group->keys, group->count, sizeof *group->keys, compare_row_keys);
        if (wh_reader_ok(&r) && found)
            resolve_add_base(*found, &base);
    }
    wh_get_end(&r);
    return wh_reader_ok(&r) ? STATUS_OK
                            : status_fail(error, STATUS_RETRY, "ClickHouse's answer about rows: %s", r.error);
}

/* ---- what becomes of a key ---- */

static Status settle(Job *job, ResolveKey *key, Error *error)
{
    const char *topic = job->buffer->table->topic;
    const ResolveEvent *newest = resolve_newest(&job->resolve, key);
    uint16_t columns[WH_COLUMNS_MAX];
    size_t count;
    bool ok = true;

    switch (key->outcome) {
    case RESOLVE_ROW:
        ok = resolve_append(&job->resolve, key, &job->out) &&
             add_note(job, topic, key->key, newest->version, NULL, 0, key->source);
        atomic_fetch_add(&job->loader->metrics->rows_resolved, 1);
        break;
    case RESOLVE_ASK:
        count = resolve_left_alone(&job->resolve, key, columns);
        ok = registry_hides_key(job->buffer->table) ||
             add_note(job, topic, key->key, newest->version, columns, count, 0);
        job->asks[job->ask_count++] = key->key;
        break;
    case RESOLVE_SUPERSEDED:
    case RESOLVE_LOOK:
        break;
    }
    return ok ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory for resolved rows");
}

/* Inserts what was resolved when it is as large as a batch. */
static Status flush(Job *job, Error *error)
{
    Status status;

    if (job->out.size < (size_t)job->loader->config->batch_max_bytes)
        return STATUS_OK;
    status = load_insert(job->loader, job->batch, &job->out, error);
    batch_empty_buffer(&job->out);
    return status;
}

/* What is left goes with the rows of the buffer, so that they are one insert, where both fit a batch. */
static Status finish(Job *job, Error *error)
{
    size_t bytes = job->out.size + job->buffer->size;

    if (bytes <= 2 * (size_t)job->loader->config->batch_max_bytes && batch_move_rows(job->buffer, &job->out))
        return STATUS_OK;
    return job->out.row_count > 0 ? load_insert(job->loader, job->batch, &job->out, error) : STATUS_OK;
}

/* STATUS_REJECT: the group is to be asked for in parts. */
static Status settle_group(Job *job, Group *group, Error *error)
{
    size_t gaps = job->resolve.gap_count;
    WhSlice *values = calloc(group->count * job->resolve.column_count + 1, sizeof *values);
    Status status = values ? loader_persist(job->loader, read_notes_step, group, error)
                           : status_fail(error, STATUS_RETRY, "out of memory");

    if (status == STATUS_OK)
        status = loader_persist(job->loader, read_rows_step, group, error);
    if (status == STATUS_OK)
        status = take_rows(group, values, error);
    if (status == STATUS_OK)
        status = take_notes(group, error);
    for (size_t i = 0; i < group->count && status == STATUS_OK; i++) {
        resolve_decide(&job->resolve, group->keys[i]);
        status = settle(job, group->keys[i], error);
    }
    job->resolve.gap_count = gaps;
    free(group->notes);
    free(values);
    return status == STATUS_OK ? flush(job, error) : status;
}

/* What is too much for one answer is asked for in halves; a row that is too much alone is asked of the
 * source. */
static Status settle_keys(Job *job, ResolveKey **keys, size_t count, Error *error)
{
    Group group = {.resolve = &job->resolve, .keys = keys, .count = count};
    Status status;

    if (count == 0)
        return STATUS_OK;
    status = settle_group(job, &group, error);
    if (status != STATUS_REJECT)
        return status;
    if (count == 1) {
        keys[0]->outcome = RESOLVE_ASK;
        return settle(job, keys[0], error);
    }
    status = settle_keys(job, keys, count / 2, error);
    return status == STATUS_OK ? settle_keys(job, keys + count / 2, count - count / 2, error) : status;
}

static Status settle_all(Job *job, ResolveKey **keys, Error *error)
{
    Status status = STATUS_OK;
    size_t count = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < job->resolve.key_count && status == STATUS_OK; i++) {
        ResolveKey *key = &job->resolve.keys[i];
        size_t size = key->key.size + key->row_key.size + WH_VARINT_BYTES_MAX;

        /* A key that the warehouse may not have cannot be in notes, and without them no earlier row is safe.
         */
        if (key->outcome != RESOLVE_SUPERSEDED && registry_hides_key(job->buffer->table))
            key->outcome = RESOLVE_ASK;
        if (key->outcome == RESOLVE_LOOK && size > GROUP_KEY_BYTES)
            key->outcome = RESOLVE_ASK;
        if (key->outcome != RESOLVE_LOOK) {
            status = settle(job, key, error);
            continue;
        }
        if (count == GROUP_KEYS || bytes + size > GROUP_KEY_BYTES) {
            status = settle_keys(job, keys, count, error);
            count = bytes = 0;
        }
        keys[count++] = key;
        bytes += size;
    }
    return status == STATUS_OK ? settle_keys(job, keys, count, error) : status;
}

static Status ask_step(Loader *loader, void *context, Error *error)
{
    const Job *job = context;

    return requests_rows(loader->requests, job->buffer->table, job->asks, job->ask_count,
                         "an unchanged value is in no earlier row", error);
}

static Status ask(Job *job, Error *error)
{
    Status status = job->ask_count > 0 ? loader_persist(job->loader, ask_step, job, error) : STATUS_OK;

    if (status == STATUS_OK)
        atomic_fetch_add(&job->loader->metrics->rows_requested, job->ask_count);
    return status;
}

static bool has_unresolved(const Batch *batch, const TableBuffer *buffer)
{
    for (size_t i = 0; i < batch->unresolved_count; i++)
        if (&batch->tables[batch->unresolved[i].table] == buffer)
            return true;
    return false;
}

Status load_resolve(Loader *loader, Batch *batch, TableBuffer *buffer, Error *error)
{
    Job job = {.loader = loader, .batch = batch, .buffer = buffer};
    ResolveKey *keys[GROUP_KEYS];
    Status status;

    if (!has_unresolved(batch, buffer))
        return STATUS_OK;
    status = resolve_open(&job.resolve, batch, buffer, error);
    job.asks = calloc(job.resolve.key_count + 1, sizeof *job.asks);
    if (status == STATUS_OK && (job.asks == NULL || !batch_open_buffer(&job.out, buffer->table)))
        status = status_fail(error, STATUS_RETRY, "out of memory for resolved rows");
    if (status == STATUS_OK)
        status = settle_all(&job, keys, error);
    if (status == STATUS_OK)
        status = write_notes(&job, error);
    if (status == STATUS_OK)
        status = ask(&job, error);
    if (status == STATUS_OK)
        status = finish(&job, error);
    resolve_close(&job.resolve);
    batch_close_buffer(&job.out);
    free(job.notes);
    free(job.asks);
    return status == STATUS_FATAL ? STATUS_RETRY : status;
}

/* ---- dead letters, sweeps ---- */

Status load_note_gaps(Loader *loader, const Batch *batch, Error *error)
{
    Job job = {.loader = loader};
    Status status = STATUS_OK;

    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++) {
        const MessageView *message = &batch->messages[batch->letters[i].message];
        WhReader r = wh_reader(message->value.data, message->value.size);
        WhEvent event;

        if (message->key.data && !batch->letters[i].hides_key && wh_event_get(&r, &event) &&
            !add_note(&job, message->topic, message->key, version_of(&event), NULL, 0, 0))
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    for (size_t i = 0; i < batch->gap_count && status == STATUS_OK; i++) {
        const MessageView *message = &batch->messages[batch->gaps[i].message];

        if (!add_note(&job, message->topic, message->key, batch->gaps[i].version, NULL, 0, 0))
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    if (status == STATUS_OK)
        status = write_notes(&job, error);
    free(job.notes);
    return status;
}

/* Which rows a sweep asks for, SWEPT_KEYS at a time. */
typedef struct Swept {
    const TableSchema *table;
    Version version;
    Text last; /* the key that was the last one of the answer before */
    WhSlice keys[SWEPT_KEYS];
    size_t count;
} Swept;

static Status read_swept_step(Loader *loader, void *context, Error *error)
{
    Swept *swept = context;
    char version[VERSION_DIGITS_MAX + 1];
    const char *body = "";
    size_t size = 0;
    Text sql = {0};
    WhReader r;
    Status status;

    version_print(swept->version, version);
    text_appendf(&sql, "SELECT DISTINCT key FROM `_walhouse_unchanged` WHERE topic = ");
    text_append_literal(&sql, swept->table->topic, strlen(swept->table->topic));
    text_appendf(
        &sql, " AND version > toUInt128('%s') AND source > 0 AND source < toUInt128('%s') AND key > unhex('",
        version, version);
    append_hex(&sql, (const uint8_t *)swept->last.data, swept->last.size);
    text_appendf(&sql, "') ORDER BY key LIMIT %d FORMAT RowBinary", SWEPT_KEYS);
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(loader->client, NULL, sql.data, &body, &size, error);
    text_free(&sql);
    if (status != STATUS_OK)
        return mend(loader, status);
    r = wh_reader(body, size);
    for (swept->count = 0; wh_reader_left(&r) > 0 && swept->count < SWEPT_KEYS; swept->count++)
        swept->keys[swept->count] = wh_get_bytes(&r, wh_get_varint(&r));
    return wh_reader_ok(&r)
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "ClickHouse's answer about notes: %s", r.error);
}

static Status ask_swept_step(Loader *loader, void *context, Error *error)
{
    const Swept *swept = context;

    return requests_rows(loader->requests, swept->table, swept->keys, swept->count,
                         "an unchanged value is older than the snapshot", error);
}

Status load_ask_swept(Loader *loader, const TableSchema *table, Version version, Error *error)
{
    Swept *swept = calloc(1, sizeof *swept);
    Status status = swept ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory");
    bool more = table->schema.key_column_count > 0;

    if (swept)
        *swept = (Swept){.table = table, .version = version};
    while (status == STATUS_OK && more) {
        status = loader_persist(loader, read_swept_step, swept, error);
        if (status != STATUS_OK || swept->count == 0)
            break;
        status = loader_persist(loader, ask_swept_step, swept, error);
        atomic_fetch_add(&loader->metrics->rows_requested, swept->count);
        more = swept->count == SWEPT_KEYS;
        text_clear(&swept->last);
        text_append(&swept->last, (const char *)swept->keys[swept->count - 1].data,
                    swept->keys[swept->count - 1].size);
    }
    if (swept)
        text_free(&swept->last);
    free(swept);
    return status;
}

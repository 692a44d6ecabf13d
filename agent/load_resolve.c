/*
 * load_resolve.c - rows that lack unchanged values, made whole before they are inserted; see resolve.h, which
 * decides.
 *
 *      keys for which the batch does not do --in groups--> their notes, their newest rows --> rows --> buffer
 *                                                                     '-- not to be had --> a note, and a
 * request
 *
 * Notes (load_notes.h) are written before the offset is committed.
 *
 * Memory: a group has at most GROUP_KEYS keys and an answer of a batch's bytes, or one row; what was resolved
 * is inserted when it has the bytes of a batch. The warehouse is asked in RowBinary, so values go from row to
 * row as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/load_notes.h"

#define GROUP_KEYS      1000
#define GROUP_KEY_BYTES 100000 /* in hexadecimal digits less than max_query_size */
#define GROUP_BYTES_MAX 33554432
#define TOO_MANY_BYTES  396 /* ClickHouse's exception for an answer that is too large */

typedef struct Group {
    Resolve *resolve;
    ResolveKey **keys;
    size_t count;
    WhSlice notes;    /* gaps borrow from them */
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
    Notes notes; /* to be written */
    WhSlice *asks;
    size_t ask_count;
} Job;

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
        text_append_hex(sql, group->keys[i]->row_key.data, group->keys[i]->row_key.size);
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
        base.version = base.source = version_get(&r);
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
             notes_add(&job->notes, topic, key->key, newest->version, NULL, 0, key->source);
        atomic_fetch_add(&job->loader->metrics->rows_resolved, 1);
        break;
    case RESOLVE_ASK:
        count = resolve_left_alone(&job->resolve, key, columns);
        ok = registry_hides_key(job->buffer->table) ||
             notes_add(&job->notes, topic, key->key, newest->version, columns, count, 0);
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
    Status status = values ? notes_read(job->loader, job->buffer->table->topic, group->keys, group->count,
                                        &group->notes, error)
                           : status_fail(error, STATUS_RETRY, "out of memory");

    if (status == STATUS_OK)
        status = loader_persist(job->loader, read_rows_step, group, error);
    if (status == STATUS_OK)
        status = take_rows(group, values, error);
    if (status == STATUS_OK)
        status = notes_take(group->resolve, group->notes, error);
    for (size_t i = 0; i < group->count && status == STATUS_OK; i++) {
        resolve_decide(&job->resolve, group->keys[i]);
        status = settle(job, group->keys[i], error);
    }
    job->resolve.gap_count = gaps;
    free((void *)(uintptr_t)group->notes.data);
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
        status = notes_write(&job.notes, loader, error);
    if (status == STATUS_OK)
        status = ask(&job, error);
    if (status == STATUS_OK)
        status = finish(&job, error);
    resolve_close(&job.resolve);
    batch_close_buffer(&job.out);
    notes_fini(&job.notes);
    free(job.asks);
    return status == STATUS_FATAL ? STATUS_RETRY : status;
}

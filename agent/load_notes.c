/*
 * load_notes.c - notes about keys in the warehouse; see load_notes.h.
 */
#include "agent/load_notes.h"

#include <stdlib.h>
#include <string.h>

#include "agent/ddl.h"

#define SWEPT_KEYS 10000

/* ---- written ---- */

bool notes_add(Notes *notes, const char *topic, WhSlice key, Version version, const uint16_t *columns,
               size_t column_count, Version source)
{
    size_t size = strlen(topic) + key.size + 2 * column_count + 32 + 3 * WH_VARINT_BYTES_MAX;
    uint8_t *p;

    if (notes->size + size > notes->capacity) {
        size_t capacity = 2 * notes->capacity + size + 4096;

        p = realloc(notes->data, capacity);
        if (p == NULL)
            return false;
        notes->data = p;
        notes->capacity = capacity;
    }
    p = wh_store_varint(notes->data + notes->size, strlen(topic));
    memcpy(p, topic, strlen(topic));
    p = wh_store_varint(p + strlen(topic), key.size);
    memcpy(p, key.data, key.size);
    p = version_store(p + key.size, version);
    p = wh_store_varint(p, column_count);
    for (size_t i = 0; i < column_count; i++) {
        *p++ = (uint8_t)columns[i];
        *p++ = (uint8_t)(columns[i] >> 8);
    }
    p = version_store(p, source);
    notes->size = (size_t)(p - notes->data);
    return true;
}

void notes_fini(Notes *notes)
{
    free(notes->data);
    *notes = (Notes){0};
}

/* The notes are the agent's own table: when it is gone it is made again. */
static Status mend(Loader *loader, Status status)
{
    Error ignored;

    if (status == STATUS_REJECT || status == STATUS_STOP)
        (void)ddl_ensure_system(loader->client, loader->config, &ignored);
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status write_step(Loader *loader, void *context, Error *error)
{
    const Notes *notes = context;
    Status status = clickhouse_insert(
        loader->client,
        "INSERT INTO `_walhouse_unchanged` (topic, key, version, columns, source) FORMAT RowBinary",
        notes->data, notes->size, error);

    return mend(loader, status);
}

Status notes_write(const Notes *notes, Loader *loader, Error *error)
{
    return notes->size > 0 ? loader_persist(loader, write_step, (void *)(uintptr_t)notes, error) : STATUS_OK;
}

/* ---- read ---- */

/* Frees the query. The answer is the client's, until its next request. */
static Status ask(Loader *loader, Text *sql, WhSlice *answer, Error *error)
{
    const char *body = "";
    size_t size = 0;
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(loader->client, NULL, sql->data, &body, &size, error);

    text_free(sql);
    *answer = (WhSlice){(const uint8_t *)body, size};
    return mend(loader, status);
}

static Status check_answer(const WhReader *r, Error *error)
{
    return wh_reader_ok(r)
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "ClickHouse's answer about notes: %s", r->error);
}

typedef struct Wanted {
    const char *topic;
    ResolveKey *const *keys;
    size_t count;
    WhSlice *notes; /* a copy of the answer */
} Wanted;

static Status read_step(Loader *loader, void *context, Error *error)
{
    const Wanted *wanted = context;
    uint8_t size[WH_VARINT_BYTES_MAX];
    uint8_t *copy;
    WhSlice answer;
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT key, version, columns, source FROM `_walhouse_unchanged` WHERE topic = ");
    text_append_literal(&sql, wanted->topic, strlen(wanted->topic));
    text_appendf(&sql, " AND key IN (SELECT k FROM format(RowBinary, 'k String', unhex('");
    for (size_t i = 0; i < wanted->count; i++) {
        WhSlice key = wanted->keys[i]->key;

        text_append_hex(&sql, size, (size_t)(wh_store_varint(size, key.size) - size));
        text_append_hex(&sql, key.data, key.size);
    }
    text_appendf(&sql, "'))) FORMAT RowBinary");
    status = ask(loader, &sql, &answer, error);
    if (status != STATUS_OK)
        return status;
    copy = malloc(answer.size + 1);
    if (copy == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    memcpy(copy, answer.data, answer.size);
    *wanted->notes = (WhSlice){copy, answer.size};
    return STATUS_OK;
}

Status notes_read(Loader *loader, const char *topic, ResolveKey *const *keys, size_t count, WhSlice *notes,
                  Error *error)
{
    Wanted wanted = {.topic = topic, .keys = keys, .count = count, .notes = notes};

    *notes = (WhSlice){0};
    return loader_persist(loader, read_step, &wanted, error);
}

Status notes_take(Resolve *resolve, WhSlice notes, Error *error)
{
    WhReader r = wh_reader(notes.data, notes.size);

    while (wh_reader_left(&r) > 0) {
        ResolveGap gap = {.key = wh_get_bytes(&r, wh_get_varint(&r))};
        ResolveKey *key;
        Version source;

        gap.version = version_get(&r);
        gap.column_count = wh_get_varint(&r);
        gap.columns = wh_get_bytes(&r, 2 * (uint64_t)gap.column_count).data;
        source = version_get(&r);
        if (!wh_reader_ok(&r))
            break;
        key = resolve_find_key(resolve, gap.key);
        if (source == 0 && !resolve_add_gap(resolve, &gap))
            return status_fail(error, STATUS_RETRY, "out of memory");
        if (source > 0 && key && key->base.there && key->base.version == gap.version &&
            source < key->base.source)
            key->base.source = source;
    }
    return check_answer(&r, error);
}

/* ---- events that are not loaded ---- */

Status load_note_gaps(Loader *loader, const Batch *batch, Error *error)
{
    Notes notes = {0};
    Status status = STATUS_OK;

    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++) {
        const MessageView *message = &batch->messages[batch->letters[i].message];
        WhReader r = wh_reader(message->value.data, message->value.size);
        WhEvent event;

        if (message->key.data && !batch->letters[i].hides_key && wh_event_get(&r, &event) &&
            !notes_add(&notes, message->topic, message->key, version_of(&event), NULL, 0, 0))
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    for (size_t i = 0; i < batch->gap_count && status == STATUS_OK; i++) {
        const MessageView *message = &batch->messages[batch->gaps[i].message];

        if (!notes_add(&notes, message->topic, message->key, batch->gaps[i].version, NULL, 0, 0))
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    if (status == STATUS_OK)
        status = notes_write(&notes, loader, error);
    notes_fini(&notes);
    return status;
}

/* ---- sweeps ---- */

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
    WhSlice answer;
    Text sql = {0};
    WhReader r;
    Status status;

    version_print(swept->version, version);
    text_appendf(&sql, "SELECT DISTINCT key FROM `_walhouse_unchanged` WHERE topic = ");
    text_append_literal(&sql, swept->table->topic, strlen(swept->table->topic));
    text_appendf(
        &sql, " AND version > toUInt128('%s') AND source > 0 AND source < toUInt128('%s') AND key > unhex('",
        version, version);
    text_append_hex(&sql, swept->last.data, swept->last.size);
    text_appendf(&sql, "') ORDER BY key LIMIT %d FORMAT RowBinary", SWEPT_KEYS);
    status = ask(loader, &sql, &answer, error);
    if (status != STATUS_OK)
        return status;
    r = wh_reader(answer.data, answer.size);
    for (swept->count = 0; wh_reader_left(&r) > 0 && swept->count < SWEPT_KEYS; swept->count++)
        swept->keys[swept->count] = wh_get_bytes(&r, wh_get_varint(&r));
    return check_answer(&r, error);
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

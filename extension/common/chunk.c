/*
 * chunk.c - reads the plugin's chunks record by record; see chunk.h.
 */
#include "chunk.h"

#include "schema.h"

WhChunkReader wh_chunk_reader(const void *data, size_t size)
{
    WhChunkReader chunk = {.reader = wh_reader(data, size)};

    if (wh_get_u8(&chunk.reader) != WH_CHUNK_MAGIC)
        wh_reader_fail(&chunk.reader, "not a walhouse chunk");
    else if (wh_get_u8(&chunk.reader) != WH_FORMAT_VERSION)
        wh_reader_fail(&chunk.reader, "unknown format version");
    return chunk;
}

static void read_begin(WhChunkReader *chunk, WhReader *record)
{
    chunk->commit_lsn = wh_get_u64(record);
    chunk->xid = wh_get_u32(record);
    chunk->commit_time_us = (int64_t)wh_get_u64(record);
    chunk->next_ordinal = wh_get_varint(record);
    chunk->in_transaction = true;
}

static void read_schema(WhReader *record, WhChunkItem *item)
{
    item->fingerprint = wh_get_u64(record);
    item->schema = wh_get_bytes(record, wh_reader_left(record));
    item->kind = WH_CHUNK_SCHEMA;
    if (wh_reader_ok(record) && wh_schema_fingerprint(item->schema) != item->fingerprint)
        wh_reader_fail(record, "the fingerprint is not that of the schema's bytes");
}

/* The transaction, schema and ordinal of the event whose operation item holds. */
static void read_place(WhChunkReader *chunk, WhReader *record, WhChunkItem *item)
{
    if (!chunk->in_transaction)
        wh_reader_fail(record, "an event outside a transaction");
    if (!chunk->schema_selected)
        wh_reader_fail(record, "an event before its schema is named");
    if (chunk->next_ordinal >= WH_ORDINAL_LIMIT)
        wh_reader_fail(record, "an ordinal is out of range");
    item->event.fingerprint = chunk->fingerprint;
    item->event.commit_lsn = chunk->commit_lsn;
    item->event.xid = chunk->xid;
    item->event.commit_time_us = chunk->commit_time_us;
    item->event.ordinal = chunk->next_ordinal;
    chunk->next_ordinal += wh_ordinal_step(item->event.operation, chunk->next_ordinal);
}

static void read_event(WhChunkReader *chunk, WhReader *record, char operation, WhChunkItem *item)
{
    uint64_t key_size;

    item->event.operation = operation;
    read_place(chunk, record, item);
    item->event.flags = wh_get_u8(record);
    item->event.lists = wh_lists_get(record, item->event.flags);
    key_size = wh_get_varint(record);
    item->event.body = wh_get_bytes(record, wh_reader_left(record));
    if (key_size > item->event.body.size)
        wh_reader_fail(record, "a key is longer than its row");
    item->key_size = (size_t)key_size;
    item->kind = WH_CHUNK_EVENT;
}

/* An event whose row no message can hold: its key and how large it would have been. */
static void read_large(WhChunkReader *chunk, WhReader *record, WhChunkItem *item)
{
    item->event.operation = (char)wh_get_u8(record);
    if (item->event.operation == '\0' || strchr("IUDR", item->event.operation) == NULL)
        wh_reader_fail(record, "unknown operation");
    read_place(chunk, record, item);
    item->size = wh_get_varint(record);
    item->event.body = wh_get_bytes(record, wh_reader_left(record));
    item->key_size = item->event.body.size;
    item->kind = WH_CHUNK_LARGE;
}

/* One that is not transactional stands between transactions, with its own place in the WAL. */
static void read_message(WhChunkReader *chunk, WhReader *record, WhChunkItem *item)
{
    WhMessage *message = &item->message;
    uint8_t flags = wh_get_u8(record);

    if (flags & ~(WH_MESSAGE_TRANSACTIONAL | WH_MESSAGE_TOO_LARGE))
        wh_reader_fail(record, "a message has unknown flags");
    message->transactional = flags & WH_MESSAGE_TRANSACTIONAL;
    message->too_large = flags & WH_MESSAGE_TOO_LARGE;
    if (message->transactional != chunk->in_transaction)
        wh_reader_fail(record, message->transactional ? "a transactional message outside a transaction"
                                                      : "a message that is not transactional inside one");
    message->lsn = wh_get_u64(record);
    if (message->transactional) {
        item->event.commit_lsn = chunk->commit_lsn;
        item->event.xid = chunk->xid;
        item->event.commit_time_us = chunk->commit_time_us;
    } else {
        message->end_lsn = wh_get_u64(record);
        item->event.xid = wh_get_u32(record);
    }
    message->prefix = wh_get_str(record, SIZE_MAX);
    if (message->too_large)
        message->size = wh_get_varint(record);
    message->content = wh_get_bytes(record, wh_reader_left(record));
    if (!message->too_large)
        message->size = message->content.size;
    else if (message->content.size > 0)
        wh_reader_fail(record, "a message that is too large has a content");
    item->kind = WH_CHUNK_MESSAGE;
}

static void read_commit(WhChunkReader *chunk, WhReader *record, WhChunkItem *item)
{
    if (!chunk->in_transaction)
        wh_reader_fail(record, "a commit outside a transaction");
    item->end_lsn = wh_get_u64(record);
    item->event.commit_lsn = chunk->commit_lsn;
    item->event.xid = chunk->xid;
    item->event.commit_time_us = chunk->commit_time_us;
    item->kind = WH_CHUNK_COMMIT;
    chunk->in_transaction = false;
}

/* Reads one record; item->kind stays WH_CHUNK_END when the record only changed the reader's state. */
static void read_record(WhChunkReader *chunk, WhChunkItem *item)
{
    char type = (char)wh_get_u8(&chunk->reader);
    WhSlice payload = wh_get_str(&chunk->reader, SIZE_MAX);
    WhReader record = wh_reader(payload.data, payload.size);

    if (!wh_reader_ok(&chunk->reader))
        return;
    switch (type) {
    case WH_RECORD_SCHEMA:
        read_schema(&record, item);
        break;
    case WH_RECORD_BEGIN:
        read_begin(chunk, &record);
        break;
    case WH_RECORD_SELECT:
        chunk->fingerprint = wh_get_u64(&record);
        chunk->schema_selected = true;
        break;
    case WH_OP_INSERT:
    case WH_OP_UPDATE:
    case WH_OP_DELETE:
    case WH_OP_SNAPSHOT:
    case WH_OP_TRUNCATE:
    case WH_OP_END:
        read_event(chunk, &record, type, item);
        break;
    case WH_RECORD_LARGE:
        read_large(chunk, &record, item);
        break;
    case WH_RECORD_MESSAGE:
        read_message(chunk, &record, item);
        break;
    case WH_RECORD_COMMIT:
        read_commit(chunk, &record, item);
        break;
    default:
        wh_reader_fail(&record, "unknown record type");
        break;
    }
    wh_get_end(&record);
    if (!wh_reader_ok(&record))
        wh_reader_fail(&chunk->reader, record.error);
}

void wh_chunk_next(WhChunkReader *chunk, WhChunkItem *item)
{
    *item = (WhChunkItem){.kind = WH_CHUNK_END};
    while (item->kind == WH_CHUNK_END && wh_reader_left(&chunk->reader) > 0)
        read_record(chunk, item);
    if (!wh_reader_ok(&chunk->reader))
        item->kind = WH_CHUNK_ERROR;
}

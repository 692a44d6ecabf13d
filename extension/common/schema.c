/*
 * schema.c - schemas as bytes, fingerprints and topic names; see schema.h.
 */
#include "schema.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define TOPIC_TAIL_SIZE 17 /* '_' and 16 digits */

uint64_t wh_schema_fingerprint(WhSlice schema)
{
    return XXH3_64bits(schema.data, schema.size);
}

void wh_fingerprint_hex(uint64_t fingerprint, char hex[WH_FINGERPRINT_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++)
        hex[i] = digits[(fingerprint >> (60 - 4 * i)) & 15];
    hex[16] = '\0';
}

static void put_slice(WhWriter *w, WhSlice slice)
{
    wh_put_str(w, slice.data, slice.size);
}

void wh_schema_put(WhWriter *w, const WhSchema *schema)
{
    wh_put_u8(w, WH_SCHEMA_LAYOUT);
    wh_put_u32(w, schema->relation_oid);
    wh_put_u8(w, (uint8_t)schema->replica_identity);
    put_slice(w, schema->schema_name);
    put_slice(w, schema->table_name);
    wh_put_varint(w, schema->column_count);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const WhColumn *c = &schema->columns[i];

        wh_put_varint(w, c->attribute_number);
        wh_put_u8(w, c->nullable ? WH_COLUMN_NULLABLE : 0);
        wh_put_varint(w, c->key_position);
        put_slice(w, c->name);
        wh_put_u32(w, c->type_oid);
        wh_put_u32(w, (uint32_t)c->typmod);
        put_slice(w, c->type_name);
        put_slice(w, c->clickhouse_type);
    }
}

/* Key columns stand first and count up from 1; the column at index follows that order or is not of the key.
 */
static void get_column(WhReader *r, WhSchema *schema, uint32_t index)
{
    WhColumn *c = &schema->columns[index];
    uint64_t number = wh_get_varint(r);
    uint8_t flags = wh_get_u8(r);
    uint64_t key_position = wh_get_varint(r);

    if (number < 1 || number > WH_COLUMNS_MAX)
        wh_reader_fail(r, "an attribute number is out of range");
    if (flags & ~WH_COLUMN_NULLABLE)
        wh_reader_fail(r, "a column has unknown flags");
    if (key_position != 0 && (key_position != index + 1 || schema->key_column_count != index))
        wh_reader_fail(r, "the key columns do not come first in key order");
    if (key_position != 0)
        schema->key_column_count++;
    c->attribute_number = (uint32_t)number;
    c->nullable = flags & WH_COLUMN_NULLABLE;
    c->key_position = (uint32_t)key_position;
    c->name = wh_get_str(r, WH_NAME_BYTES_MAX);
    c->type_oid = wh_get_u32(r);
    c->typmod = (int32_t)wh_get_u32(r);
    c->type_name = wh_get_str(r, WH_TYPE_NAME_BYTES_MAX);
    c->clickhouse_type = wh_get_str(r, WH_TYPE_NAME_BYTES_MAX);
    if (c->name.size == 0 || c->clickhouse_type.size == 0)
        wh_reader_fail(r, "a column lacks its name or type");
}

static bool finish(WhReader *r, const char **error, size_t *error_offset)
{
    wh_get_end(r);
    *error = r->error;
    *error_offset = r->error_offset;
    return wh_reader_ok(r);
}

bool wh_schema_get(WhSlice bytes, WhSchema *schema, WhColumn *columns, uint32_t max_columns,
                   const char **error, size_t *error_offset)
{
    WhReader r = wh_reader(bytes.data, bytes.size);
    uint64_t count;

    *schema = (WhSchema){.columns = columns};
    if (wh_get_u8(&r) != WH_SCHEMA_LAYOUT)
        wh_reader_fail(&r, "unknown schema layout version");
    schema->relation_oid = wh_get_u32(&r);
    schema->replica_identity = (char)wh_get_u8(&r);
    schema->schema_name = wh_get_str(&r, WH_NAME_BYTES_MAX);
    schema->table_name = wh_get_str(&r, WH_NAME_BYTES_MAX);
    if (wh_reader_ok(&r) && (schema->schema_name.size == 0 || schema->table_name.size == 0))
        wh_reader_fail(&r, "the table has no name");
    count = wh_get_varint(&r);
    if (count > WH_COLUMNS_MAX || count > max_columns)
        wh_reader_fail(&r, "too many columns");
    for (uint64_t i = 0; i < count && wh_reader_ok(&r); i++)
        get_column(&r, schema, (uint32_t)i);
    schema->column_count = wh_reader_ok(&r) ? (uint32_t)count : 0;
    return finish(&r, error, error_offset);
}

void wh_schema_message_put(WhWriter *w, uint64_t fingerprint, WhSlice topic, WhSlice schema)
{
    wh_put_u8(w, WH_FORMAT_VERSION);
    wh_put_u64(w, fingerprint);
    put_slice(w, topic);
    wh_put_bytes(w, schema.data, schema.size);
}

bool wh_schema_message_get(WhSlice bytes, WhSchemaMessage *message, const char **error, size_t *error_offset)
{
    WhReader r = wh_reader(bytes.data, bytes.size);

    *message = (WhSchemaMessage){0};
    if (wh_get_u8(&r) != WH_FORMAT_VERSION)
        wh_reader_fail(&r, "unknown format version");
    message->fingerprint = wh_get_u64(&r);
    message->topic = wh_get_str(&r, WH_TOPIC_BYTES_MAX);
    if (wh_reader_ok(&r) && message->topic.size == 0)
        wh_reader_fail(&r, "the schema names no topic");
    message->schema = wh_get_bytes(&r, wh_reader_left(&r));
    if (wh_reader_ok(&r) && wh_schema_fingerprint(message->schema) != message->fingerprint)
        wh_reader_fail(&r, "the fingerprint is not that of the schema's bytes");
    return finish(&r, error, error_offset);
}

static void put_escaped(WhWriter *w, WhSlice name)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_';
        bool looks_like_escape = c == '_' && i + 1 < name.size && name.data[i + 1] == 'x';

        if (plain && !looks_like_escape) {
            wh_put_u8(w, c);
        } else {
            uint8_t escape[5] = {'_', 'x', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15], '_'};

            wh_put_bytes(w, escape, sizeof escape);
        }
    }
}

/* The name's hash takes the place of what does not fit. */
static void end_in_hash(char topic[WH_TOPIC_BYTES_MAX + 1], const char *full, size_t size)
{
    size_t kept = size < WH_TOPIC_BYTES_MAX - TOPIC_TAIL_SIZE ? size : WH_TOPIC_BYTES_MAX - TOPIC_TAIL_SIZE;
    char hex[WH_FINGERPRINT_HEX_SIZE];

    wh_fingerprint_hex(XXH3_64bits(full, size), hex);
    memcpy(topic, full, kept);
    topic[kept] = '_';
    memcpy(topic + kept + 1, hex, TOPIC_TAIL_SIZE);
}

bool wh_topic_name(char topic[WH_TOPIC_BYTES_MAX + 1], const char *prefix, WhSlice schema_name,
                   WhSlice table_name)
{
    char full[WH_TOPIC_BYTES_MAX + 2 + 2 * 5 * WH_NAME_BYTES_MAX];
    WhWriter w = wh_writer(full, sizeof full);
    size_t prefix_size = strlen(prefix);

    if (prefix_size + 1 + TOPIC_TAIL_SIZE > WH_TOPIC_BYTES_MAX)
        return false;
    wh_put_bytes(&w, prefix, prefix_size);
    wh_put_u8(&w, '.');
    put_escaped(&w, schema_name);
    wh_put_u8(&w, '.');
    put_escaped(&w, table_name);
    if (w.full)
        return false;
    if (w.length > WH_TOPIC_BYTES_MAX) {
        end_in_hash(topic, full, w.length);
    } else {
        memcpy(topic, full, w.length);
        topic[w.length] = '\0';
    }
    return true;
}

void wh_topic_name_apart(char topic[WH_TOPIC_BYTES_MAX + 1])
{
    char full[WH_TOPIC_BYTES_MAX + 1];
    size_t size = strlen(topic);

    memcpy(full, topic, size);
    end_in_hash(topic, full, size);
}

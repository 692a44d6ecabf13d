/*
 * rowtext.c - RowBinary keys to text; see rowtext.h. Layouts are those of docs/types.md.
 */
#include "agent/rowtext.h"

#include <inttypes.h>
#include <time.h>

#include "agent/scalar.h"

#define BYTEA_OID 17

void rowtext_name(Text *text, WhSlice name)
{
    text_append(text, "\"", 1);
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"')
            text_append(text, "\"", 1);
        text_append(text, (const char *)name.data + i, 1);
    }
    text_append(text, "\"", 1);
}

/* With scale digits behind the point. */
static void put_decimal(Text *text, ScalarNumber number, unsigned scale)
{
    char digits[64];
    size_t at = sizeof digits;
    unsigned __int128 rest = number < 0 ? -(unsigned __int128)number : (unsigned __int128)number;
    unsigned count = 0;

    while (rest > 0 || count <= scale) {
        if (scale > 0 && count == scale)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
        count++;
    }
    if (number < 0)
        digits[--at] = '-';
    text_append(text, digits + at, sizeof digits - at);
}

static bool put_moment(Text *text, int64_t seconds, const char *format)
{
    char buffer[64];
    struct tm tm;
    time_t time = (time_t)seconds;

    if (gmtime_r(&time, &tm) == NULL || strftime(buffer, sizeof buffer, format, &tm) == 0)
        return false;
    text_append(text, buffer, strlen(buffer));
    return true;
}

static bool put_time(Text *text, int64_t us)
{
    int64_t fraction = (us % 1000000 + 1000000) % 1000000;
    bool ok;

    text_appendf(text, "'");
    ok = put_moment(text, (us - fraction) / 1000000, "%Y-%m-%d %H:%M:%S");
    text_appendf(text, ".%06" PRId64 "+00'", fraction);
    return ok;
}

/* ClickHouse keeps a UUID as two little-endian halves. */
static void put_uuid(Text *text, WhSlice value)
{
    text_appendf(text, "'");
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text_appendf(text, "-");
        text_appendf(text, "%02x", value.data[i < 8 ? 7 - i : 23 - i]);
    }
    text_appendf(text, "'");
}

/* Bytes of the character that begins at p; 0: it is no UTF-8, or would not show. */
static size_t character_size(const uint8_t *p, size_t left)
{
    size_t size = *p < 0x80                 ? 1
                  : *p >= 0xc2 && *p < 0xe0 ? 2
                  : *p >= 0xe0 && *p < 0xf0 ? 3
                  : *p >= 0xf0 && *p < 0xf5 ? 4
                                            : 0;

    if (size == 0 || size > left || *p < 0x20 || *p == 0x7f)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static bool put_string(Text *text, WhSlice bytes)
{
    text_appendf(text, "'");
    for (size_t i = 0, size; i < bytes.size; i += size) {
        size = character_size(bytes.data + i, bytes.size - i);
        if (size == 0)
            return false;
        text_append(text, (const char *)bytes.data + i, size);
        if (bytes.data[i] == '\'')
            text_append(text, "'", 1);
    }
    text_appendf(text, "'");
    return true;
}

static void put_bytea(Text *text, WhSlice bytes)
{
    text_appendf(text, "'\\x");
    text_append_hex(text, bytes.data, bytes.size);
    text_appendf(text, "'");
}

static bool put_value(Text *text, const WhColumn *column, WhSlice bytes)
{
    ScalarType type;
    ScalarValue value;

    if (!scalar_type(column->clickhouse_type, &type))
        return false;
    value = scalar_read(&type, bytes);
    switch (type.kind) {
    case SCALAR_BOOL:
        text_appendf(text, "%s", value.number ? "true" : "false");
        return true;
    case SCALAR_INTEGER:
    case SCALAR_DECIMAL:
        put_decimal(text, value.number, type.scale);
        return true;
    case SCALAR_DATE:
        return put_moment(text, (int64_t)value.number * 86400, "'%Y-%m-%d'");
    case SCALAR_TIME:
        return put_time(text, (int64_t)value.number);
    case SCALAR_UUID:
        put_uuid(text, bytes);
        return true;
    case SCALAR_TEXT:
        if (column->type_oid != BYTEA_OID)
            return put_string(text, value.text);
        put_bytea(text, value.text);
        return true;
    case SCALAR_FLOAT:
        break;
    }
    return false;
}

static bool put_key(Text *text, const TableSchema *table, WhSlice key)
{
    WhReader r = wh_reader(key.data, key.size);

    for (uint32_t i = 0; i < table->schema.key_column_count; i++) {
        const WhColumn *column = &table->schema.columns[i];
        WhSlice value = wh_type_get(&r, &table->types[i]);

        if (!wh_reader_ok(&r))
            return false;
        text_appendf(text, "%s", i ? " AND " : "");
        rowtext_name(text, column->name);
        text_appendf(text, " = ");
        if (column->nullable || !put_value(text, column, value))
            return false;
    }
    wh_get_end(&r);
    return wh_reader_ok(&r);
}

bool rowtext_key(Text *text, const TableSchema *table, WhSlice key)
{
    size_t before = text->size;

    if (key.data == NULL || table->schema.key_column_count == 0)
        return false;
    if (put_key(text, table, key) && !text->failed)
        return true;
    text->size = before;
    if (text->data)
        text->data[before] = '\0';
    return false;
}

/*
 * insert.c - rows on their way into a table; see insert.h.
 *
 *      rows of the schema --> header in the room before them --> INSERT ... FORMAT RowBinaryWithNamesAndTypes
 *      rows of a narrower schema --> INSERT ... SELECT ... FROM format(RowBinaryWithNamesAndTypes, types,
 * base64Decode(rows))
 *
 * The second way makes ClickHouse convert what comes late from before a column was widened. It goes in
 * statements of a bounded size, as the rows are a literal in them.
 */
#include "agent/insert.h"

#include <stdlib.h>
#include <string.h>

/*
 * More only for a single row. A statement may have 16 MB (clickhouse_settings.c); as base64 the largest row
 * that a message holds is 14 MB of it, where a literal with escapes could be twice its bytes.
 */
#define CONVERTED_BYTES_MAX 4000000

static size_t row_start(const TableBuffer *buffer, size_t row)
{
    return row < buffer->row_count ? buffer->rows[row].offset : buffer->size;
}

/* The header, malloc'ed; NULL: out of memory. */
static uint8_t *make_header(const Target *target, size_t *size)
{
    size_t capacity = target_header_bytes_max(target);
    uint8_t *header = malloc(capacity);
    WhWriter w = wh_writer(header, header ? capacity : 0);

    if (header)
        target_put_header(&w, target);
    *size = w.length;
    if (header && !w.full)
        return header;
    free(header);
    return NULL;
}

/* Header and rows as one piece: where the rows are the buffer's first ones, in the room before them. */
static Status insert_plain(ClickHouse *client, TableBuffer *buffer, size_t start, size_t size,
                           const char *sql, Error *error)
{
    size_t header_size;
    uint8_t *header = make_header(&buffer->table->target, &header_size);
    uint8_t *piece = header;
    Status status;

    if (header == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    if (start == buffer->header_size && header_size <= start) {
        piece = buffer->data + start - header_size;
        memcpy(piece, header, header_size);
    } else {
        piece = realloc(header, header_size + size);
        if (piece == NULL) {
            free(header);
            return status_fail(error, STATUS_RETRY, "out of memory");
        }
        header = piece;
        memcpy(piece + header_size, buffer->data + start, size);
    }
    status = clickhouse_insert(client, sql, piece, header_size + size, error);
    free(header);
    return status;
}

/* "`a` Int32, `b` String, ...": what the rows are. */
static void append_structure(Text *text, const Target *target)
{
    Text structure = {0};

    target_append_structure(&structure, target);
    text_append_literal(text, structure.data ? structure.data : "", structure.size);
    text->failed = text->failed || structure.failed;
    text_free(&structure);
}

static Status insert_converted(ClickHouse *client, TableBuffer *buffer, size_t start, size_t size,
                               const char *sql, Error *error)
{
    const Target *target = &buffer->table->target;
    size_t header_size;
    uint8_t *header = make_header(target, &header_size);
    Text statement = {0};
    Text data = {0};
    Status status;

    text_append(&statement, sql, strlen(sql) - strlen(INSERT_FORMAT));
    text_appendf(&statement, " SELECT ");
    target_append_columns(&statement, target);
    text_appendf(&statement, " FROM format(RowBinaryWithNamesAndTypes, ");
    append_structure(&statement, target);
    text_appendf(&statement, ", base64Decode('");
    if (header) {
        text_append(&data, (const char *)header, header_size);
        text_append(&data, (const char *)buffer->data + start, size);
        text_append_base64(&statement, data.data ? data.data : "", data.size);
    }
    text_appendf(&statement, "'))");
    status = header == NULL || data.failed || statement.failed
                 ? status_fail(error, STATUS_RETRY, "out of memory")
                 : clickhouse_query(client, NULL, statement.data, NULL, NULL, error);
    text_free(&statement);
    text_free(&data);
    free(header);
    return status;
}

Status insert_rows_of(ClickHouse *client, TableBuffer *buffer, size_t first, size_t end, const char *sql,
                      Error *error)
{
    size_t start = row_start(buffer, first);
    Status status = STATUS_OK;

    if (!buffer->table->target.converts)
        return insert_plain(client, buffer, start, row_start(buffer, end) - start, sql, error);
    while (first < end && status == STATUS_OK) {
        size_t last = first + 1;

        start = row_start(buffer, first);
        while (last < end && row_start(buffer, last + 1) - start <= CONVERTED_BYTES_MAX)
            last++;
        status = insert_converted(client, buffer, start, row_start(buffer, last) - start, sql, error);
        first = last;
    }
    return status;
}

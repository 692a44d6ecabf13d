/*
 * dlq_mirror.c - rows of _walhouse_dead_letters; see dlq_mirror.h.
 */
#include "agent/dlq_mirror.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rowtext.h"

#define TEXT_BYTES_MAX      2000   /* of a column */
#define STATEMENT_BYTES_MAX 100000 /* ClickHouse takes 262144 */

bool dlq_mirror_is_topic(const char *topic)
{
    static const char suffix[] = ".__dlq";
    size_t size = strlen(topic);

    return size >= sizeof suffix - 1 && strcmp(topic + size - (sizeof suffix - 1), suffix) == 0;
}

/* ---- keys ---- */

typedef struct Search {
    WhSlice topic;
    const TableSchema *found;
} Search;

static void look_at_table(void *context, const TableSchema *table)
{
    Search *search = context;

    if (wh_slice_equals(search->topic, table->topic))
        search->found = table;
}

const TableSchema *dlq_mirror_table(Registry *registry, const Letter *letter)
{
    Search search = {.topic = letter->topic};
    char digits[WH_FINGERPRINT_HEX_SIZE];

    if (letter->fingerprint.size == sizeof digits - 1) {
        memcpy(digits, letter->fingerprint.data, sizeof digits - 1);
        digits[sizeof digits - 1] = '\0';
        return registry_find(registry, strtoull(digits, NULL, 16));
    }
    registry_each_table(registry, look_at_table, &search);
    return search.found;
}

/* Does any table that it may be a letter of keep its key from people? */
static bool hides_key(Registry *registry, const Letter *letter, const TableSchema *named)
{
    char topic[WH_TOPIC_BYTES_MAX + 1];

    (void)snprintf(topic, sizeof topic, "%.*s",
                   (int)(letter->topic.size < sizeof topic ? letter->topic.size : sizeof topic - 1),
                   (const char *)letter->topic.data);
    return named ? registry_hides_key(named) : registry_topic_hides_key(registry, topic);
}

void dlq_mirror_key(Text *text, Registry *registry, const Letter *letter)
{
    const TableSchema *table = dlq_mirror_table(registry, letter);
    WhSlice start = {letter->key.data,
                     letter->key.size < TEXT_BYTES_MAX / 2 ? letter->key.size : TEXT_BYTES_MAX / 2};

    if (hides_key(registry, letter, table))
        text_appendf(text, "(masked)");
    else if (table == NULL || !rowtext_key(text, table, letter->key))
        text_append_hex(text, start.data, start.size);
}

void dlq_mirror_take(Registry *registry, MessageView *view, Text *scratch)
{
    Letter letter;

    text_clear(scratch);
    if (letter_read(view, &letter))
        dlq_mirror_key(scratch, registry, &letter);
    view->key = (WhSlice){(const uint8_t *)scratch->data, scratch->failed ? 0 : scratch->size};
    view->value = (WhSlice){0};
}

/* ---- rows ---- */

/* A literal of at most TEXT_BYTES_MAX bytes; a zero byte would end the statement. */
static void append_text(Text *sql, WhSlice value)
{
    char copy[TEXT_BYTES_MAX];
    size_t size = value.size < sizeof copy ? value.size : sizeof copy;

    for (size_t i = 0; i < size; i++)
        copy[i] = value.data[i] ? (char)value.data[i] : '?';
    text_append_literal(sql, copy, size);
}

static void append_row(Text *sql, const Letter *letter, WhSlice key, const char *state)
{
    text_append(sql, "(", 1);
    append_text(sql, letter->topic);
    text_appendf(sql, ", %" PRId32 ", %" PRId64 ", ", letter->partition, letter->offset);
    append_text(sql, letter->reason);
    text_appendf(sql, ", ");
    append_text(sql, letter->error);
    text_appendf(sql, ", %" PRId64 ", ", letter->time_us);
    append_text(sql, key);
    text_appendf(sql, ", %" PRId32 ", %" PRId64 ", '%s')", letter->dlq_partition, letter->dlq_offset, state);
}

static void begin_rows(Text *sql, const char *resolved_at)
{
    text_clear(sql);
    text_appendf(sql,
                 "INSERT INTO `_walhouse_dead_letters` (topic, partition, offset, reason, error, time, key, "
                 "dlq_partition, dlq_offset, state, resolved_at) SELECT topic, partition, offset, reason, "
                 "error, fromUnixTimestamp64Micro(time_us, 'UTC'), key, dlq_partition, dlq_offset, state, %s "
                 "FROM values('topic String, partition Int32, offset Int64, reason String, error String, "
                 "time_us Int64, key String, dlq_partition Int32, dlq_offset Int64, state String', ",
                 resolved_at);
}

static Status finish_rows(ClickHouse *client, Text *sql, const char *condition, Error *error)
{
    text_appendf(sql, ")%s", condition);
    return sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                       : clickhouse_query(client, NULL, sql->data, NULL, NULL, error);
}

Status dlq_mirror_batch(ClickHouse *client, const Batch *batch, Error *error)
{
    /* A mirror of 0.1.0 keeps the last row that was written, so it is looked at before. */
    static const char condition[] =
        " WHERE (topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM "
        "`_walhouse_dead_letters` WHERE state != 'waiting')";
    Text sql = {0};
    Status status = STATUS_OK;
    size_t rows = 0;
    Letter letter;

    for (size_t i = 0; i < batch->message_count && status == STATUS_OK; i++) {
        const MessageView *view = &batch->messages[i];

        if (!dlq_mirror_is_topic(view->topic) || !letter_read(view, &letter))
            continue;
        if (rows == 0)
            begin_rows(&sql, "toDateTime64(0, 6, 'UTC')");
        text_appendf(&sql, rows++ ? ", " : "");
        append_row(&sql, &letter, view->key, "waiting");
        if (sql.size >= STATEMENT_BYTES_MAX) {
            status = finish_rows(client, &sql, condition, error);
            rows = 0;
        }
    }
    if (rows > 0 && status == STATUS_OK)
        status = finish_rows(client, &sql, condition, error);
    text_free(&sql);
    return status;
}

Status dlq_mirror_put(ClickHouse *client, const Letter *letters, const WhSlice *keys, size_t count,
                      const char *state, Error *error)
{
    Text sql = {0};
    Status status = STATUS_OK;

    for (size_t i = 0; i < count && status == STATUS_OK;) {
        begin_rows(&sql, "now64(6)");
        for (size_t first = i; i < count && sql.size < STATEMENT_BYTES_MAX; i++) {
            text_appendf(&sql, i > first ? ", " : "");
            append_row(&sql, &letters[i], keys[i], state);
        }
        status = finish_rows(client, &sql, "", error);
    }
    text_free(&sql);
    return status;
}

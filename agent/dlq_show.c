/*
 * dlq_show.c - dead letters printed; see dlq_show.h.
 */
#include "agent/dlq_show.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/dlq_mirror.h"
#include "agent/rowtext.h"
#include "extension/common/event.h"

#define DECODED_BYTES_MAX 60000 /* as digits, of a statement that ClickHouse takes */
#define SHOWN_BYTES_MAX   1024
#define BYTES_A_LINE      32

/* ---- pieces ---- */

static void print_text(WhSlice text)
{
    text_print((const char *)text.data, text.size);
}

static void format_time(int64_t us, char text[32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        text[0] = '\0';
}

/* Text as JSON has it; bytes that are none as hexadecimal digits. */
static json_t *make_text(WhSlice text)
{
    json_t *value = json_stringn((const char *)text.data, text.size);
    Text hex = {0};

    if (value)
        return value;
    text_append(&hex, "", 0);
    text_append_hex(&hex, text.data, text.size);
    value = json_stringn(hex.failed ? "" : hex.data, hex.failed ? 0 : hex.size);
    text_free(&hex);
    return value;
}

static void set_text(json_t *object, const char *name, WhSlice text)
{
    if (text.size > 0)
        (void)json_object_set_new(object, name, make_text(text));
}

static json_t *make_hex(WhSlice bytes)
{
    Text hex = {0};
    json_t *value;

    text_append(&hex, "", 0);
    text_append_hex(&hex, bytes.data, bytes.size);
    value = hex.failed ? json_null() : json_stringn(hex.data, hex.size);
    text_free(&hex);
    return value;
}

static json_t *make_time(int64_t us)
{
    char text[32];

    format_time(us, text);
    return us > 0 ? json_string(text) : json_null();
}

/* ---- one line of a list ---- */

static json_t *make_entry(const DlqEntry *entry)
{
    const Letter *letter = &entry->letter;
    json_t *object = json_pack("{s:i, s:I, s:s, s:o, s:o, s:o, s:o}", "partition", letter->dlq_partition,
                               "offset", (json_int_t)letter->dlq_offset, "state", entry->state, "time",
                               make_time(letter->time_us), "reason", make_text(letter->reason), "error",
                               make_text(letter->error), "topic", make_text(letter->topic));

    if (!letter_is_too_large(letter)) {
        (void)json_object_set_new(object, "origin_partition", json_integer(letter->partition));
        (void)json_object_set_new(object, "origin_offset", json_integer(letter->offset));
    }
    if (entry->resolved_us > 0)
        (void)json_object_set_new(object, "resolved_at", make_time(entry->resolved_us));
    set_text(object, "key", entry->key_text);
    (void)json_object_set_new(object, "bytes",
                              json_integer(letter->size >= 0 ? letter->size : (json_int_t)entry->value_size));
    set_text(object, "agent", letter->agent);
    set_text(object, "version", letter->version);
    set_text(object, "fingerprint", letter->fingerprint);
    set_text(object, "commit_lsn", letter->commit_lsn);
    return object;
}

static void print_json(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    (void)printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(object);
}

static void print_head(const DlqEntry *entry)
{
    const Letter *letter = &entry->letter;
    char time[32];

    format_time(letter->time_us, time);
    (void)printf("%" PRId32 "/%" PRId64 "  %s  %s  ", letter->dlq_partition, letter->dlq_offset, entry->state,
                 time);
    print_text(letter->reason);
    (void)printf("  ");
    print_text(letter->topic);
    if (!letter_is_too_large(letter))
        (void)printf(" [%" PRId32 "] @ %" PRId64, letter->partition, letter->offset);
    (void)printf("  ");
    print_text(entry->key_text);
    (void)printf("\n    ");
    print_text(letter->error);
    (void)printf("\n");
}

void dlq_print_entry(const DlqEntry *entry, bool json)
{
    if (json)
        print_json(make_entry(entry));
    else
        print_head(entry);
}

/* ---- rows ---- */

static void append_structure(Text *structure, const TableSchema *table, bool key_only)
{
    uint32_t count = key_only ? table->schema.key_column_count : table->schema.column_count;

    for (uint32_t i = 0; i < count; i++) {
        const WhColumn *column = &table->schema.columns[i];

        text_appendf(structure, "%s", i ? ", " : "");
        text_append_identifier(structure, (const char *)column->name.data, column->name.size);
        text_appendf(structure, column->nullable ? " Nullable(" : " ");
        text_append(structure, (const char *)column->clickhouse_type.data, column->clickhouse_type.size);
        text_appendf(structure, column->nullable ? ")" : "");
    }
}

/* What the body holds, asked of the warehouse, which knows its own format. NULL: nobody can say. */
static json_t *read_body(ClickHouse *client, const TableSchema *table, const WhEvent *event)
{
    Text structure = {0}, sql = {0};
    const char *body;
    size_t size;
    json_t *row = NULL;
    Error error;

    if (event->body.size == 0 || event->body.size > DECODED_BYTES_MAX)
        return NULL;
    append_structure(&structure, table, wh_op_has_key_only(event->operation));
    text_appendf(&sql, "SELECT * FROM format(RowBinary, ");
    text_append_literal(&sql, structure.failed ? "" : structure.data, structure.size);
    text_appendf(&sql, ", unhex('");
    text_append_hex(&sql, event->body.data, event->body.size);
    text_appendf(&sql, "')) LIMIT 1 FORMAT JSONEachRow");
    if (!structure.failed && !sql.failed &&
        clickhouse_query(client, "", sql.data, &body, &size, &error) == STATUS_OK)
        row = json_loadb(body, size, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, NULL);
    text_free(&structure);
    text_free(&sql);
    return row;
}

/* The columns that are not whole in the body: without value, or with their exact text. */
static void add_lists(json_t *object, const TableSchema *table, const WhEvent *event)
{
    WhLists lists = wh_lists(event->flags, event->lists);
    json_t *unchanged = json_array(), *exact = json_object();
    uint32_t index;
    WhSlice text;

    while (wh_lists_next_unchanged(&lists, &index))
        if (index < table->schema.column_count)
            (void)json_array_append_new(unchanged, make_text(table->schema.columns[index].name));
    while (wh_lists_next_out_of_range(&lists, &index, &text)) {
        char name[WH_NAME_BYTES_MAX + 1];

        if (index >= table->schema.column_count)
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)table->schema.columns[index].name.size,
                       (const char *)table->schema.columns[index].name.data);
        (void)json_object_set_new(exact, name, make_text(text));
    }
    if (json_array_size(unchanged) > 0)
        (void)json_object_set(object, "unchanged", unchanged);
    if (json_object_size(exact) > 0)
        (void)json_object_set(object, "exact", exact);
    json_decref(unchanged);
    json_decref(exact);
}

/* The message's events; NULL: it has none, or they cannot be read. */
static json_t *make_events(WhSlice value, Registry *registry, ClickHouse *client)
{
    WhReader r = wh_reader(value.data, value.size);
    json_t *events = json_array();
    WhEvent event;

    while (wh_reader_left(&r) > 0 && wh_event_get(&r, &event)) {
        const TableSchema *table = registry_find(registry, event.fingerprint);
        char operation[2] = {event.operation};
        json_t *object = json_pack("{s:s}", "operation", operation);
        json_t *row = table ? read_body(client, table, &event) : NULL;

        if (table)
            add_lists(object, table, &event);
        if (row)
            (void)json_object_set_new(object, "row", row);
        (void)json_array_append_new(events, object);
    }
    if (wh_reader_ok(&r) && json_array_size(events) > 0)
        return events;
    json_decref(events);
    return NULL;
}

/* ---- a letter ---- */

static json_t *make_headers(WhSlice packed)
{
    WhReader r = wh_reader(packed.data, packed.size);
    json_t *headers = json_array();
    WhSlice name, value;

    while (letter_next_header(&r, &name, &value))
        (void)json_array_append_new(headers, json_pack("[o, o]", make_text(name), make_text(value)));
    return headers;
}

static void print_hex(const char *name, WhSlice bytes)
{
    size_t shown = bytes.size < SHOWN_BYTES_MAX ? bytes.size : SHOWN_BYTES_MAX;

    (void)printf("    %s  %zu bytes\n", name, bytes.size);
    for (size_t line = 0; line < shown; line += BYTES_A_LINE) {
        (void)printf("        ");
        for (size_t i = line; i < shown && i < line + BYTES_A_LINE; i++)
            (void)printf("%02x", bytes.data[i]);
        (void)printf("\n");
    }
    if (shown < bytes.size)
        (void)printf("        (%zu more; --json prints all)\n", bytes.size - shown);
}

static void print_person(const DlqEntry *entry, const MessageView *message, const json_t *events)
{
    WhReader r = wh_reader(message->headers.data, message->headers.size);
    WhSlice name, value;

    print_head(entry);
    while (letter_next_header(&r, &name, &value)) {
        (void)printf("    header  ");
        print_text(name);
        (void)printf(": ");
        print_text(value);
        (void)printf("\n");
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        char *text = json_dumps(json_array_get(events, i), JSON_COMPACT);

        (void)printf("    event  %s\n", text ? text : "");
        free(text);
    }
    print_hex("key", message->key);
    print_hex("value", message->value);
}

void dlq_print_letter(const DlqEntry *entry, const MessageView *message, Registry *registry,
                      ClickHouse *client, bool json)
{
    json_t *events = make_events(message->value, registry, client);
    json_t *object = json ? make_entry(entry) : NULL;

    if (json) {
        (void)json_object_set_new(object, "headers", make_headers(message->headers));
        (void)json_object_set_new(object, "key_hex", make_hex(message->key));
        (void)json_object_set_new(object, "value_hex", make_hex(message->value));
        if (events)
            (void)json_object_set(object, "events", events);
        print_json(object);
    } else {
        print_person(entry, message, events);
    }
    json_decref(events);
}

/* ---- advice ---- */

/* A Postgres literal. */
static void print_literal(const char *text, size_t size)
{
    (void)putchar('\'');
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\'')
            (void)putchar('\'');
        (void)putchar(text[i]);
    }
    (void)putchar('\'');
}

void dlq_print_advice(const DlqEntry *entry, Registry *registry, const char *pipeline)
{
    const Letter *letter = &entry->letter;
    const TableSchema *table = dlq_mirror_table(registry, letter);
    Text relation = {0};

    print_head(entry);
    if (letter->message_lsn.size > 0 || table == NULL) {
        (void)printf("    its bytes did not fit a message, so they are not here: send it anew in smaller "
                     "pieces, then discard this letter\n");
        return;
    }
    rowtext_name(&relation, table->schema.schema_name);
    text_append(&relation, ".", 1);
    rowtext_name(&relation, table->schema.table_name);
    (void)printf("    its bytes did not fit a message, so they are not here: make the row smaller, or leave "
                 "a column out of the publication; then in Postgres\n        SELECT walhouse.snapshot(");
    print_literal(pipeline, strlen(pipeline));
    (void)printf(", ");
    print_literal(relation.data ? relation.data : "", relation.size);
    (void)printf(", \"where\" => ");
    print_literal((const char *)entry->key_text.data, entry->key_text.size);
    (void)printf(")\n    reads it again (a row that was deleted meanwhile is gone by then), and discard this "
                 "letter\n");
    text_free(&relation);
}

/*
 * layout.c - is a storage table laid out as its rules say; see layout.h.
 *
 * ClickHouse writes expressions its own way (INTERVAL 2 YEAR becomes toIntervalYear(2)), so it is asked to
 * write the rules that way, too.
 */
#include "agent/layout.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

#define CODE_RULES "rules"

static void append_literal(Text *text, const char *value)
{
    text_append_literal(text, value, strlen(value));
}

/* The expressions as ClickHouse writes them, behind "SELECT ". */
static void append_written(Text *sql, const char *expressions)
{
    text_appendf(sql, "substring(formatQuerySingleLine(concat('SELECT ', ");
    append_literal(sql, expressions);
    text_appendf(sql, ")), 8)");
}

/* One text of the answer's array: empty, or what is otherwise. found is SQL. */
static void append_difference(Text *sql, const char *setting, const char *found, const char *wanted)
{
    text_appendf(sql, "if(%s = ", found);
    append_written(sql, wanted);
    text_appendf(sql, ", '', concat('%s is ', if(%s = '', 'not set', %s), ', and not ', ", setting, found,
                 found);
    append_literal(sql, wanted);
    text_appendf(sql, ")), ");
}

/* ClickHouse adds what a codec's arguments are by default; of several in a row no more is said. */
static void append_codec(Text *sql, const Target *target, const TargetColumn *column)
{
    text_appendf(sql,
                 "ifNull((SELECT if(found IN ('', concat('CODEC(', wanted, ')')) OR startsWith(found, "
                 "concat('CODEC(', wanted, '(')), '', concat('the codec of ', name, ' is ', found, ', and "
                 "not ', wanted)) FROM (SELECT name, upper(compression_codec) AS found, upper(");
    append_literal(sql, column->codec);
    text_appendf(sql, ") AS wanted FROM system.columns WHERE database = ");
    append_literal(sql, target->database);
    text_appendf(sql, " AND table = ");
    append_literal(sql, target->storage_name);
    text_appendf(sql, " AND name = ");
    append_literal(sql, column->stored);
    text_appendf(sql, ")), ''), ");
}

/* A TTL stands in the middle of what ClickHouse says of the engine. */
static void append_ttl(Text *sql, const char *wanted)
{
    text_appendf(sql, "if(position(concat(engine_full, ' '), concat('TTL ', ");
    append_written(sql, wanted);
    text_appendf(sql, ", ' ')) > 0, '', concat('ttl is not ', ");
    append_literal(sql, wanted);
    text_appendf(sql, ")), ");
}

Status layout_compare(ClickHouse *client, const Target *target, Text *differences, Error *error)
{
    const char *body = "";
    size_t size = 0;
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT arrayStringConcat(arrayFilter(t -> t != '', [");
    if (target->order_by)
        append_difference(&sql, "order_by", "sorting_key", target->order_by);
    if (target->partition_by)
        append_difference(&sql, "partition_by", "partition_key", target->partition_by);
    if (target->ttl)
        append_ttl(&sql, target->ttl);
    for (uint32_t i = 0; i < target->column_count; i++)
        if (target->columns[i].codec && strchr(target->columns[i].codec, ',') == NULL)
            append_codec(&sql, target, &target->columns[i]);
    text_appendf(&sql, "'']), '; ') FROM system.tables WHERE database = ");
    append_literal(&sql, target->database);
    text_appendf(&sql, " AND name = ");
    append_literal(&sql, target->storage_name);
    text_appendf(&sql, " FORMAT RawBLOB");
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(client, NULL, sql.data, &body, &size, error);
    text_free(&sql);
    if (status == STATUS_OK && size > 0) {
        text_appendf(differences, "%s keeps the layout that it was made with: ", target->storage_name);
        text_append(differences, body, size);
    }
    return status;
}

void layout_tell(ClickHouse *client, TableStates *states, const Target *target)
{
    Text differences = {0};
    Error error;

    if (layout_compare(client, target, &differences, &error) != STATUS_OK)
        log_warning("whether table %s is laid out as its rules say cannot be told: %s", target->view_name,
                    error.text);
    else if (differences.size == 0)
        table_states_clear(states, target->view_name, CODE_RULES);
    else if (!differences.failed && table_states_set(states, target->view_name, TABLE_LOADING, CODE_RULES,
                                                     differences.data, LAYOUT_WAY_OUT))
        log_warning("table %s: %s", target->view_name, differences.data);
    text_free(&differences);
}

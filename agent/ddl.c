/*
 * ddl.c - tables and views in ClickHouse; see ddl.h.
 *
 *      schema --> storage table _orders: ReplacingMergeTree(_version, _deleted) ORDER BY key
 *             --> view orders: its current rows
 *
 * Each column's comment holds its Postgres attribute number: names change, numbers do not.
 */
#include "agent/ddl.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define COMMENT_PREFIX "attribute "

/* A column that the storage table has. */
typedef struct FoundColumn {
    const char *name; /* borrowed from the answer */
    const char *type;
    uint32_t attribute_number; /* 0: not one of ours, or a system column */
    bool in_key;
} FoundColumn;

static void append_name(Text *text, const char *name)
{
    text_append_identifier(text, name, strlen(name));
}

static void append_column(Text *text, const TargetColumn *column)
{
    append_name(text, column->stored);
    text_appendf(text, " %s", column->type);
    if (column->attribute_number > 0)
        text_appendf(text, " COMMENT '" COMMENT_PREFIX "%u'", column->attribute_number);
    if (column->codec)
        text_appendf(text, " CODEC(%s)", column->codec);
}

/* Without a key every version is a row of its own: a log. */
static void append_order(Text *text, const Target *target)
{
    text_appendf(text, " ORDER BY (");
    for (uint32_t i = 0; i < target->key_column_count && target->order_by == NULL; i++) {
        text_appendf(text, i ? ", " : "");
        append_name(text, target->columns[i].stored);
    }
    if (target->order_by)
        text_append(text, target->order_by, strlen(target->order_by));
    else if (target->key_column_count == 0)
        text_appendf(text, "`_version`");
    text_appendf(text, ")");
}

/* The columns of a storage table, and of a history. */
static void append_table_columns(Text *text, const Target *target)
{
    text_appendf(text, " (");
    for (uint32_t i = 0; i < target->column_count; i++) {
        append_column(text, &target->columns[i]);
        text_appendf(text, ", ");
    }
    if (target->history_name)
        text_appendf(text, "`_operation` " TARGET_OPERATION_TYPE ", ");
    text_appendf(text, "`_version` UInt128, `_deleted` UInt8, `_commit_time` DateTime64(6, 'UTC'), "
                       "`_loaded_time` DateTime64(6, 'UTC') DEFAULT now64(6), "
                       /* Latencies are asked of the newest rows only, every second. */
                       "INDEX `_loaded_time_index` `_loaded_time` TYPE minmax GRANULARITY 1)");
}

void ddl_create_table(Text *text, const Target *target)
{
    text_appendf(text, "CREATE TABLE IF NOT EXISTS ");
    target_append_storage(text, target);
    append_table_columns(text, target);
    text_appendf(text, " ENGINE = ReplacingMergeTree(`_version`, `_deleted`)");
    if (target->partition_by)
        text_appendf(text, " PARTITION BY %s", target->partition_by);
    append_order(text, target);
    /* A deleted row keeps the defaults of what a time may be taken from: it must outlive the rows that it
     * hides. */
    if (target->ttl)
        text_appendf(text, " TTL %s DELETE WHERE `_deleted` = 0", target->ttl);
}

/* ---- what is there ---- */

static void read_column(json_t *row, FoundColumn *column)
{
    const char *comment = json_string_value(json_array_get(row, 2));
    size_t prefix_size = strlen(COMMENT_PREFIX);

    column->name = json_string_value(json_array_get(row, 0));
    column->type = json_string_value(json_array_get(row, 1));
    column->in_key = json_integer_value(json_array_get(row, 3)) != 0;
    column->attribute_number = 0;
    if (comment && strncmp(comment, COMMENT_PREFIX, prefix_size) == 0)
        column->attribute_number = (uint32_t)strtoul(comment + prefix_size, NULL, 10);
}

/* *answer holds what the columns borrow; json_decref() it. columns has room for 2 * WH_COLUMNS_MAX. */
static Status read_columns(ClickHouse *client, const TableSchema *table, json_t **answer,
                           FoundColumn *columns, size_t *count, Error *error)
{
    Text sql = {0};
    const char *body;
    size_t size;
    Status status;

    text_appendf(
        &sql,
        "SELECT groupArray((name, type, comment, is_in_sorting_key)) FROM (SELECT * FROM system.columns "
        "WHERE database = ");
    text_append_literal(&sql, table->target.database, strlen(table->target.database));
    text_appendf(&sql, " AND table = ");
    text_append_literal(&sql, table->target.storage_name, strlen(table->target.storage_name));
    text_appendf(&sql, " ORDER BY position) FORMAT JSONCompactEachRow");
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(client, NULL, sql.data, &body, &size, error);
    text_free(&sql);
    *answer = NULL;
    *count = 0;
    if (status != STATUS_OK)
        return status;
    *answer = json_loadb(body, size, 0, NULL);
    if (*answer == NULL)
        return status_fail(error, STATUS_RETRY, "ClickHouse's answer about the columns of %s is no JSON",
                           table->target.storage_name);
    for (size_t i = 0; i < json_array_size(json_array_get(*answer, 0)) && i < 2 * WH_COLUMNS_MAX; i++) {
        read_column(json_array_get(json_array_get(*answer, 0), i), &columns[i]);
        if (columns[i].name == NULL || columns[i].type == NULL)
            return status_fail(error, STATUS_RETRY,
                               "ClickHouse's answer about the columns of %s has another shape",
                               table->target.storage_name);
        (*count)++;
    }
    return STATUS_OK;
}

static const FoundColumn *find_by_name(const FoundColumn *columns, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, columns[i].name) == 0)
            return &columns[i];
    return NULL;
}

static const FoundColumn *find_by_number(const FoundColumn *columns, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        if (columns[i].attribute_number == number)
            return &columns[i];
    return NULL;
}

/* Can rows of this column go into what is there? *missing: there is nothing, and it may be added. */
static Status check_column(const TableSchema *table, const TargetColumn *column, const FoundColumn *found,
                           size_t found_count, bool *missing, Error *error)
{
    const FoundColumn *same_name = find_by_name(found, found_count, column->stored);
    const FoundColumn *same_number =
        column->attribute_number > 0 ? find_by_number(found, found_count, column->attribute_number) : NULL;
    bool in_key = (uint32_t)(column - table->target.columns) < table->target.key_column_count;

    *missing = same_name == NULL;
    if (same_name == NULL && same_number != NULL)
        return status_fail(error, STATUS_STOP,
                           "column %s of %s was renamed to %s, which this version does not follow: "
                           "ALTER TABLE %s RENAME COLUMN in ClickHouse, then the rows go on",
                           same_number->name, table->target.view_name, column->name,
                           table->target.storage_name);
    if (same_name == NULL)
        return STATUS_OK;
    if (same_name->attribute_number != column->attribute_number)
        return status_fail(
            error, STATUS_STOP,
            "column %s of %s is another column (attribute %u, not %u) than the one that %s holds: "
            "rename or drop the table in ClickHouse, then it is made anew",
            column->name, table->target.view_name, column->attribute_number, same_name->attribute_number,
            table->target.storage_name);
    if (strcmp(column->type, same_name->type) != 0)
        return status_fail(
            error, STATUS_STOP,
            "column %s of %s is %s now, and %s in %s, which this version does not follow: "
            "ALTER TABLE ... MODIFY COLUMN in ClickHouse if the type can hold the values there",
            column->name, table->target.view_name, column->type, same_name->type, table->target.storage_name);
    if (same_name->in_key != in_key)
        return status_fail(error, STATUS_STOP,
                           "the key of %s has changed, which this version does not follow: "
                           "rename or drop %s in ClickHouse, then it is made anew",
                           table->target.view_name, table->target.storage_name);
    return STATUS_OK;
}

/* ---- changing it ---- */

static Status run(ClickHouse *client, Text *sql, Error *error)
{
    if (sql->failed)
        return status_fail(error, STATUS_RETRY, "out of memory");
    return clickhouse_query(client, NULL, sql->data, NULL, NULL, error);
}

/* What the view shows of a column that the storage table has. */
static void append_view_column(Text *sql, const Target *target, const FoundColumn *found)
{
    const TargetColumn *column = NULL;

    for (uint32_t i = 0; i < target->column_count && column == NULL; i++)
        if (strcmp(target->columns[i].stored, found->name) == 0)
            column = &target->columns[i];
    /* A column that Postgres has dropped stays. */
    if (column == NULL && (found->attribute_number == 0 || target_hides(target, found->attribute_number)))
        return;
    append_name(sql, found->name);
    if (column && strcmp(column->name, column->stored) != 0) {
        text_appendf(sql, " AS ");
        append_name(sql, column->name);
    }
    text_appendf(sql, ", ");
}

static Status create_view(ClickHouse *client, const TableSchema *table, const FoundColumn *found,
                          size_t found_count, Error *error)
{
    Text sql = {0};
    Status status;

    /* A view keeps the types of its columns from when it was made, so it is made anew for each schema. */
    text_appendf(&sql, "CREATE OR REPLACE VIEW ");
    target_append_view(&sql, &table->target);
    text_appendf(&sql, " AS SELECT ");
    for (size_t i = 0; i < found_count; i++)
        append_view_column(&sql, &table->target, &found[i]);
    /* FINAL leaves the newest version of each key, and nothing where that is a delete. */
    text_appendf(&sql, "`_version`, `_commit_time`, `_loaded_time` FROM ");
    target_append_storage(&sql, &table->target);
    text_appendf(&sql, " FINAL");
    status = run(client, &sql, error);
    text_free(&sql);
    return status;
}

static Status add_column(ClickHouse *client, const TableSchema *table, const TargetColumn *column,
                         Error *error)
{
    Text sql = {0};
    Status status;

    text_appendf(&sql, "ALTER TABLE ");
    target_append_storage(&sql, &table->target);
    text_appendf(&sql, " ADD COLUMN IF NOT EXISTS ");
    append_column(&sql, column);
    status = run(client, &sql, error);
    text_free(&sql);
    return status;
}

static Status create_storage(ClickHouse *client, const TableSchema *table, Error *error)
{
    Text sql = {0};
    Status status = STATUS_OK;

    if (table->target.own_database) {
        text_appendf(&sql, "CREATE DATABASE IF NOT EXISTS ");
        append_name(&sql, table->target.database);
        status = run(client, &sql, error);
        text_free(&sql);
    }
    if (status != STATUS_OK)
        return status;
    ddl_create_table(&sql, &table->target);
    status = run(client, &sql, error);
    text_free(&sql);
    return status;
}

/* Compares the schema with what is there and adds what is missing; *changed when it did. */
static Status fit_columns(ClickHouse *client, const TableSchema *table, const FoundColumn *found,
                          size_t found_count, bool *changed, Error *error)
{
    Status status = STATUS_OK;

    *changed = false;
    for (uint32_t i = 0; i < table->target.column_count && status == STATUS_OK; i++) {
        const TargetColumn *column = &table->target.columns[i];
        bool missing;

        status = check_column(table, column, found, found_count, &missing, error);
        if (status != STATUS_OK || !missing)
            continue;
        if (i < table->target.key_column_count)
            return status_fail(error, STATUS_STOP,
                               "the key of %s has changed, which this version does not follow: "
                               "rename or drop %s in ClickHouse, then it is made anew",
                               table->target.view_name, table->target.storage_name);
        status = add_column(client, table, column, error);
        *changed = true;
    }
    return status;
}

static Status refuse_system_names(const TableSchema *table, Error *error)
{
    static const char *const reserved[] = {"_version", "_deleted", "_commit_time", "_loaded_time"};

    for (uint32_t i = 0; i < table->target.column_count; i++)
        for (size_t r = 0; r < sizeof reserved / sizeof reserved[0]; r++)
            if (strcmp(table->target.columns[i].name, reserved[r]) == 0)
                return status_fail(error, STATUS_STOP,
                                   "column %s of %s has the name of a system column: rename it in Postgres",
                                   reserved[r], table->target.view_name);
    return STATUS_OK;
}

Status ddl_ensure(ClickHouse *client, TableSchema *table, Error *error)
{
    FoundColumn *found = calloc(2 * WH_COLUMNS_MAX, sizeof *found);
    size_t count = 0;
    json_t *answer = NULL;
    bool changed = false;
    Status status = refuse_system_names(table, error);

    if (found == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    if (status == STATUS_OK)
        status = create_storage(client, table, error);
    if (status == STATUS_OK)
        status = read_columns(client, table, &answer, found, &count, error);
    if (status == STATUS_OK)
        status = fit_columns(client, table, found, count, &changed, error);
    if (status == STATUS_OK && changed) {
        json_decref(answer);
        answer = NULL;
        status = read_columns(client, table, &answer, found, &count, error);
    }
    if (status == STATUS_OK)
        status = create_view(client, table, found, count, error);
    table->ready = status == STATUS_OK;
    json_decref(answer);
    free(found);
    return status;
}

/* A user that may not create databases is no trouble where the database is there. */
static Status ensure_database(ClickHouse *client, const Config *config, Error *error)
{
    Text sql = {0};
    size_t size = 0;
    Status status;

    text_appendf(&sql, "SELECT 1 FROM system.databases WHERE name = ");
    text_append_literal(&sql, config->clickhouse_database, strlen(config->clickhouse_database));
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(client, "", sql.data, NULL, &size, error);
    if (status == STATUS_OK && size == 0) {
        text_clear(&sql);
        text_appendf(&sql, "CREATE DATABASE IF NOT EXISTS ");
        append_name(&sql, config->clickhouse_database);
        status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                            : clickhouse_query(client, "", sql.data, NULL, NULL, error);
    }
    text_free(&sql);
    return status;
}

/* The columns that a mirror of 0.1.0 does not have, each after before, with between between them. */
#define DEAD_LETTERS_ADDED(before, between)                                                                  \
    before "key String" between before "dlq_partition Int32 DEFAULT -1" between before                       \
           "dlq_offset Int64 DEFAULT -1" between before "state String DEFAULT 'waiting'" between before      \
           "resolved_at DateTime64(6, 'UTC')"

Status ddl_ensure_system(ClickHouse *client, const Config *config, Error *error)
{
    static const char *const tables[] = {
        /* A letter that was dealt with stays so when it is read from its topic once more. */
        "CREATE TABLE IF NOT EXISTS `_walhouse_dead_letters` (topic String, partition Int32, offset Int64, "
        "reason String, error String, time DateTime64(6, 'UTC') DEFAULT now64(6), " DEAD_LETTERS_ADDED(
            "", ", ") ") ENGINE = ReplacingMergeTree(resolved_at) ORDER BY (topic, partition, offset)",
        "ALTER TABLE `_walhouse_dead_letters` " DEAD_LETTERS_ADDED("ADD COLUMN IF NOT EXISTS ", ", "),
        "CREATE TABLE IF NOT EXISTS `_walhouse_truncates` (table String, version UInt128, "
        "commit_time DateTime64(6, 'UTC'), time DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree(version) ORDER BY table",
        "CREATE TABLE IF NOT EXISTS `_walhouse_sweeps` (table String, version UInt128, partition Int32, "
        "partitions Int32, time DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree ORDER BY (table, version, partition)",
        "CREATE TABLE IF NOT EXISTS `_walhouse_offsets` (`group` String, topic String, topic_id String, "
        "partition Int32, offset Int64, safe_offset Int64, server String, started Int64, "
        "time DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree(time) ORDER BY (`group`, topic, partition)",
        /* See load_resolve.c. An event that was not loaded is noted for good. */
        "CREATE TABLE IF NOT EXISTS `_walhouse_unchanged` (topic String, key String, version UInt128, "
        "columns Array(UInt16), source UInt128, time DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree ORDER BY (topic, key, version) "
        "TTL toDateTime(time) + INTERVAL 7 DAY DELETE WHERE source > 0",
        "CREATE TABLE IF NOT EXISTS `_walhouse_statistics` (schema String, table String, source_rows Int64, "
        "exact Bool, "
        "source_lsn String, source_taken_at DateTime64(6, 'UTC'), warehouse_rows Int64, "
        "warehouse_measured_at DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = MergeTree ORDER BY (schema, table, source_taken_at) TTL toDateTime(source_taken_at) + "
        "INTERVAL 7 DAY",
    };
    Status status = ensure_database(client, config, error);

    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && status == STATUS_OK; i++)
        status = clickhouse_query(client, NULL, tables[i], NULL, NULL, error);
    return status;
}

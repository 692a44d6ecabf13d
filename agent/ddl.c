/*
 * ddl.c - statements for tables and views in ClickHouse; see ddl.h.
 *
 *      schema --> storage table _orders: ReplacingMergeTree(_version, _deleted) ORDER BY key
 *             --> view orders: its current rows
 *
 * The table's comment says whose rows it takes, each column's comment its Postgres attribute number: names
 * change, numbers do not.
 */
#include "agent/ddl.h"

#include <string.h>

static void append_name(Text *text, const char *name)
{
    text_append_identifier(text, name, strlen(name));
}

static void append_column(Text *text, const TargetColumn *column, const char *stored)
{
    append_name(text, stored);
    text_appendf(text, " %s", column->type);
    if (column->attribute_number > 0)
        text_appendf(text, " COMMENT '" STORAGE_ATTRIBUTE_PREFIX "%u'", column->attribute_number);
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
        append_column(text, &target->columns[i], target->columns[i].stored);
        text_appendf(text, ", ");
    }
    if (target->history_name)
        text_appendf(text, "`_operation` " TARGET_OPERATION_TYPE ", ");
    text_appendf(text, "`_version` UInt128, `_deleted` UInt8, `_commit_time` DateTime64(6, 'UTC'), "
                       "`_loaded_time` DateTime64(6, 'UTC') DEFAULT now64(6), "
                       /* Latencies are asked of the newest rows only, every second. */
                       "INDEX `_loaded_time_index` `_loaded_time` TYPE minmax GRANULARITY 1)");
}

void ddl_create_table(Text *text, const Target *target, const char *comment)
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
    text_appendf(text, " COMMENT ");
    text_append_literal(text, comment, strlen(comment));
}

void ddl_add_column(Text *text, const TargetColumn *column, const char *stored)
{
    text_appendf(text, "ADD COLUMN IF NOT EXISTS ");
    append_column(text, column, stored);
}

void ddl_widen_column(Text *text, const TargetColumn *column, const char *stored, const char *type,
                      const char *was)
{
    text_appendf(text, "MODIFY COLUMN ");
    append_name(text, stored);
    text_appendf(text, " %s", type);
    if (was)
        text_appendf(text, " COMMENT '" STORAGE_ATTRIBUTE_PREFIX "%u" STORAGE_WAS_MARK "%s'",
                     column->attribute_number, was);
}

void ddl_view_definition(Text *text, const Target *target)
{
    text_appendf(text, "SELECT ");
    for (uint32_t i = 0; i < target->column_count; i++) {
        /* Names may have changed places: without the table's alias one would be taken for the other. */
        text_appendf(text, "stored.");
        append_name(text, target->columns[i].stored);
        text_appendf(text, " AS ");
        append_name(text, target->columns[i].name);
        text_appendf(text, ", ");
    }
    /* FINAL leaves the newest version of each key, and nothing where that is a delete. */
    text_appendf(text, "stored.`_version` AS `_version`, stored.`_commit_time` AS `_commit_time`, "
                       "stored.`_loaded_time` AS `_loaded_time` FROM ");
    target_append_storage(text, target);
    text_appendf(text, " AS stored FINAL");
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
        "CREATE TABLE IF NOT EXISTS `_walhouse_tables` (source String, relation UInt32, fingerprint String, "
        "database String, view String, storage String, definition String, version UInt128, "
        "time DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree(version) ORDER BY (source, relation, fingerprint)",
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
        "warehouse_measured_at DateTime64(6, 'UTC') DEFAULT now64(6), warehouse_newer Int64) "
        "ENGINE = MergeTree ORDER BY (schema, table, source_taken_at) TTL toDateTime(source_taken_at) + "
        "INTERVAL 7 DAY",
        "ALTER TABLE `_walhouse_statistics` ADD COLUMN IF NOT EXISTS warehouse_newer Int64",
    };
    Status status = ensure_database(client, config, error);

    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && status == STATUS_OK; i++)
        status = clickhouse_query(client, NULL, tables[i], NULL, NULL, error);
    return status;
}

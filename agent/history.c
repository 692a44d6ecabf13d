/*
 * history.c - histories of tables; see history.h.
 */
#include "agent/history.h"

#include <string.h>

static void append_column(Text *text, const TargetColumn *column)
{
    text_append_identifier(text, column->stored, strlen(column->stored));
    text_appendf(text, " %s", column->stored_type ? column->stored_type : column->type);
    if (column->codec)
        text_appendf(text, " CODEC(%s)", column->codec);
}

void history_create_statement(Text *text, const Target *target)
{
    text_appendf(text, "CREATE TABLE IF NOT EXISTS ");
    target_append_history(text, target);
    text_appendf(text, " (");
    for (uint32_t i = 0; i < target->column_count; i++) {
        append_column(text, &target->columns[i]);
        text_appendf(text, ", ");
    }
    text_appendf(text,
                 "`_operation` " TARGET_OPERATION_TYPE ", `_version` UInt128, `_deleted` UInt8, "
                 "`_commit_time` DateTime64(6, 'UTC'), `_loaded_time` DateTime64(6, 'UTC') DEFAULT now64(6)) "
                 "ENGINE = ReplacingMergeTree ORDER BY (");
    for (uint32_t i = 0; i < target->key_column_count; i++) {
        text_append_identifier(text, target->columns[i].stored, strlen(target->columns[i].stored));
        text_appendf(text, ", ");
    }
    text_appendf(text, "`_version`)");
}

void history_columns_statement(Text *text, const Target *target)
{
    text_appendf(text, "ALTER TABLE ");
    target_append_history(text, target);
    for (uint32_t i = target->key_column_count; i < target->column_count; i++) {
        text_appendf(text, "%s ADD COLUMN IF NOT EXISTS ", i > target->key_column_count ? "," : "");
        append_column(text, &target->columns[i]);
    }
}

/* A column is widened with the storage table's. */
static void append_widening(Text *text, const Target *target)
{
    text_appendf(text, "ALTER TABLE ");
    target_append_history(text, target);
    for (uint32_t i = target->key_column_count; i < target->column_count; i++) {
        text_appendf(text, "%s MODIFY COLUMN ", i > target->key_column_count ? "," : "");
        append_column(text, &target->columns[i]);
    }
}

static Status run(ClickHouse *client, Text *sql, Error *error)
{
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(client, NULL, sql->data, NULL, NULL, error);

    text_free(sql);
    return status;
}

Status history_ensure(ClickHouse *client, const Target *target, Error *error)
{
    Text sql = {0};
    Status status;

    history_create_statement(&sql, target);
    status = run(client, &sql, error);
    if (status == STATUS_OK && target->column_count > target->key_column_count) {
        history_columns_statement(&sql, target);
        status = run(client, &sql, error);
        append_widening(&sql, target);
        if (status == STATUS_OK)
            status = run(client, &sql, error);
    }
    text_free(&sql);
    if (status != STATUS_OK)
        return status;
    text_appendf(&sql, "ALTER TABLE ");
    target_append_storage(&sql, target);
    text_appendf(&sql, " ADD COLUMN IF NOT EXISTS `_operation` " TARGET_OPERATION_TYPE);
    return run(client, &sql, error);
}

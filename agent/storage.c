/*
 * storage.c - the storage tables that are there; see storage.h.
 */
#include "agent/storage.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void storage_append_identity(Text *text, const char *source, uint32_t relation, const Target *target)
{
    text_appendf(text, "walhouse %s relation %u key ", source, relation);
    for (uint32_t i = 0; i < target->key_column_count; i++)
        text_appendf(text, "%s%u:%s", i ? "," : "", target->columns[i].attribute_number,
                     target->columns[i].type);
    if (target->key_column_count == 0)
        text_append(text, "-", 1);
    text_append(text, ";", 1);
}

static void free_table(Storage *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].name);
        free(table->columns[i].type);
        free(table->columns[i].was);
    }
    free(table->columns);
    free(table->name);
    free(table->engine);
    free(table->comment);
    *table = (Storage){0};
}

void storage_free(Storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free_table(&storages->tables[i]);
    free(storages->tables);
    free_table(&storages->base);
    *storages = (Storages){0};
}

static char *copy_text(json_t *row, size_t index)
{
    const char *text = json_string_value(json_array_get(row, index));

    return text ? strdup(text) : NULL;
}

/* Asks for one row with one array; *answer is the caller's. */
static Status ask_array(ClickHouse *client, Text *sql, json_t **answer, Error *error)
{
    const char *body;
    size_t size;
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(client, NULL, sql->data, &body, &size, error);

    *answer = NULL;
    text_free(sql);
    if (status != STATUS_OK)
        return status;
    *answer = json_loadb(body, size, 0, NULL);
    if (!json_is_array(json_array_get(*answer, 0)))
        return status_fail(error, STATUS_RETRY, "ClickHouse's answer about its tables is no JSON array");
    return STATUS_OK;
}

static bool take_column(json_t *row, StorageColumn *column)
{
    const char *comment = json_string_value(json_array_get(row, 2));
    size_t prefix_size = strlen(STORAGE_ATTRIBUTE_PREFIX);
    const char *was;

    column->name = copy_text(row, 0);
    column->type = copy_text(row, 1);
    column->in_order = json_integer_value(json_array_get(row, 3)) != 0;
    if (comment && strncmp(comment, STORAGE_ATTRIBUTE_PREFIX, prefix_size) == 0)
        column->attribute_number = (uint32_t)strtoul(comment + prefix_size, NULL, 10);
    was = comment ? strstr(comment, STORAGE_WAS_MARK) : NULL;
    if (was)
        column->was = strdup(was + strlen(STORAGE_WAS_MARK));
    return column->name && column->type && (was == NULL || column->was);
}

static Status read_columns(ClickHouse *client, const char *database, Storage *table, Error *error)
{
    Text sql = {0};
    json_t *answer;
    json_t *rows;
    Status status;

    text_appendf(&sql, "SELECT groupArray((name, type, comment, is_in_sorting_key)) FROM "
                       "(SELECT * FROM system.columns WHERE database = ");
    text_append_literal(&sql, database, strlen(database));
    text_appendf(&sql, " AND table = ");
    text_append_literal(&sql, table->name, strlen(table->name));
    text_appendf(&sql, " ORDER BY position) FORMAT JSONCompactEachRow");
    status = ask_array(client, &sql, &answer, error);
    rows = json_array_get(answer, 0);
    if (status == STATUS_OK) {
        table->columns = calloc(json_array_size(rows) + 1, sizeof *table->columns);
        if (table->columns == NULL)
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(rows); i++) {
        table->column_count++;
        if (!take_column(json_array_get(rows, i), &table->columns[i]))
            status = status_fail(error, STATUS_RETRY, "ClickHouse's answer about %s has another shape",
                                 table->name);
    }
    json_decref(answer);
    return status;
}

static Status take_table(ClickHouse *client, const Target *target, const char *identity, json_t *row,
                         Storages *storages, Error *error)
{
    Storage table = {.name = copy_text(row, 0), .engine = copy_text(row, 1), .comment = copy_text(row, 2)};
    Status status;

    if (table.name == NULL || table.engine == NULL || table.comment == NULL)
        status = status_fail(error, STATUS_RETRY, "ClickHouse's answer about its tables has another shape");
    else
        status = read_columns(client, target->database, &table, error);
    if (status != STATUS_OK)
        free_table(&table);
    else if (strncmp(table.comment, identity, strlen(identity)) == 0)
        storages->tables[storages->count++] = table;
    else
        storages->base = table;
    return status;
}

Status storage_read(ClickHouse *client, const Target *target, const char *identity, Storages *storages,
                    Error *error)
{
    Text sql = {0};
    json_t *answer;
    json_t *rows;
    Status status;

    *storages = (Storages){0};
    text_appendf(&sql, "SELECT groupArray((name, engine, comment)) FROM (SELECT name, engine, comment FROM "
                       "system.tables WHERE database = ");
    text_append_literal(&sql, target->database, strlen(target->database));
    text_appendf(&sql, " AND (startsWith(comment, ");
    text_append_literal(&sql, identity, strlen(identity));
    text_appendf(&sql, ") OR name = ");
    text_append_literal(&sql, target->storage_base, strlen(target->storage_base));
    text_appendf(&sql, ") ORDER BY length(comment), name) FORMAT JSONCompactEachRow");
    status = ask_array(client, &sql, &answer, error);
    rows = json_array_get(answer, 0);
    if (status == STATUS_OK) {
        storages->tables = calloc(json_array_size(rows) + 1, sizeof *storages->tables);
        if (storages->tables == NULL)
            status = status_fail(error, STATUS_RETRY, "out of memory");
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(rows); i++)
        status = take_table(client, target, identity, json_array_get(rows, i), storages, error);
    json_decref(answer);
    return status;
}

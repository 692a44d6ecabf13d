/*
 * dashboard_figures.c - the summary's own figures, asked of the warehouse: row counts, latencies, dead
 * letters; see dashboard.h.
 */
#include <string.h>

#include "agent/dashboard_internal.h"

#define LATENCY_WINDOW_S   300
#define LATENCY_TABLES_MAX 200
#define QUERY_ROWS_MAX     10000

/* ClickHouse's exception codes (src/Common/ErrorCodes.cpp). */

/* ---- asking the warehouse ---- */

/* The rows of an answer in JSONEachRow, at most QUERY_ROWS_MAX; NULL: it is not that. */
static json_t *parse_rows(const char *body, size_t size)
{
    json_t *rows = json_array();
    size_t begin = 0;

    while (rows && begin < size && json_array_size(rows) < QUERY_ROWS_MAX) {
        const char *newline = memchr(body + begin, '\n', size - begin);
        size_t end = newline ? (size_t)(newline - body) : size;
        json_t *row = json_loadb(body + begin, end - begin, JSON_ALLOW_NUL, NULL);

        if (json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            return NULL;
        }
        begin = end + 1;
    }
    return rows;
}

/* Rows of a statement that ends in FORMAT JSONEachRow; json_decref() them. */
Status dashboard_ask(Dashboard *d, Text *sql, json_t **rows, Error *error)
{
    const char *body = "";
    size_t size = 0;
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(d->summary.client, NULL, sql->data, &body, &size, error);

    *rows = NULL;
    if (status != STATUS_OK)
        return status;
    *rows = parse_rows(body, size);
    return *rows ? STATUS_OK : status_fail(error, STATUS_REJECT, "the answer is not rows of JSON");
}

Status dashboard_ask_own(Dashboard *d, Text *sql, json_t **rows, Error *error)
{
    Status status = dashboard_ask(d, sql, rows, error);
    int code = status == STATUS_OK ? 0 : clickhouse_exception_code(d->summary.client);

    if (code != CLICKHOUSE_UNKNOWN_TABLE && code != CLICKHOUSE_UNKNOWN_DATABASE)
        return status;
    *rows = json_array();
    return *rows ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory");
}

Status dashboard_ask_own_text(Dashboard *d, const char *statement, json_t **rows, Error *error)
{
    Text sql = {0};
    Status status;

    text_append(&sql, statement, strlen(statement));
    status = dashboard_ask_own(d, &sql, rows, error);
    text_free(&sql);
    return status;
}

/* ---- tables ---- */

static bool is_listed(const json_t *tables, const TableSchema *table)
{
    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *row = json_array_get(tables, i);
        const char *schema = json_string_value(json_object_get(row, "schema"));
        const char *name = json_string_value(json_object_get(row, "table"));

        if (schema && name && wh_slice_equals(table->schema.schema_name, schema) &&
            wh_slice_equals(table->schema.table_name, name))
            return true;
    }
    return false;
}

/* A table that has been announced but not counted yet. */
static void add_uncounted(void *context, const TableSchema *table)
{
    json_t *tables = context;
    const WhSlice *schema = &table->schema.schema_name;
    const WhSlice *name = &table->schema.table_name;

    if (!is_listed(tables, table))
        (void)json_array_append_new(
            tables, json_pack("{s:s%, s:s%, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "schema", schema->data,
                              schema->size, "table", name->data, name->size, "source_rows", "exact",
                              "source_lsn", "source_taken_at_ms", "warehouse_rows", "warehouse_newer",
                              "warehouse_measured_at_ms", "difference"));
}

Status dashboard_tables(Dashboard *d, json_t **tables, Error *error)
{
    /* The newest counts are one event's: a table that it does not name is gone. */
    static const char sql[] =
        "SELECT schema, table, source_rows, exact, source_lsn, "
        "toUnixTimestamp64Milli(source_taken_at) AS source_taken_at_ms, warehouse_rows, warehouse_newer, "
        "toUnixTimestamp64Milli(warehouse_measured_at) AS warehouse_measured_at_ms, "
        "warehouse_rows - source_rows AS difference FROM `_walhouse_statistics` "
        "WHERE source_taken_at = (SELECT max(source_taken_at) FROM `_walhouse_statistics`) "
        "ORDER BY schema, table, warehouse_measured_at DESC LIMIT 1 BY schema, table FORMAT JSONEachRow";
    Status status = dashboard_ask_own_text(d, sql, tables, error);

    if (status == STATUS_OK)
        registry_each_table(d->registry, add_uncounted, *tables);
    return status;
}

/* ---- latency ---- */

/* The storage tables that have the two times; a table of another shape is somebody else's, or stopped. */
static void append_storages(Text *sql, const char *database)
{
    text_appendf(sql, "SELECT table AS storage FROM system.columns WHERE database = ");
    text_append_literal(sql, database, strlen(database));
    text_appendf(sql, " AND name IN ('_commit_time', '_loaded_time') AND startsWith(type, 'DateTime64(6') "
                      "AND table IN (SELECT name FROM system.tables WHERE database = ");
    text_append_literal(sql, database, strlen(database));
    text_appendf(sql,
                 " AND endsWith(engine, 'ReplacingMergeTree')) GROUP BY table HAVING count() = 2 "
                 "ORDER BY table LIMIT %d FORMAT JSONEachRow",
                 LATENCY_TABLES_MAX);
}

Status dashboard_storages(Dashboard *d, json_t **storages, Error *error)
{
    Text sql = {0};
    Status status;

    append_storages(&sql, d->config.clickhouse_database);
    status = dashboard_ask_own(d, &sql, storages, error);
    text_free(&sql);
    return status;
}

void dashboard_append_latencies(Text *sql, const Config *config, const json_t *storages, int window_s)
{
    text_append(sql, "(", 1);
    for (size_t i = 0; i < json_array_size(storages); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(storages, i), "storage"));

        if (name == NULL)
            continue;
        text_appendf(sql,
                     "%sSELECT toStartOfMinute(`_loaded_time`) AS minute, "
                     "(toUnixTimestamp64Micro(`_loaded_time`) - "
                     "toUnixTimestamp64Micro(`_commit_time`)) / 1000 AS ms FROM ",
                     i ? " UNION ALL " : "");
        text_append_identifier(sql, config->clickhouse_database, strlen(config->clickhouse_database));
        text_append(sql, ".", 1);
        text_append_identifier(sql, name, strlen(name));
        text_appendf(sql, " WHERE `_loaded_time` > now64(6) - INTERVAL %d SECOND", window_s);
    }
    text_append(sql, ")", 1);
}

/* From commit in Postgres to loaded, of the rows loaded in the window. */
Status dashboard_latency(Dashboard *d, json_t **latency, Error *error)
{
    json_t *storages = NULL;
    json_t *rows = NULL;
    Text sql = {0};
    Status status = dashboard_storages(d, &storages, error);

    if (status == STATUS_OK && json_array_size(storages) > 0) {
        text_appendf(&sql, "SELECT count() AS rows, " DASHBOARD_PERCENTILES " FROM ");
        dashboard_append_latencies(&sql, &d->config, storages, LATENCY_WINDOW_S);
        text_appendf(&sql, " FORMAT JSONEachRow");
        status = dashboard_ask_own(d, &sql, &rows, error);
    }
    if (json_array_size(rows) == 1) {
        *latency = json_incref(json_array_get(rows, 0));
        (void)json_object_set_new(*latency, "window_s", json_integer(LATENCY_WINDOW_S));
    } else if (status == STATUS_OK) {
        *latency = json_pack("{s:i, s:i, s:n, s:n, s:n}", "window_s", LATENCY_WINDOW_S, "rows", 0, "p50",
                             "p95", "p99");
    }
    text_free(&sql);
    json_decref(storages);
    json_decref(rows);
    return status;
}

/* ---- dead letters ---- */

Status dashboard_dead_letters(Dashboard *d, json_t **dlq, Error *error)
{
    static const char sql[] =
        "SELECT reason, countIf(state = 'waiting') AS waiting, countIf(state = 'replayed') AS replayed, "
        "countIf(state = 'discarded') AS discarded FROM `_walhouse_dead_letters` FINAL "
        "GROUP BY reason ORDER BY reason FORMAT JSONEachRow";
    json_t *reasons;
    json_t *rows = NULL;
    json_int_t sum = 0, replayed = 0, discarded = 0;
    Status status = dashboard_ask_own_text(d, sql, &rows, error);

    if (status != STATUS_OK)
        return status;
    reasons = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *reason = json_string_value(json_object_get(row, "reason"));
        json_int_t n = json_integer_value(json_object_get(row, "waiting"));

        if (reason && n > 0)
            (void)json_object_set_new(reasons, reason, json_integer(n));
        sum += n;
        replayed += json_integer_value(json_object_get(row, "replayed"));
        discarded += json_integer_value(json_object_get(row, "discarded"));
    }
    json_decref(rows);
    *dlq = json_pack("{s:I, s:o, s:I, s:I}", "count", sum, "by_reason", reasons, "replayed", replayed,
                     "discarded", discarded);
    return STATUS_OK;
}

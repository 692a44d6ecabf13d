/*
 * dashboard.c - the answer of /api/summary; see dashboard.h.
 *
 *      warehouse: _walhouse_statistics, _walhouse_dead_letters, latencies of the storage tables, [http]
 * queries/NAME.sql --. broker: lag of the group
 * --------------------------------------------------------------------------------------------+--> JSON, kept
 * for a second agent: state, rows loaded, last error
 * ------------------------------------------------------------------------------'
 *
 * What cannot be asked is null or absent; the rest still shows.
 */
#include "agent/dashboard.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/clickhouse.h"
#include "agent/text.h"

#define SUMMARY_KEPT_MS    1000
#define PROBE_KEPT_MS      1000
#define LAG_TIMEOUT_MS     3000
#define ANSWER_TIMEOUT_S   10
#define LATENCY_WINDOW_S   300
#define LATENCY_TABLES_MAX 200
#define ERROR_SHOWN_MS     600000
#define QUERY_FILES_MAX    50
#define QUERY_BYTES_MAX    65536
#define QUERY_NAME_MAX     64
#define QUERY_ROWS_MAX     10000

/* A connection with an answer that is kept for a while. */
typedef struct Asker {
    ClickHouse *client;
    pthread_mutex_t lock;
    int64_t asked_at_ms; /* monotonic; 0: never */
} Asker;

struct Dashboard {
    Config config; /* the agent's, with a shorter timeout; its strings are the agent's */
    Consumer *consumer;
    Registry *registry;
    Metrics *metrics;
    Asker summary;
    char *json; /* the last answer, of the summary's asker */
    size_t json_size;
    Asker probe;
    Status probe_status;
    Error probe_error;
};

static int64_t now_ms(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A text that may have been cut within a character. */
static json_t *make_text(const char *text)
{
    json_t *value = json_string(text);
    char ascii[sizeof(Error)];
    size_t i;

    if (value)
        return value;
    for (i = 0; text[i] && i < sizeof ascii - 1; i++)
        ascii[i] = text[i] > 0 ? text[i] : '?';
    ascii[i] = '\0';
    return json_string(ascii);
}

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
static Status ask(Dashboard *d, Text *sql, json_t **rows, Error *error)
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

static Status ask_text(Dashboard *d, const char *statement, json_t **rows, Error *error)
{
    Text sql = {0};
    Status status;

    text_append(&sql, statement, strlen(statement));
    status = ask(d, &sql, rows, error);
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
        (void)json_array_append_new(tables,
                                    json_pack("{s:s%, s:s%, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "schema",
                                              schema->data, schema->size, "table", name->data, name->size,
                                              "source_rows", "exact", "source_lsn", "source_taken_at_ms",
                                              "warehouse_rows", "warehouse_measured_at_ms", "difference"));
}

static json_t *make_tables(Dashboard *d, Status *status, Error *error)
{
    /* The newest counts are one event's: a table that it does not name is gone. */
    static const char sql[] =
        "SELECT schema, table, source_rows, exact, source_lsn, "
        "toUnixTimestamp64Milli(source_taken_at) AS source_taken_at_ms, warehouse_rows, "
        "toUnixTimestamp64Milli(warehouse_measured_at) AS warehouse_measured_at_ms, "
        "warehouse_rows - source_rows AS difference FROM `_walhouse_statistics` "
        "WHERE source_taken_at = (SELECT max(source_taken_at) FROM `_walhouse_statistics`) "
        "ORDER BY schema, table, warehouse_measured_at DESC LIMIT 1 BY schema, table FORMAT JSONEachRow";
    json_t *tables = NULL;

    if (*status != STATUS_RETRY)
        *status = ask_text(d, sql, &tables, error);
    if (tables == NULL)
        tables = json_array();
    registry_each_table(d->registry, add_uncounted, tables);
    return tables;
}

/* ---- latency ---- */

static json_t *empty_latency(void)
{
    return json_pack("{s:i, s:i, s:n, s:n, s:n}", "window_s", LATENCY_WINDOW_S, "rows", 0, "p50", "p95",
                     "p99");
}

static void append_latency(Text *sql, const Config *config, const json_t *storages)
{
    text_appendf(sql, "SELECT count() AS rows, quantile(0.5)(ms) AS p50, quantile(0.95)(ms) AS p95, "
                      "quantile(0.99)(ms) AS p99 FROM (");
    for (size_t i = 0; i < json_array_size(storages); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(storages, i), "name"));

        if (name == NULL)
            continue;
        text_appendf(sql,
                     "%sSELECT (toUnixTimestamp64Micro(`_loaded_time`) - "
                     "toUnixTimestamp64Micro(`_commit_time`)) / 1000 AS ms FROM ",
                     i ? " UNION ALL " : "");
        text_append_identifier(sql, config->clickhouse_database, strlen(config->clickhouse_database));
        text_append(sql, ".", 1);
        text_append_identifier(sql, name, strlen(name));
        text_appendf(sql, " WHERE `_loaded_time` > now64(6) - INTERVAL %d SECOND", LATENCY_WINDOW_S);
    }
    text_appendf(sql, ") FORMAT JSONEachRow");
}

/* From commit in Postgres to loaded, of the rows loaded in the window. */
static json_t *make_latency(Dashboard *d, Status *status, Error *error)
{
    json_t *storages = NULL;
    json_t *rows = NULL;
    json_t *latency = NULL;
    Text sql = {0};

    if (*status != STATUS_RETRY) {
        text_appendf(&sql, "SELECT name FROM system.tables WHERE database = ");
        text_append_literal(&sql, d->config.clickhouse_database, strlen(d->config.clickhouse_database));
        text_appendf(&sql,
                     " AND endsWith(engine, 'ReplacingMergeTree') AND NOT startsWith(name, '_walhouse_') "
                     "ORDER BY metadata_modification_time DESC LIMIT %d FORMAT JSONEachRow",
                     LATENCY_TABLES_MAX);
        *status = ask(d, &sql, &storages, error);
    }
    if (*status == STATUS_OK && json_array_size(storages) > 0) {
        text_clear(&sql);
        append_latency(&sql, &d->config, storages);
        *status = ask(d, &sql, &rows, error);
    }
    if (json_array_size(rows) == 1) {
        latency = json_incref(json_array_get(rows, 0));
        (void)json_object_set_new(latency, "window_s", json_integer(LATENCY_WINDOW_S));
    }
    text_free(&sql);
    json_decref(storages);
    json_decref(rows);
    return latency ? latency : empty_latency();
}

/* ---- dead letters ---- */

static json_t *make_dlq(Dashboard *d, Status *status, Error *error)
{
    static const char sql[] = "SELECT reason, count() AS n FROM `_walhouse_dead_letters` FINAL "
                              "GROUP BY reason ORDER BY reason FORMAT JSONEachRow";
    json_t *reasons = json_object();
    json_t *rows = NULL;
    json_int_t sum = 0;

    if (*status != STATUS_RETRY)
        *status = ask_text(d, sql, &rows, error);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *reason = json_string_value(json_object_get(row, "reason"));
        json_int_t n = json_integer_value(json_object_get(row, "n"));

        if (reason)
            (void)json_object_set_new(reasons, reason, json_integer(n));
        sum += n;
    }
    json_decref(rows);
    return json_pack("{s:I, s:o}", "count", sum, "by_reason", reasons);
}

/* ---- queries in files ---- */

/* Is it NAME.sql? Then name gets NAME. */
static bool query_name(const char *file, char name[QUERY_NAME_MAX])
{
    size_t size = strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    if (size == 0 || size >= QUERY_NAME_MAX || strcmp(file + size, ".sql") != 0)
        return false;
    memcpy(name, file, size);
    name[size] = '\0';
    return true;
}

/* The statement in a file, without what may end it, and FORMAT. */
static Status read_query(const char *folder, const char *file, Text *sql, Error *error)
{
    char path[4096];
    char buffer[4096];
    FILE *in;
    size_t size;

    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return status_fail(error, STATUS_REJECT, "the path is too long");
    in = fopen(path, "re");
    if (in == NULL)
        return status_fail(error, STATUS_REJECT, "cannot open %s: %s", path, strerror(errno));
    while (sql->size <= QUERY_BYTES_MAX && (size = fread(buffer, 1, sizeof buffer, in)) > 0)
        text_append(sql, buffer, size);
    (void)fclose(in);
    if (sql->size > QUERY_BYTES_MAX)
        return status_fail(error, STATUS_REJECT, "%s is larger than %d bytes", path, QUERY_BYTES_MAX);
    while (sql->size > 0 && strchr(" \t\r\n;", sql->data[sql->size - 1]))
        sql->size--;
    /* On a line of its own, as the last one may be a comment. */
    text_appendf(sql, "\nFORMAT JSONEachRow");
    return STATUS_OK;
}

static Status run_query(Dashboard *d, const char *file, const char *name, json_t *queries, json_t *errors)
{
    Text sql = {0};
    json_t *rows = NULL;
    Error error;
    Status status = read_query(d->config.http_queries, file, &sql, &error);

    if (status == STATUS_OK)
        status = ask(d, &sql, &rows, &error);
    if (status == STATUS_OK)
        (void)json_object_set_new(queries, name, rows);
    else
        (void)json_object_set_new(errors, name, make_text(error.text));
    text_free(&sql);
    return status;
}

/* The rows of every query in the folder; what failed goes into errors. */
static void run_queries(Dashboard *d, Status status, json_t *queries, json_t *errors)
{
    DIR *folder =
        d->config.http_queries[0] && status != STATUS_RETRY ? opendir(d->config.http_queries) : NULL;
    struct dirent *entry;
    char name[QUERY_NAME_MAX];

    for (int files = 0; folder && status != STATUS_RETRY && files < QUERY_FILES_MAX;) {
        entry = readdir(folder);
        if (entry == NULL)
            break;
        if (!query_name(entry->d_name, name))
            continue;
        files++;
        status = run_query(d, entry->d_name, name, queries, errors);
    }
    if (folder)
        (void)closedir(folder);
}

/* ---- the whole ---- */

const char *dashboard_state(const Metrics *metrics)
{
    if (!atomic_load(&metrics->registry_loaded))
        return atomic_load(&metrics->kafka_reachable) ? "starting" : "kafka_away";
    if (!atomic_load(&metrics->kafka_reachable))
        return "kafka_away";
    if (!atomic_load(&metrics->clickhouse_reachable))
        return "clickhouse_away";
    return atomic_load(&metrics->tables_stopped) > 0 ? "table_stopped" : "running";
}

static json_t *make_agent(Dashboard *d)
{
    Metrics *metrics = d->metrics;
    json_t *agent = json_object();
    int64_t messages = 0;
    Error error;
    Status status = consumer_lag(d->consumer, LAG_TIMEOUT_MS, NULL, NULL, &messages, &error);
    int64_t now = now_ms(CLOCK_REALTIME);
    bool recent;

    (void)json_object_set_new(agent, "state", json_string(dashboard_state(metrics)));
    (void)json_object_set_new(agent, "lag_messages",
                              status == STATUS_OK ? json_integer(messages) : json_null());
    (void)json_object_set_new(agent, "rows_loaded",
                              json_integer((json_int_t)atomic_load(&metrics->rows_loaded)));
    (void)pthread_mutex_lock(&metrics->lock);
    recent = metrics->last_error[0] && now - metrics->last_error_at_ms < ERROR_SHOWN_MS;
    (void)json_object_set_new(agent, "last_error", recent ? make_text(metrics->last_error) : json_null());
    (void)pthread_mutex_unlock(&metrics->lock);
    return agent;
}

static json_t *make_summary(Dashboard *d)
{
    json_t *summary = json_object();
    json_t *queries = json_object();
    json_t *errors = json_object();
    Status status = STATUS_OK;
    Error error = {""};

    (void)json_object_set_new(summary, "generated_at_ms", json_integer(now_ms(CLOCK_REALTIME)));
    (void)json_object_set_new(summary, "agent", make_agent(d));
    (void)json_object_set_new(summary, "tables", make_tables(d, &status, &error));
    (void)json_object_set_new(summary, "latency_ms", make_latency(d, &status, &error));
    (void)json_object_set_new(summary, "dlq", make_dlq(d, &status, &error));
    run_queries(d, status, queries, errors);
    (void)json_object_set_new(summary, "queries", queries);
    if (status == STATUS_RETRY)
        (void)json_object_set_new(errors, "warehouse", make_text(error.text));
    if (json_object_size(errors) > 0)
        (void)json_object_set_new(summary, "queries_errors", errors);
    else
        json_decref(errors);
    return summary;
}

char *dashboard_summary(Dashboard *d, size_t *size)
{
    char *copy = NULL;

    (void)pthread_mutex_lock(&d->summary.lock);
    if (d->json == NULL || now_ms(CLOCK_MONOTONIC) - d->summary.asked_at_ms >= SUMMARY_KEPT_MS) {
        json_t *summary = make_summary(d);
        char *json = summary ? json_dumps(summary, JSON_COMPACT) : NULL;

        json_decref(summary);
        if (json) {
            free(d->json);
            d->json = json;
            d->json_size = strlen(json);
        }
        d->summary.asked_at_ms = now_ms(CLOCK_MONOTONIC);
    }
    if (d->json && (copy = malloc(d->json_size + 1)) != NULL) {
        memcpy(copy, d->json, d->json_size + 1);
        *size = d->json_size;
    }
    (void)pthread_mutex_unlock(&d->summary.lock);
    return copy;
}

Status dashboard_probe_clickhouse(Dashboard *d, Error *error)
{
    Status status;

    (void)pthread_mutex_lock(&d->probe.lock);
    if (d->probe.asked_at_ms == 0 || now_ms(CLOCK_MONOTONIC) - d->probe.asked_at_ms >= PROBE_KEPT_MS ||
        d->probe_status != STATUS_OK) {
        d->probe_status = clickhouse_query(d->probe.client, "", "SELECT 1", NULL, NULL, &d->probe_error);
        d->probe.asked_at_ms = now_ms(CLOCK_MONOTONIC);
    }
    status = d->probe_status;
    *error = d->probe_error;
    (void)pthread_mutex_unlock(&d->probe.lock);
    return status;
}

static bool open_asker(Asker *asker, const Config *config, Error *error)
{
    *asker = (Asker){.client = clickhouse_open(config, error)};
    if (asker->client == NULL)
        return false;
    if (pthread_mutex_init(&asker->lock, NULL) == 0)
        return true;
    clickhouse_close(asker->client);
    (void)status_fail(error, STATUS_FATAL, "out of memory");
    return false;
}

static void close_asker(Asker *asker)
{
    clickhouse_close(asker->client);
    (void)pthread_mutex_destroy(&asker->lock);
}

Dashboard *dashboard_open(const Config *config, Consumer *consumer, Registry *registry, Metrics *metrics,
                          Error *error)
{
    Dashboard *d = calloc(1, sizeof *d);

    if (d == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    d->config = *config;
    if (d->config.clickhouse_timeout_s > ANSWER_TIMEOUT_S)
        d->config.clickhouse_timeout_s = ANSWER_TIMEOUT_S;
    d->consumer = consumer;
    d->registry = registry;
    d->metrics = metrics;
    if (!open_asker(&d->summary, &d->config, error)) {
        free(d);
        return NULL;
    }
    if (!open_asker(&d->probe, &d->config, error)) {
        close_asker(&d->summary);
        free(d);
        return NULL;
    }
    return d;
}

void dashboard_close(Dashboard *d)
{
    if (d == NULL)
        return;
    close_asker(&d->summary);
    close_asker(&d->probe);
    free(d->json);
    free(d);
}

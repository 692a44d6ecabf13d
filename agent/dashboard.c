/*
 * dashboard.c - the answer of /api/summary; see dashboard.h.
 *
 *      warehouse:  row counts, latencies, dead letters --.
 *      warehouse:  [http] queries/NAME.sql --------------+--> JSON, kept for a second
 *      broker:     lag of the group, kept for two -------+
 *      agent:      state, rows loaded, last error -------'
 *
 * Without the warehouse's own figures there is no summary: a zero in their place would pass for one. A query
 * of a file that fails is told beside the others, which still show.
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
#include "lib/log.h"

#define SUMMARY_KEPT_MS    1000
#define PROBE_KEPT_MS      1000
#define LAG_KEPT_MS        2000
#define LAG_UNKNOWN_MS     5000 /* a broker that is away makes each question wait */
#define LAG_TIMEOUT_MS     3000
#define ANSWER_TIMEOUT_S   10
#define LATENCY_WINDOW_S   300
#define LATENCY_TABLES_MAX 200
#define ERROR_SHOWN_MS     600000
#define QUERY_FILES_MAX    50
#define QUERY_BYTES_MAX    65536
#define QUERY_NAME_MAX     64
#define QUERY_ROWS_MAX     10000
#define QUERY_TIME_MAX_S   2 /* the page waits 4 s for everything */

/* ClickHouse's exception codes (src/Common/ErrorCodes.cpp). */
#define UNKNOWN_TABLE    60
#define UNKNOWN_DATABASE 81

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
    Asker summary; /* its client, and the lag, are the maker's; its lock is of the answer */
    pthread_cond_t made;
    bool making; /* a thread is asking for a new answer */
    char *json;  /* the last answer, of the summary's asker */
    size_t json_size;
    Status json_status;
    int64_t lag_messages; /* -1: not known */
    int64_t lag_until_ms; /* monotonic */
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

/* A statement for the summary's own figures: a table that is not there yet has no rows. */
static Status ask_own(Dashboard *d, Text *sql, json_t **rows, Error *error)
{
    Status status = ask(d, sql, rows, error);
    int code = status == STATUS_OK ? 0 : clickhouse_exception_code(d->summary.client);

    if (code != UNKNOWN_TABLE && code != UNKNOWN_DATABASE)
        return status;
    *rows = json_array();
    return *rows ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory");
}

static Status ask_own_text(Dashboard *d, const char *statement, json_t **rows, Error *error)
{
    Text sql = {0};
    Status status;

    text_append(&sql, statement, strlen(statement));
    status = ask_own(d, &sql, rows, error);
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

static Status make_tables(Dashboard *d, json_t **tables, Error *error)
{
    /* The newest counts are one event's: a table that it does not name is gone. */
    static const char sql[] =
        "SELECT schema, table, source_rows, exact, source_lsn, "
        "toUnixTimestamp64Milli(source_taken_at) AS source_taken_at_ms, warehouse_rows, "
        "toUnixTimestamp64Milli(warehouse_measured_at) AS warehouse_measured_at_ms, "
        "warehouse_rows - source_rows AS difference FROM `_walhouse_statistics` "
        "WHERE source_taken_at = (SELECT max(source_taken_at) FROM `_walhouse_statistics`) "
        "ORDER BY schema, table, warehouse_measured_at DESC LIMIT 1 BY schema, table FORMAT JSONEachRow";
    Status status = ask_own_text(d, sql, tables, error);

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

static void append_latency(Text *sql, const Config *config, const json_t *storages)
{
    /* Times are in microseconds: what interpolation adds beyond them would let equal percentiles differ. */
    text_appendf(sql, "SELECT count() AS rows, round(quantile(0.5)(ms), 3) AS p50, "
                      "round(quantile(0.95)(ms), 3) AS p95, round(quantile(0.99)(ms), 3) AS p99 FROM (");
    for (size_t i = 0; i < json_array_size(storages); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(storages, i), "storage"));

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
static Status make_latency(Dashboard *d, json_t **latency, Error *error)
{
    json_t *storages = NULL;
    json_t *rows = NULL;
    Text sql = {0};
    Status status;

    append_storages(&sql, d->config.clickhouse_database);
    status = ask_own(d, &sql, &storages, error);
    if (status == STATUS_OK && json_array_size(storages) > 0) {
        text_clear(&sql);
        append_latency(&sql, &d->config, storages);
        status = ask_own(d, &sql, &rows, error);
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

static Status make_dlq(Dashboard *d, json_t **dlq, Error *error)
{
    static const char sql[] = "SELECT reason, count() AS n FROM `_walhouse_dead_letters` FINAL "
                              "GROUP BY reason ORDER BY reason FORMAT JSONEachRow";
    json_t *reasons;
    json_t *rows = NULL;
    json_int_t sum = 0;
    Status status = ask_own_text(d, sql, &rows, error);

    if (status != STATUS_OK)
        return status;
    reasons = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *reason = json_string_value(json_object_get(row, "reason"));
        json_int_t n = json_integer_value(json_object_get(row, "n"));

        if (reason)
            (void)json_object_set_new(reasons, reason, json_integer(n));
        sum += n;
    }
    json_decref(rows);
    *dlq = json_pack("{s:I, s:o}", "count", sum, "by_reason", reasons);
    return STATUS_OK;
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
    text_appendf(sql, "\nFORMAT JSONEachRow SETTINGS max_execution_time = %d", QUERY_TIME_MAX_S);
    return STATUS_OK;
}

/* false: the warehouse did not answer, and the next query need not be asked. */
static bool run_query(Dashboard *d, const char *file, const char *name, json_t *queries, json_t *errors)
{
    Text sql = {0};
    json_t *rows = NULL;
    Error error;
    Status status = read_query(d->config.http_queries, file, &sql, &error);
    bool answered = true;

    if (status == STATUS_OK) {
        status = ask(d, &sql, &rows, &error);
        /* With a code it is this query that failed. */
        answered = status != STATUS_RETRY || clickhouse_exception_code(d->summary.client) != 0;
    }
    if (status == STATUS_OK)
        (void)json_object_set_new(queries, name, rows);
    else
        (void)json_object_set_new(errors, name, make_text(error.text));
    text_free(&sql);
    return answered;
}

/* The rows of every query in the folder; what failed goes into errors. */
static void run_queries(Dashboard *d, json_t *queries, json_t *errors)
{
    DIR *folder = d->config.http_queries[0] ? opendir(d->config.http_queries) : NULL;
    struct dirent *entry;
    char name[QUERY_NAME_MAX];
    bool answered = true;

    for (int files = 0; folder && files < QUERY_FILES_MAX;) {
        entry = readdir(folder);
        if (entry == NULL)
            break;
        if (!query_name(entry->d_name, name))
            continue;
        files++;
        if (answered)
            answered = run_query(d, entry->d_name, name, queries, errors);
        else
            (void)json_object_set_new(errors, name,
                                      json_string("not asked: the warehouse did not answer the one before"));
    }
    if (folder)
        (void)closedir(folder);
}

/* ---- the whole ---- */

const char *dashboard_state(Metrics *metrics, bool clickhouse_answers)
{
    if (!atomic_load(&metrics->kafka_reachable))
        return "waiting_for_kafka";
    if (!atomic_load(&metrics->registry_loaded))
        return "starting";
    if (!clickhouse_answers || !atomic_load(&metrics->clickhouse_reachable))
        return "waiting_for_clickhouse";
    return table_states_count(&metrics->tables, TABLE_STOPPED) > 0 ? "table_stopped" : "running";
}

static json_t *make_lag(Dashboard *d)
{
    int64_t messages = 0;
    Error error;

    if (now_ms(CLOCK_MONOTONIC) >= d->lag_until_ms) {
        bool known = consumer_lag(d->consumer, LAG_TIMEOUT_MS, NULL, NULL, &messages, &error) == STATUS_OK;

        d->lag_messages = known ? messages : -1;
        d->lag_until_ms = now_ms(CLOCK_MONOTONIC) + (known ? LAG_KEPT_MS : LAG_UNKNOWN_MS);
        if (known)
            atomic_store(&d->metrics->kafka_reachable, true);
    }
    return d->lag_messages < 0 ? json_null() : json_integer(d->lag_messages);
}

static json_t *make_agent(Dashboard *d, bool clickhouse_answers)
{
    Metrics *metrics = d->metrics;
    json_t *agent = json_object();
    int64_t now = now_ms(CLOCK_REALTIME);
    bool recent;

    (void)json_object_set_new(agent, "lag_messages", make_lag(d));
    (void)json_object_set_new(agent, "state", json_string(dashboard_state(metrics, clickhouse_answers)));
    (void)json_object_set_new(agent, "rows_loaded",
                              json_integer((json_int_t)atomic_load(&metrics->rows_loaded)));
    (void)pthread_mutex_lock(&metrics->lock);
    recent = metrics->last_error[0] && now - metrics->last_error_at_ms < ERROR_SHOWN_MS;
    (void)json_object_set_new(agent, "last_error", recent ? make_text(metrics->last_error) : json_null());
    (void)pthread_mutex_unlock(&metrics->lock);
    return agent;
}

/* In both cases *summary is what to answer. */
static Status make_summary(Dashboard *d, json_t **summary)
{
    json_t *tables = NULL;
    json_t *latency = NULL;
    json_t *dlq = NULL;
    json_t *queries = json_object();
    json_t *errors = json_object();
    Error error = {""};
    Status status;

    *summary = json_object();
    (void)json_object_set_new(*summary, "generated_at_ms", json_integer(now_ms(CLOCK_REALTIME)));
    status = make_tables(d, &tables, &error);
    if (status == STATUS_OK)
        status = make_latency(d, &latency, &error);
    if (status == STATUS_OK)
        status = make_dlq(d, &dlq, &error);
    if (status == STATUS_OK)
        run_queries(d, queries, errors);
    (void)json_object_set_new(*summary, "agent", make_agent(d, status == STATUS_OK));
    if (status == STATUS_OK) {
        (void)json_object_set(*summary, "tables", tables);
        (void)json_object_set(*summary, "latency_ms", latency);
        (void)json_object_set(*summary, "dlq", dlq);
        (void)json_object_set(*summary, "queries", queries);
        (void)json_object_set(*summary, "queries_errors", errors);
    } else {
        (void)json_object_set_new(
            *summary, "error",
            json_pack("{s:s, s:o}", "code", "warehouse_away", "message", make_text(error.text)));
    }
    json_decref(tables);
    json_decref(latency);
    json_decref(dlq);
    json_decref(queries);
    json_decref(errors);
    return status;
}

/* Makes a new answer, without the lock while it asks. */
static void renew(Dashboard *d)
{
    json_t *summary = NULL;
    Status status;
    char *json;

    d->making = true;
    (void)pthread_mutex_unlock(&d->summary.lock);
    status = make_summary(d, &summary);
    json = json_dumps(summary, JSON_COMPACT);
    json_decref(summary);
    (void)pthread_mutex_lock(&d->summary.lock);
    free(d->json);
    d->json = json;
    d->json_size = json ? strlen(json) : 0;
    d->json_status = status;
    d->summary.asked_at_ms = now_ms(CLOCK_MONOTONIC);
    d->making = false;
    (void)pthread_cond_broadcast(&d->made);
}

Status dashboard_summary(Dashboard *d, char **json, size_t *size)
{
    Status status;

    *json = NULL;
    (void)pthread_mutex_lock(&d->summary.lock);
    /* Only the first answer is waited for: a warehouse that hangs must not hang every thread of the server.
     */
    while (d->making && d->json == NULL)
        (void)pthread_cond_wait(&d->made, &d->summary.lock);
    if (!d->making &&
        (d->json == NULL || now_ms(CLOCK_MONOTONIC) - d->summary.asked_at_ms >= SUMMARY_KEPT_MS))
        renew(d);
    if (d->json && (*json = malloc(d->json_size + 1)) != NULL) {
        memcpy(*json, d->json, d->json_size + 1);
        *size = d->json_size;
    }
    status = d->json_status;
    (void)pthread_mutex_unlock(&d->summary.lock);
    return status;
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

/* A folder that cannot be read is told once: each summary would only lack its queries. */
static void check_folder(const char *path)
{
    DIR *folder = path[0] ? opendir(path) : NULL;

    if (path[0] && folder == NULL)
        log_warning("[http] queries = %s: %s: the dashboard is without its queries", path, strerror(errno));
    if (folder)
        (void)closedir(folder);
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
    d->lag_messages = -1;
    check_folder(config->http_queries);
    if (pthread_cond_init(&d->made, NULL) != 0) {
        free(d);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    if (!open_asker(&d->summary, &d->config, error)) {
        (void)pthread_cond_destroy(&d->made);
        free(d);
        return NULL;
    }
    if (!open_asker(&d->probe, &d->config, error)) {
        close_asker(&d->summary);
        (void)pthread_cond_destroy(&d->made);
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
    (void)pthread_cond_destroy(&d->made);
    free(d->json);
    free(d);
}

/*
 * statistics.c - the source's row counts beside the warehouse's; see statistics.h.
 */
#include "agent/statistics.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/clickhouse.h"
#include "agent/text.h"
#include "lib/log.h"

#define EVENT_BYTES_MAX (4u << 20)
#define LOADED_WAIT_MS  30000

struct Statistics {
    const Config *config;
    Consumer *consumer;
    Registry *registry;
    ClickHouse *client;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *mail; /* malloc'ed; NULL: none */
    size_t mail_size;
    atomic_bool stop;
};

/* Looks for a table by its Postgres name. */
typedef struct Search {
    const char *schema;
    const char *table;
    Text view; /* found: its name, quoted */
} Search;

static void compare_table(void *context, const TableSchema *table)
{
    Search *search = context;

    if (search->view.size == 0 && wh_slice_equals(table->schema.schema_name, search->schema) &&
        wh_slice_equals(table->schema.table_name, search->table))
        target_append_view(&search->view, &table->target);
}

/* The rows of a table's view; 0 where there is none yet. */
static Status count_view(Statistics *s, const char *schema, const char *table, int64_t *rows, Error *error)
{
    Search search = {.schema = schema, .table = table};
    Text sql = {0};
    const char *body;
    Status status;

    *rows = 0;
    registry_each_table(s->registry, compare_table, &search);
    if (search.view.size == 0)
        return STATUS_OK;
    text_appendf(&sql, "SELECT count() FROM ");
    text_append(&sql, search.view.data, search.view.size);
    status = sql.failed || search.view.failed
                 ? status_fail(error, STATUS_RETRY, "out of memory")
                 : clickhouse_query(s->client, NULL, sql.data, &body, NULL, error);
    if (status == STATUS_OK)
        *rows = strtoll(body, NULL, 10);
    else if (clickhouse_exception_code(s->client) == 60) /* UNKNOWN_TABLE: nothing was loaded yet */
        status = STATUS_OK;
    text_free(&sql);
    text_free(&search.view);
    return status;
}

static Status add_row(Statistics *s, Text *sql, json_t *table, const char *lsn, int64_t taken_at,
                      Error *error)
{
    const char *schema = json_string_value(json_object_get(table, "schema"));
    const char *name = json_string_value(json_object_get(table, "table"));
    int64_t rows = 0;
    Status status;

    if (schema == NULL || name == NULL || !json_is_integer(json_object_get(table, "rows")))
        return status_fail(error, STATUS_REJECT, "a table of source_statistics lacks schema, table or rows");
    status = count_view(s, schema, name, &rows, error);
    if (status != STATUS_OK)
        return status;
    text_appendf(sql, "%s(", sql->size > 0 && sql->data[sql->size - 1] == ')' ? ", " : "");
    text_append_literal(sql, schema, strlen(schema));
    text_appendf(sql, ", ");
    text_append_literal(sql, name, strlen(name));
    text_appendf(sql, ", %" PRId64 ", %s, ", (int64_t)json_integer_value(json_object_get(table, "rows")),
                 json_is_true(json_object_get(table, "exact")) ? "true" : "false");
    text_append_literal(sql, lsn, strlen(lsn));
    text_appendf(sql, ", fromUnixTimestamp64Micro(%" PRId64 ", 'UTC'), %" PRId64 ")", taken_at, rows);
    return STATUS_OK;
}

static Status record(Statistics *s, json_t *event, Error *error)
{
    const char *lsn = json_string_value(json_object_get(event, "lsn"));
    json_t *tables = json_object_get(event, "tables");
    int64_t taken_at = (int64_t)json_integer_value(json_object_get(event, "taken_at"));
    Text sql = {0};
    Status status;

    if (lsn == NULL || !json_is_array(tables) || taken_at <= 0)
        return status_fail(error, STATUS_REJECT, "source_statistics lack lsn, taken_at or tables");
    if (json_array_size(tables) == 0)
        return STATUS_OK;
    status = consumer_wait_loaded(s->consumer, LOADED_WAIT_MS, &s->stop, error);
    text_appendf(
        &sql,
        "INSERT INTO `_walhouse_statistics` (schema, table, source_rows, exact, source_lsn, source_taken_at, "
        "warehouse_rows) VALUES ");
    for (size_t i = 0; i < json_array_size(tables) && status == STATUS_OK; i++)
        status = add_row(s, &sql, json_array_get(tables, i), lsn, taken_at, error);
    if (status == STATUS_OK && sql.failed)
        status = status_fail(error, STATUS_RETRY, "out of memory");
    if (status == STATUS_OK)
        status = clickhouse_query(s->client, NULL, sql.data, NULL, NULL, error);
    text_free(&sql);
    return status;
}

static void handle(Statistics *s, const char *mail, size_t size)
{
    json_error_t problem;
    json_t *event = json_loadb(mail, size, 0, &problem);
    const char *kind = json_string_value(json_object_get(event, "kind"));
    Error error;

    if (event == NULL)
        log_warning("a control event is no JSON: %s", problem.text);
    else if (kind && strcmp(kind, "source_statistics") == 0 && record(s, event, &error) != STATUS_OK)
        log_debug("source statistics are passed over: %s", error.text);
    json_decref(event);
}

static void *run(void *context)
{
    Statistics *s = context;

    (void)pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stop)) {
        char *mail = s->mail;
        size_t size = s->mail_size;

        if (mail == NULL) {
            (void)pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->mail = NULL;
        (void)pthread_mutex_unlock(&s->lock);
        handle(s, mail, size);
        free(mail);
        (void)pthread_mutex_lock(&s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

Statistics *statistics_start(const Config *config, Consumer *consumer, Registry *registry, Error *error)
{
    Statistics *s = calloc(1, sizeof *s);

    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    s->config = config;
    s->consumer = consumer;
    s->registry = registry;
    s->client = pthread_cond_init(&s->changed, NULL) == 0 ? clickhouse_open(config, error) : NULL;
    if (s->client && pthread_create(&s->thread, NULL, run, s) == 0)
        return s;
    if (s->client)
        (void)status_fail(error, STATUS_FATAL, "cannot start a thread");
    clickhouse_close(s->client);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

void statistics_stop(Statistics *s)
{
    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    clickhouse_cancel(s->client);
    (void)pthread_join(s->thread, NULL);
    clickhouse_close(s->client);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->mail);
    free(s);
}

void statistics_offer(Statistics *s, const void *json, size_t size)
{
    static const char kind[] = "source_statistics";
    char *copy;

    /* Heartbeats come as often and need no thread to look at them. */
    if (size > EVENT_BYTES_MAX || memmem(json, size, kind, sizeof kind - 1) == NULL)
        return;
    copy = malloc(size);
    if (copy == NULL)
        return; /* a figure less on the dashboard */
    memcpy(copy, json, size);
    (void)pthread_mutex_lock(&s->lock);
    free(s->mail);
    s->mail = copy;
    s->mail_size = size;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

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
#include "agent/version.h"
#include "lib/log.h"
#include "lib/lsn.h"

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

/* Of one event. */
typedef struct Sample {
    const char *lsn_text;
    bool settled; /* the source's counts hold what was committed before the LSN, and nothing else */
    int64_t taken_at_us;
    Version version; /* the lowest that an event has that was committed after it; 0: not known */
} Sample;

/* Of a table. */
typedef struct Counts {
    int64_t source;
    int64_t warehouse;
    int64_t newer; /* changes in the warehouse that the source had not counted yet */
} Counts;

/* Looks for a table by its Postgres name. */
typedef struct Search {
    const char *schema;
    const char *table;
    Text view;  /* found: its name, quoted */
    Text where; /* and the condition that finds its row in _walhouse_tables */
} Search;

static void compare_table(void *context, const TableSchema *table)
{
    Search *search = context;
    const Target *target = &table->target;

    if (search->view.size > 0 || !wh_slice_equals(table->schema.schema_name, search->schema) ||
        !wh_slice_equals(table->schema.table_name, search->table))
        return;
    target_append_view(&search->view, target);
    text_appendf(&search->where, "database = ");
    text_append_literal(&search->where, target->database, strlen(target->database));
    text_appendf(&search->where, " AND view = ");
    text_append_literal(&search->where, target->view_name, strlen(target->view_name));
}

/* The first column of the answer's first row; 0 where there is no such table yet. */
static Status ask_number(Statistics *s, const Text *sql, int64_t *number, Error *error)
{
    const char *body;
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(s->client, NULL, sql->data, &body, NULL, error);

    *number = 0;
    if (status == STATUS_OK)
        *number = strtoll(body, NULL, 10);
    else if (clickhouse_exception_code(s->client) == CLICKHOUSE_UNKNOWN_TABLE)
        status = STATUS_OK;
    return status;
}

/* The storage table that the view shows, quoted, into *name; nothing where it shows none yet. */
static Status find_storage(Statistics *s, const Search *search, Text *name, Error *error)
{
    Text sql = {0};
    const char *body;
    Status status;

    text_appendf(&sql, "SELECT database, storage FROM `_walhouse_tables` FINAL WHERE ");
    text_append(&sql, search->where.data, search->where.size);
    text_appendf(&sql, " ORDER BY version DESC LIMIT 1 FORMAT JSONCompactEachRow");
    status = sql.failed || search->where.failed
                 ? status_fail(error, STATUS_RETRY, "out of memory")
                 : clickhouse_query(s->client, NULL, sql.data, &body, NULL, error);
    if (status == STATUS_OK && body[0] != '\0') {
        json_t *row = json_loads(body, 0, NULL);

        for (size_t i = 0; i < 2; i++) {
            const char *part = json_string_value(json_array_get(row, i));

            text_appendf(name, i ? "." : "");
            text_append_identifier(name, part ? part : "", part ? strlen(part) : 0);
        }
        json_decref(row);
    }
    text_free(&sql);
    return status;
}

/*
 * Changes that were loaded and committed after the source's count: rows of the storage table, replaced and
 * deleted ones as well, so there may be more of them than rows of the view that are newer. The index of
 * _loaded_time makes it cheap; the clocks of Postgres and ClickHouse may differ by an hour.
 */
static Status count_newer(Statistics *s, const Search *search, const Sample *sample, int64_t *newer,
                          Error *error)
{
    char version[VERSION_DIGITS_MAX + 1];
    Text storage = {0}, sql = {0};
    Status status = find_storage(s, search, &storage, error);

    *newer = 0;
    if (status == STATUS_OK && storage.size > 0) {
        version_print(sample->version, version);
        text_appendf(&sql, "SELECT count() FROM ");
        text_append(&sql, storage.data, storage.size);
        text_appendf(&sql,
                     " WHERE `_version` >= toUInt128('%s') AND `_loaded_time` >= "
                     "fromUnixTimestamp64Micro(%" PRId64 ", 'UTC') - INTERVAL 1 HOUR",
                     version, sample->taken_at_us);
        status = ask_number(s, &sql, newer, error);
    }
    text_free(&storage);
    text_free(&sql);
    return status;
}

/*
 * The rows of a table's view; 0 where there is none yet. Only where they differ from the source's it is asked
 * what is newer; afterwards, so that nothing which comes in between is counted as a row alone.
 */
static Status count_table(Statistics *s, const char *schema, const char *table, const Sample *sample,
                          Counts *counts, Error *error)
{
    Search search = {.schema = schema, .table = table};
    Text sql = {0};
    Status status = STATUS_OK;

    registry_each_table(s->registry, compare_table, &search);
    if (search.view.size > 0) {
        text_appendf(&sql, "SELECT count() FROM ");
        text_append(&sql, search.view.data, search.view.size);
        sql.failed = sql.failed || search.view.failed;
        status = ask_number(s, &sql, &counts->warehouse, error);
    }
    if (status == STATUS_OK && search.view.size > 0 && sample->version > 0 &&
        counts->warehouse != counts->source)
        status = count_newer(s, &search, sample, &counts->newer, error);
    text_free(&sql);
    text_free(&search.view);
    text_free(&search.where);
    return status;
}

static Status add_row(Statistics *s, Text *sql, json_t *table, const Sample *sample, Error *error)
{
    const char *schema = json_string_value(json_object_get(table, "schema"));
    const char *name = json_string_value(json_object_get(table, "table"));
    bool exact = sample->settled && json_is_true(json_object_get(table, "exact"));
    Counts counts = {.source = (int64_t)json_integer_value(json_object_get(table, "rows"))};
    Status status;

    if (schema == NULL || name == NULL || !json_is_integer(json_object_get(table, "rows")))
        return status_fail(error, STATUS_REJECT, "a table of source_statistics lacks schema, table or rows");
    status = count_table(s, schema, name, sample, &counts, error);
    if (status != STATUS_OK)
        return status;
    text_appendf(sql, "%s(", sql->size > 0 && sql->data[sql->size - 1] == ')' ? ", " : "");
    text_append_literal(sql, schema, strlen(schema));
    text_appendf(sql, ", ");
    text_append_literal(sql, name, strlen(name));
    text_appendf(sql, ", %" PRId64 ", %s, ", counts.source, exact ? "true" : "false");
    text_append_literal(sql, sample->lsn_text, strlen(sample->lsn_text));
    text_appendf(sql, ", fromUnixTimestamp64Micro(%" PRId64 ", 'UTC'), %" PRId64 ", %" PRId64 ")",
                 sample->taken_at_us, counts.warehouse, counts.newer);
    return STATUS_OK;
}

/* A publisher before 0.2.0 names no epoch, and counts without looking who commits. */
static Status read_sample(const json_t *event, Sample *sample, Error *error)
{
    const json_t *epoch = json_object_get(event, "epoch");
    uint64_t lsn;

    *sample = (Sample){.lsn_text = json_string_value(json_object_get(event, "lsn")),
                       .settled = json_is_true(json_object_get(event, "settled")),
                       .taken_at_us = (int64_t)json_integer_value(json_object_get(event, "taken_at"))};
    if (sample->lsn_text == NULL || !lsn_parse(sample->lsn_text, &lsn) || sample->taken_at_us <= 0)
        return status_fail(error, STATUS_REJECT, "source_statistics lack lsn or taken_at");
    if (json_is_integer(epoch))
        sample->version = version_of(
            &(WhEvent){.epoch = (uint16_t)json_integer_value(epoch), .commit_lsn = lsn, .ordinal = 0});
    return STATUS_OK;
}

static Status record(Statistics *s, json_t *event, Error *error)
{
    json_t *tables = json_object_get(event, "tables");
    Sample sample;
    Text sql = {0};
    Status status = read_sample(event, &sample, error);

    if (status == STATUS_OK && !json_is_array(tables))
        status = status_fail(error, STATUS_REJECT, "source_statistics lack tables");
    if (status != STATUS_OK || json_array_size(tables) == 0)
        return status;
    status = consumer_wait_loaded(s->consumer, LOADED_WAIT_MS, &s->stop, error);
    text_appendf(
        &sql,
        "INSERT INTO `_walhouse_statistics` (schema, table, source_rows, exact, source_lsn, source_taken_at, "
        "warehouse_rows, warehouse_newer) VALUES ");
    for (size_t i = 0; i < json_array_size(tables) && status == STATUS_OK; i++)
        status = add_row(s, &sql, json_array_get(tables, i), &sample, error);
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

/*
 * load.c - the loader thread; see load.h.
 */
#include "agent/load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/ddl.h"
#include "agent/dlq.h"
#include "lib/log.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS  5000
#define UNKNOWN_DATABASE 81 /* ClickHouse's exception code */

struct Loader {
    const Config *config;
    Metrics *metrics;
    ClickHouse *client;
    Dlq *dlq;
    bool system_ready; /* the agent's own tables are there */
    unsigned random;   /* for jitter */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Batch *given;
    Batch *done;
    bool give_up;
    bool stop;
};

static int64_t now_us(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct timespec deadline_after(int64_t ms)
{
    struct timespec deadline;

    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += ms / 1000;
    deadline.tv_nsec += ms % 1000 * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

/* ---- trying again ---- */

/* Waits before another try; false: the batch is to be given up. */
static bool back_off(Loader *loader, int *backoff_ms)
{
    int64_t jitter = rand_r(&loader->random) % (*backoff_ms / 2 + 1);
    struct timespec deadline = deadline_after(*backoff_ms + jitter);
    bool go_on;

    (void)pthread_mutex_lock(&loader->lock);
    while (!loader->give_up && !loader->stop &&
           pthread_cond_timedwait(&loader->changed, &loader->lock, &deadline) == 0)
        ;
    go_on = !loader->give_up && !loader->stop;
    (void)pthread_mutex_unlock(&loader->lock);
    *backoff_ms = *backoff_ms * 2 < BACKOFF_LAST_MS ? *backoff_ms * 2 : BACKOFF_LAST_MS;
    return go_on;
}

static void note_outcome(Loader *loader, Status status, const Error *error)
{
    bool reachable = status != STATUS_RETRY;

    if (reachable && !atomic_load(&loader->metrics->clickhouse_reachable))
        log_info("ClickHouse answers");
    if (status == STATUS_RETRY) {
        atomic_fetch_add(&loader->metrics->insert_retries, 1);
        metrics_set_error(loader->metrics, error->text);
        log_warning("%s; trying again", error->text);
    }
    atomic_store(&loader->metrics->clickhouse_reachable, reachable);
}

/* A step that is done again while it says STATUS_RETRY. STATUS_RETRY: given up. */
typedef Status (*Step)(Loader *loader, void *context, Error *error);

static Status persist(Loader *loader, Step step, void *context, Error *error)
{
    int backoff_ms = BACKOFF_FIRST_MS;
    Status status;

    for (;;) {
        status = step(loader, context, error);
        note_outcome(loader, status, error);
        if (status != STATUS_RETRY || !back_off(loader, &backoff_ms))
            return status;
    }
}

static Status ensure_system_step(Loader *loader, void *context, Error *error)
{
    Status status = ddl_ensure_system(loader->client, loader->config, error);

    (void)context;
    loader->system_ready = status == STATUS_OK;
    /* Whatever is wrong with the agent's own tables, somebody has to mend it: until then nothing can be
     * loaded. */
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status ensure_table_step(Loader *loader, void *context, Error *error)
{
    Status status = ddl_ensure(loader->client, loader->config, context, error);

    return status == STATUS_REJECT ? STATUS_STOP : status;
}

/* ---- inserts ---- */

/* Rows [first, end) of a buffer. */
typedef struct Range {
    TableBuffer *buffer;
    const char *sql;
    size_t first;
    size_t end;
} Range;

static size_t row_start(const TableBuffer *buffer, size_t row)
{
    return row < buffer->row_count ? buffer->rows[row].offset : buffer->size;
}

/* Part of a buffer goes out as header and rows, made contiguous for the while. */
static Status insert_part(Loader *loader, const Range *range, Error *error)
{
    const TableBuffer *buffer = range->buffer;
    size_t start = row_start(buffer, range->first);
    size_t size = row_start(buffer, range->end) - start;
    uint8_t *copy;
    Status status;

    if (range->first == 0 && range->end == buffer->row_count)
        return clickhouse_insert(loader->client, range->sql, buffer->data, buffer->size, error);
    copy = malloc(buffer->header_size + size);
    if (copy == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    memcpy(copy, buffer->data, buffer->header_size);
    memcpy(copy + buffer->header_size, buffer->data + start, size);
    status = clickhouse_insert(loader->client, range->sql, copy, buffer->header_size + size, error);
    free(copy);
    return status;
}

static Status insert_step(Loader *loader, void *context, Error *error)
{
    int64_t start = now_us(CLOCK_MONOTONIC);
    Status status = insert_part(loader, context, error);

    atomic_fetch_add(&loader->metrics->inserts, 1);
    metrics_observe(&loader->metrics->insert_seconds, now_us(CLOCK_MONOTONIC) - start);
    return status;
}

static Status bury(Batch *batch, const Range *range, const Error *why, Error *error)
{
    return batch_add_letter(batch, range->buffer->rows[range->first].message, REASON_REJECTED, why, error);
}

/*
 * Rows that ClickHouse refuses together are refused one by one. The stack holds one range a halving: at
 * most 64.
 */
static Status insert_halves(Loader *loader, Batch *batch, Range whole, Error *error)
{
    Range stack[64];
    size_t depth = 0;
    Status status = STATUS_OK;

    stack[depth++] = whole;
    while (depth > 0 && (status == STATUS_OK || status == STATUS_REJECT)) {
        Range range = stack[--depth];
        size_t middle = range.first + (range.end - range.first) / 2;
        Error why;

        status = persist(loader, insert_step, &range, &why);
        *error = why;
        if (status != STATUS_REJECT)
            continue;
        if (range.end - range.first == 1) {
            if (bury(batch, &range, &why, error) != STATUS_OK)
                return STATUS_RETRY;
            continue;
        }
        stack[depth++] = (Range){range.buffer, range.sql, middle, range.end};
        stack[depth++] = (Range){range.buffer, range.sql, range.first, middle};
    }
    return status == STATUS_REJECT ? STATUS_OK : status;
}

static Status insert_rows(Loader *loader, Batch *batch, TableBuffer *buffer, const char *sql, Error *error)
{
    Range all = {buffer, sql, 0, buffer->row_count};
    Range none = {buffer, sql, 0, 0};
    Error why;
    Status status = persist(loader, insert_step, &all, error);

    if (status != STATUS_REJECT)
        return status;
    /* A header without rows that is refused too means the table, not the rows. */
    status = persist(loader, insert_step, &none, &why);
    if (status == STATUS_REJECT || status == STATUS_STOP) {
        *error = why;
        return STATUS_STOP;
    }
    return status == STATUS_OK ? insert_halves(loader, batch, all, error) : status;
}

static bool append_insert(Text *sql, const Config *config, const TableSchema *table)
{
    text_appendf(sql, "INSERT INTO ");
    text_append_identifier(sql, config->clickhouse_database, strlen(config->clickhouse_database));
    text_append(sql, ".", 1);
    text_append_identifier(sql, table->storage_name, strlen(table->storage_name));
    text_appendf(sql, " (");
    for (uint32_t i = 0; i < table->schema.column_count; i++) {
        const WhColumn *column = &table->schema.columns[i];

        text_append_identifier(sql, (const char *)column->name.data, column->name.size);
        text_appendf(sql, ", ");
    }
    text_appendf(sql, "`_version`, `_deleted`, `_commit_time`) FORMAT RowBinaryWithNamesAndTypes");
    return !sql->failed;
}

static void note_loaded(Loader *loader, const TableBuffer *buffer)
{
    atomic_fetch_add(&loader->metrics->rows_loaded, buffer->row_count);
    atomic_fetch_add(&loader->metrics->bytes_loaded, buffer->size);
    metrics_observe(&loader->metrics->end_to_end_seconds, now_us(CLOCK_REALTIME) - buffer->oldest_commit_us);
}

/* Twice: a table that was changed or dropped behind the agent's back is looked at again before it is given
 * up. */
static Status load_table(Loader *loader, Batch *batch, TableBuffer *buffer, Error *error)
{
    Text sql = {0};
    Status status = STATUS_STOP;

    if (!append_insert(&sql, loader->config, buffer->table)) {
        text_free(&sql);
        return status_fail(error, STATUS_RETRY, "out of memory");
    }
    for (int tries = 0; tries < 2 && status == STATUS_STOP; tries++) {
        status = loader->system_ready ? STATUS_OK : persist(loader, ensure_system_step, NULL, error);
        if (status == STATUS_OK && !buffer->table->ready)
            status = persist(loader, ensure_table_step, buffer->table, error);
        if (status == STATUS_OK)
            status = insert_rows(loader, batch, buffer, sql.data, error);
        if (status == STATUS_STOP) {
            buffer->table->ready = false;
            if (clickhouse_exception_code(loader->client) == UNKNOWN_DATABASE)
                loader->system_ready = false;
        }
    }
    text_free(&sql);
    if (status == STATUS_OK)
        note_loaded(loader, buffer);
    return status;
}

/* ---- dead letters ---- */

static Status send_letters_step(Loader *loader, void *context, Error *error)
{
    return dlq_send(loader->dlq, context, error);
}

/* The dead letters' mirror in the warehouse, for the dashboard. */
static Status mirror_letters_step(Loader *loader, void *context, Error *error)
{
    const Batch *batch = context;
    Text sql = {0};
    Status status;

    text_appendf(&sql,
                 "INSERT INTO `_walhouse_dead_letters` (topic, partition, offset, reason, error) VALUES ");
    for (size_t i = 0; i < batch->letter_count; i++) {
        const DeadLetter *letter = &batch->letters[i];
        MessageView view = batch->messages[letter->message];

        text_appendf(&sql, "%s(", i ? ", " : "");
        text_append_literal(&sql, view.topic, strlen(view.topic));
        text_appendf(&sql, ", %d, %lld, '%s', ", (int)view.partition, (long long)view.offset,
                     reason_code(letter->reason));
        text_append_literal(&sql, letter->error.text, strlen(letter->error.text));
        text_append(&sql, ")", 1);
    }
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(loader->client, NULL, sql.data, NULL, NULL, error);
    text_free(&sql);
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status bring_letters(Loader *loader, Batch *batch, Error *error)
{
    Status status;

    if (batch->letter_count == 0)
        return STATUS_OK;
    status = persist(loader, send_letters_step, batch, error);
    if (status == STATUS_OK)
        status = persist(loader, mirror_letters_step, batch, error);
    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++) {
        atomic_fetch_add(&loader->metrics->dead_letters[batch->letters[i].reason], 1);
        log_warning("dead letter (%s): %s", reason_code(batch->letters[i].reason),
                    batch->letters[i].error.text);
    }
    return status;
}

/* ---- the thread ---- */

static Status load_batch(Loader *loader, Batch *batch, Error *error)
{
    Status status = loader->system_ready ? STATUS_OK : persist(loader, ensure_system_step, NULL, error);

    for (size_t i = 0; i < batch->table_count && status == STATUS_OK; i++) {
        TableBuffer *buffer = &batch->tables[i];

        if (buffer->row_count == 0)
            continue;
        status = load_table(loader, batch, buffer, error);
        if (status == STATUS_STOP) {
            buffer->stopped = true;
            metrics_set_stopped(loader->metrics, error->text);
            log_error("table %s is stopped: %s", buffer->table->view_name, error->text);
            status = STATUS_OK;
        }
    }
    return status == STATUS_OK ? bring_letters(loader, batch, error) : status;
}

static void *run(void *context)
{
    Loader *loader = context;
    Error error = {""};

    (void)pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        Batch *batch = loader->given;

        if (batch == NULL) {
            (void)pthread_cond_wait(&loader->changed, &loader->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&loader->lock);
        batch->loaded = load_batch(loader, batch, &error) == STATUS_OK;
        (void)pthread_mutex_lock(&loader->lock);
        loader->given = NULL;
        loader->done = batch;
        loader->give_up = false;
        (void)pthread_cond_broadcast(&loader->changed);
    }
    (void)pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static bool init_sync(Loader *loader)
{
    pthread_condattr_t attributes;
    bool ok;

    if (pthread_mutex_init(&loader->lock, NULL) != 0)
        return false;
    ok = pthread_condattr_init(&attributes) == 0;
    if (ok) {
        ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
             pthread_cond_init(&loader->changed, &attributes) == 0;
        (void)pthread_condattr_destroy(&attributes);
    }
    if (!ok)
        (void)pthread_mutex_destroy(&loader->lock);
    return ok;
}

Loader *loader_start(const Config *config, Metrics *metrics, Error *error)
{
    Loader *loader = calloc(1, sizeof *loader);

    if (loader == NULL || !init_sync(loader)) {
        free(loader);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    loader->config = config;
    loader->metrics = metrics;
    loader->random = (unsigned)now_us(CLOCK_MONOTONIC);
    loader->client = clickhouse_open(config, error);
    loader->dlq = loader->client ? dlq_open(config, error) : NULL;
    if (loader->dlq && pthread_create(&loader->thread, NULL, run, loader) == 0)
        return loader;
    if (loader->dlq)
        (void)status_fail(error, STATUS_FATAL, "cannot start a thread");
    dlq_close(loader->dlq);
    clickhouse_close(loader->client);
    (void)pthread_cond_destroy(&loader->changed);
    (void)pthread_mutex_destroy(&loader->lock);
    free(loader);
    return NULL;
}

void loader_stop(Loader *loader)
{
    if (loader == NULL)
        return;
    (void)pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
    clickhouse_cancel(loader->client);
    (void)pthread_join(loader->thread, NULL);
    dlq_close(loader->dlq);
    clickhouse_close(loader->client);
    (void)pthread_cond_destroy(&loader->changed);
    (void)pthread_mutex_destroy(&loader->lock);
    free(loader);
}

bool loader_is_idle(Loader *loader)
{
    bool idle;

    (void)pthread_mutex_lock(&loader->lock);
    idle = loader->given == NULL && loader->done == NULL;
    (void)pthread_mutex_unlock(&loader->lock);
    return idle;
}

void loader_give(Loader *loader, Batch *batch)
{
    (void)pthread_mutex_lock(&loader->lock);
    loader->given = batch;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
}

Batch *loader_take(Loader *loader, int timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    Batch *batch;

    (void)pthread_mutex_lock(&loader->lock);
    while (loader->done == NULL && loader->given != NULL && timeout_ms > 0 &&
           pthread_cond_timedwait(&loader->changed, &loader->lock, &deadline) == 0)
        ;
    batch = loader->done;
    loader->done = NULL;
    (void)pthread_mutex_unlock(&loader->lock);
    return batch;
}

void loader_give_up(Loader *loader)
{
    (void)pthread_mutex_lock(&loader->lock);
    loader->give_up = loader->given != NULL;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
}

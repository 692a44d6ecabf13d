/*
 * load_tables.c - a batch's rows into their tables, and what truncates take out of them; see load.h.
 *
 *      for each (table, schema version):  table made fit --> rows resolved --> late rows dropped
 *                                         --> rows inserted; refused ones, found by halving: letters
 *      then for each truncated table:     table made fit --> truncate.c
 *
 * A truncate acts after the rows of every schema version of its table: whatever they are, their versions say
 * which of them live (truncate.c says why). Where one of them is stopped it does not act: the partitions go
 * back to their first message in this batch, and the event comes again.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ddl.h"
#include "agent/history.h"
#include "agent/insert.h"
#include "agent/layout.h"
#include "agent/load_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

/* ---- tables made fit ---- */

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
    TableSchema *table = context;
    Status status = table->rules_error ? status_fail(error, STATUS_STOP, "%s", table->rules_error)
                                       : evolve_fit(loader->evolve, table, error);

    if (status == STATUS_OK && table->target.history_name)
        status = history_ensure(loader->client, &table->target, error);
    if (status == STATUS_OK && table->section)
        layout_tell(loader->client, &loader->metrics->tables, &table->target);
    if (status != STATUS_OK)
        table->ready = false;
    return status == STATUS_REJECT ? STATUS_STOP : status;
}

/* ---- inserts ---- */

/* Rows [first, end) of a buffer. */
typedef struct Range {
    TableBuffer *buffer;
    const char *sql;
    const char *history_sql; /* goes first; NULL: the table has no history */
    size_t first;
    size_t end;
} Range;

static size_t row_start(const TableBuffer *buffer, size_t row)
{
    return row < buffer->row_count ? buffer->rows[row].offset : buffer->size;
}

static void note_insert(Loader *loader, const Range *range, Status status, int64_t us)
{
    Metrics *metrics = loader->metrics;

    atomic_fetch_add(&metrics->inserts, 1);
    metrics_observe(&metrics->insert_seconds, us);
    metrics_observe(&metrics->insert_rows, (int64_t)(range->end - range->first));
    metrics_observe(&metrics->insert_bytes,
                    (int64_t)(row_start(range->buffer, range->end) - row_start(range->buffer, range->first)));
    if (status == STATUS_OK)
        labels_add(&metrics->table_inserts, range->buffer->table->target.view_name, 1);
}

static Status insert_step(Loader *loader, void *context, Error *error)
{
    const Range *range = context;
    int64_t start = clock_us(CLOCK_MONOTONIC);
    Status status = range->history_sql ? insert_rows_of(loader->client, range->buffer, range->first,
                                                        range->end, range->history_sql, error)
                                       : STATUS_OK;

    if (status == STATUS_OK)
        status = insert_rows_of(loader->client, range->buffer, range->first, range->end, range->sql, error);

    note_insert(loader, context, status, clock_us(CLOCK_MONOTONIC) - start);
    return status;
}

static Status bury(Batch *batch, const Range *range, const Error *why, Error *error)
{
    Status status =
        batch_add_letter(batch, range->buffer->rows[range->first].message, REASON_REJECTED, why, error);

    if (status == STATUS_OK && registry_hides_key(range->buffer->table))
        batch_hide_key(batch);
    return status;
}

/*
 * Rows that ClickHouse refuses together are refused one by one, from the first to the last. When more of them
 * are in a row than the breaker allows, the others are not tried. The stack holds one range a halving: at
 * most 64.
 */
static Status insert_halves(Loader *loader, Batch *batch, Range whole, Error *error)
{
    TableBuffer *buffer = whole.buffer;
    int64_t left = breaker_allowance(&loader->breaker, buffer->table->topic);
    Range stack[64];
    size_t depth = 0;
    Status status = STATUS_OK;

    buffer->rows_refused = 0;

    stack[depth++] = whole;
    while (depth > 0 && (status == STATUS_OK || status == STATUS_REJECT)) {
        Range range = stack[--depth];
        size_t middle = range.first + (range.end - range.first) / 2;
        Error why;

        status = loader_persist(loader, insert_step, &range, &why);
        *error = why;
        if (status == STATUS_OK)
            left = breaker_limit(&loader->breaker);
        if (status != STATUS_REJECT)
            continue;
        if (range.end - range.first == 1) {
            if (left-- == 0) {
                buffer->rows_left = buffer->row_count - range.first;
                return STATUS_OK;
            }
            buffer->rows_refused++;
            if (bury(batch, &range, &why, error) != STATUS_OK)
                return STATUS_RETRY;
            continue;
        }
        stack[depth] = stack[depth + 1] = range;
        stack[depth++].first = middle;
        stack[depth++].end = middle;
    }
    return status == STATUS_REJECT ? STATUS_OK : status;
}

typedef void (*AppendTable)(Text *sql, const Target *target);

static bool append_insert(Text *sql, const Target *target, AppendTable append_table)
{
    text_appendf(sql, "INSERT INTO ");
    append_table(sql, target);
    text_appendf(sql, " (");
    target_append_columns(sql, target);
    text_appendf(sql, ")" INSERT_FORMAT);
    return !sql->failed;
}

static void note_loaded(Loader *loader, const TableBuffer *buffer)
{
    atomic_fetch_add(&loader->metrics->rows_loaded,
                     buffer->row_count - buffer->rows_refused - buffer->rows_left);
    atomic_fetch_add(&loader->metrics->bytes_loaded, buffer->size);
    if (buffer->oldest_commit_us != INT64_MAX)
        metrics_observe(&loader->metrics->end_to_end_seconds, clock_wall_us() - buffer->oldest_commit_us);
}

static Status insert_all(Loader *loader, Batch *batch, Range all, Error *error)
{
    Range none = {.buffer = all.buffer, .sql = all.sql, .history_sql = all.history_sql};
    Error why;
    Status status = loader_persist(loader, insert_step, &all, error);

    if (status != STATUS_REJECT)
        return status;
    /* A header without rows that is refused too means the table, not the rows. */
    status = loader_persist(loader, insert_step, &none, &why);
    if (status == STATUS_REJECT || status == STATUS_STOP) {
        *error = why;
        return STATUS_STOP;
    }
    return status == STATUS_OK ? insert_halves(loader, batch, all, error) : status;
}

/* ---- truncates ---- */

typedef struct Floor {
    const TableSchema *table;
    Version version;
} Floor;

static Status floor_step(Loader *loader, void *context, Error *error)
{
    Floor *floor = context;

    return truncate_floor(loader->client, floor->table, &floor->version, error);
}

/* Rows that come after the truncate that took them away; truncate.c says which can. */
static Status drop_late_rows(Loader *loader, TableBuffer *buffer, Error *error)
{
    Floor floor = {.table = buffer->table};
    Status status = loader_persist(loader, floor_step, &floor, error);

    if (status == STATUS_OK && floor.version > 0)
        atomic_fetch_add(&loader->metrics->late_rows, batch_drop_below(buffer, floor.version));
    return status;
}

/* What a batch says about one table: its rows, then its truncate, then one sweep after the other. */
typedef struct TableJob {
    Batch *batch;
    TableBuffer *buffer;
    const Sweep *sweep; /* NULL: not a sweep */
    bool applied;       /* the sweep has come in all partitions */
} TableJob;

static Status truncate_step(Loader *loader, void *context, Error *error)
{
    TableJob *job = context;
    TableSchema *table = job->buffer->table;
    Status status = job->sweep ? truncate_sweep(loader->client, table, job->sweep, &job->applied, error)
                               : truncate_apply(loader->client, table, &job->buffer->truncate, error);

    if (job->sweep == NULL)
        job->applied = status == STATUS_OK;
    if (status == STATUS_OK && job->applied)
        atomic_fetch_add(&loader->metrics->truncates, 1);
    /* There is no row that could be a dead letter: if markers are refused, it is the table that refuses them.
     */
    return status == STATUS_REJECT ? STATUS_STOP : status;
}

/* ---- one table ---- */

Status load_insert(Loader *loader, Batch *batch, TableBuffer *buffer, Error *error)
{
    const Target *target = &buffer->table->target;
    Range all = {.buffer = buffer, .end = buffer->row_count};
    Text sql = {0}, history_sql = {0};
    Status status;

    if (append_insert(&sql, target, target_append_storage) &&
        (target->history_name == NULL || append_insert(&history_sql, target, target_append_history))) {
        all.sql = sql.data;
        all.history_sql = history_sql.data;
        status = insert_all(loader, batch, all, error);
    } else
        status = status_fail(error, STATUS_RETRY, "out of memory");
    text_free(&sql);
    text_free(&history_sql);
    if (status == STATUS_OK)
        note_loaded(loader, buffer);
    return status;
}

static Status insert_rows(Loader *loader, TableJob *job, Error *error)
{
    TableBuffer *buffer = job->buffer;
    Status status = load_resolve(loader, job->batch, buffer, error);

    if (status == STATUS_OK && (buffer->has_late_rows || buffer->table->schema.key_column_count == 0))
        status = drop_late_rows(loader, buffer, error);
    if (status != STATUS_OK || buffer->row_count == 0)
        return status;
    return load_insert(loader, job->batch, buffer, error);
}

static Status truncate_rows(Loader *loader, TableJob *job, Error *error)
{
    const Truncate *truncate = job->sweep ? &job->sweep->truncate : &job->buffer->truncate;
    Status status = loader_persist(loader, truncate_step, job, error);

    if (status == STATUS_OK && job->applied && truncate_version_is_sweep(truncate->version))
        status = load_ask_swept(loader, job->buffer->table, truncate->version, error);
    return status;
}

/* ---- views ---- */

typedef struct Follow {
    TableSchema *table;
    Version version;
} Follow;

static Status follow_step(Loader *loader, void *context, Error *error)
{
    const Follow *follow = context;
    Status status = evolve_follow(loader->evolve, follow->table, follow->version, error);

    return status == STATUS_REJECT ? STATUS_STOP : status;
}

static Status look_step(Loader *loader, void *context, Error *error)
{
    if (evolve_look(loader->evolve, error) == STATUS_OK)
        return STATUS_OK;
    /* Somebody may have dropped what is asked. */
    (void)ensure_system_step(loader, context, error);
    return STATUS_RETRY;
}

/* The rows are in: does the view show their schema? */
static Status follow_schema(Loader *loader, TableJob *job, Error *error)
{
    const Batch *batch = job->batch;
    Follow follow = {.table = job->buffer->table};

    if (evolve_is_shown(loader->evolve, follow.table))
        return STATUS_OK;
    follow.version = batch_newest_version(job->buffer);
    for (size_t i = 0; i < batch->sweep_count; i++)
        if (&batch->tables[batch->sweeps[i].table] == job->buffer &&
            batch->sweeps[i].sweep.truncate.version > follow.version)
            follow.version = batch->sweeps[i].sweep.truncate.version;
    return follow.version > 0 ? loader_persist(loader, follow_step, &follow, error) : STATUS_OK;
}

static Status only_fit(Loader *loader, TableJob *job, Error *error)
{
    (void)loader;
    (void)job;
    (void)error;
    return STATUS_OK;
}

typedef Status (*TableWork)(Loader *loader, TableJob *job, Error *error);

/*
 * Twice: a table that was changed or dropped behind the agent's back is looked at again before it is given
 * up, and then marked stopped. STATUS_RETRY: the batch is given up.
 */
static Status work_on_table(Loader *loader, TableJob job, TableWork work, Error *error)
{
    TableBuffer *buffer = job.buffer;
    Status status = STATUS_STOP;

    for (int tries = 0; tries < 2 && status == STATUS_STOP; tries++) {
        status = loader->system_ready ? STATUS_OK : loader_persist(loader, ensure_system_step, NULL, error);
        if (status == STATUS_OK && !buffer->table->ready)
            status = loader_persist(loader, ensure_table_step, buffer->table, error);
        if (status == STATUS_OK)
            status = work(loader, &job, error);
        if (status == STATUS_STOP)
            /* One of the agent's own tables, or the database, may be what is missing. */
            loader->system_ready = buffer->table->ready = false;
    }
    if (status != STATUS_STOP)
        return status;
    buffer->stopped = true;
    metrics_set_error(loader->metrics, error->text);
    if (buffer->table->rules_error
            ? table_states_set(&loader->metrics->tables, buffer->table->target.view_name, TABLE_STOPPED,
                               "rules", error->text, RULES_WAY_OUT)
            : table_states_set(&loader->metrics->tables, buffer->table->target.view_name, TABLE_STOPPED,
                               "refused", error->text,
                               "mend the table in ClickHouse: it is tried again every ten seconds"))
        log_error("table %s is stopped: %s", buffer->table->target.view_name, error->text);
    return STATUS_OK;
}

/* ---- all tables ---- */

static bool same_table(const TableBuffer *a, const TableBuffer *b)
{
    return target_same_storage(&a->table->target, &b->table->target);
}

/* Once for a table: its highest truncate takes what the others take. */
static bool truncate_is_highest(const Batch *batch, const TableBuffer *buffer)
{
    for (size_t i = 0; i < batch->table_count; i++)
        if (same_table(&batch->tables[i], buffer) && batch->tables[i].truncated &&
            batch->tables[i].truncate.version > buffer->truncate.version)
            return false;
    return true;
}

/* Are its partitions to go back, for what reason ever? */
static bool is_stopped(const Batch *batch, const TableBuffer *buffer)
{
    for (size_t i = 0; i < batch->table_count; i++)
        if (same_table(&batch->tables[i], buffer) &&
            (batch->tables[i].stopped || batch->tables[i].rows_left > 0))
            return true;
    return false;
}

static bool has_loaded(const TableBuffer *buffer)
{
    return buffer->row_count > buffer->rows_refused || buffer->truncated;
}

static bool has_work(const Batch *batch, size_t table)
{
    bool has = batch->tables[table].row_count > 0 || batch->tables[table].truncated;

    for (size_t i = 0; i < batch->sweep_count && !has; i++)
        has = batch->sweeps[i].table == table;
    for (size_t i = 0; i < batch->unresolved_count && !has; i++)
        has = batch->unresolved[i].table == table;
    return has;
}

/* Does the work on every table that has some and is not stopped. */
static Status work_on_all(Loader *loader, Batch *batch, TableWork work, Error *error)
{
    Status status = STATUS_OK;

    for (size_t i = 0; i < batch->table_count && status == STATUS_OK; i++)
        if (has_work(batch, i) && !batch->tables[i].stopped)
            status =
                work_on_table(loader, (TableJob){.batch = batch, .buffer = &batch->tables[i]}, work, error);
    return status;
}

Status load_tables(Loader *loader, Batch *batch, Error *error)
{
    Status status =
        loader->system_ready ? STATUS_OK : loader_persist(loader, ensure_system_step, NULL, error);

    if (status == STATUS_OK)
        status = loader_persist(loader, look_step, NULL, error);
    /* Which storage table a buffer is for is known when it is fit. */
    if (status == STATUS_OK)
        status = work_on_all(loader, batch, only_fit, error);
    for (size_t i = 0; i < batch->table_count && status == STATUS_OK; i++)
        if ((batch->tables[i].row_count > 0 || batch->unresolved_count > 0) && !batch->tables[i].stopped)
            status = work_on_table(loader, (TableJob){.batch = batch, .buffer = &batch->tables[i]},
                                   insert_rows, error);
    for (size_t i = 0; i < batch->table_count && status == STATUS_OK; i++) {
        TableBuffer *buffer = &batch->tables[i];

        if (buffer->truncated && truncate_is_highest(batch, buffer) && !is_stopped(batch, buffer))
            status =
                work_on_table(loader, (TableJob){.batch = batch, .buffer = buffer}, truncate_rows, error);
    }
    for (size_t i = 0; i < batch->sweep_count && status == STATUS_OK; i++) {
        TableBuffer *buffer = &batch->tables[batch->sweeps[i].table];

        if (!is_stopped(batch, buffer))
            status = work_on_table(
                loader, (TableJob){.batch = batch, .buffer = buffer, .sweep = &batch->sweeps[i].sweep},
                truncate_rows, error);
    }
    if (status == STATUS_OK)
        status = work_on_all(loader, batch, follow_schema, error);
    for (size_t i = 0; i < batch->table_count && status == STATUS_OK; i++)
        if (has_loaded(&batch->tables[i]) && !is_stopped(batch, &batch->tables[i]))
            table_states_loaded(&loader->metrics->tables, batch->tables[i].table->target.view_name);
    return status;
}

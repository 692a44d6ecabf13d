/*
 * snapshot_worker.c - a task's questions as queries, and their answers; see snapshot_worker.h.
 *
 * Progress is written without waiting for the disk or a standby: what a crash takes back is read and sent
 * again.
 */
#include "snapshot_worker.h"
#include "lib/lsn.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_AGE_MS  1000
#define CONNECTION_IDLE_MS 200
/* A chunk delays the stream by the time it takes through the flow: some ten milliseconds. */
#define CHUNK_BYTES_MAX "1048576"

static const char chunk_query[] =
    "SELECT c.status, c.data, c.last_key::text, c.rows::text, c.floor_lsn::text "
    "FROM walhouse._snapshot_chunk($1::bigint, $2::text[], $3::int, " CHUNK_BYTES_MAX ") c";
static const char progress_query[] =
    "SELECT walhouse._snapshot_progress($1::bigint, $2::text[], $3::bigint, $4::pg_lsn)";
static const char sweep_query[] = "SELECT walhouse._snapshot_sweep($1::bigint)";
static const char unknown_answer[] =
    "Postgres answered in an unknown way; are extension and publisher from one build?";
static const char end_query[] = "SELECT walhouse._snapshot_end($1::bigint, $2::text)";

/* ---- life ---- */

void snapshot_worker_begin(SnapshotWorker *w, const SnapshotTask *task, const SnapshotTable *table,
                           int64_t now_ms)
{
    assert(!w->has_task);
    w->task = *task;
    w->table = *table;
    w->has_task = true;
    w->started_ms = now_ms;
    w->said_rows = -1;
}

void snapshot_worker_stop(SnapshotWorker *w)
{
    sql_close(&w->sql);
    scan_close(&w->scan);
}

void snapshot_worker_forget(SnapshotWorker *w)
{
    scan_close(&w->scan);
    if (w->sql.state != SQL_IDLE)
        sql_close(&w->sql);
    if (w->has_task)
        snapshot_task_fini(&w->task);
    w->has_task = false;
}

void snapshot_worker_end(SnapshotWorker *w)
{
    snapshot_worker_stop(w);
    snapshot_worker_forget(w);
}

void snapshot_worker_prepare(const SnapshotWorker *w, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = sql_fd(&w->sql), .events = sql_events(&w->sql)};
    fds[1] = (struct pollfd){.fd = sql_fd(&w->scan.sql), .events = sql_events(&w->scan.sql)};
}

/* When the task asks next, if no event comes before. */
static int64_t asks_at_ms(const SnapshotWorker *w)
{
    if (!w->has_task || snapshot_task_next(&w->task, INT64_MAX) == SNAPSHOT_ASK_NOTHING)
        return INT64_MAX;
    return w->task.ask_at_ms;
}

int64_t snapshot_worker_due_ms(const SnapshotWorker *w)
{
    int64_t asks_at = asks_at_ms(w), closes_at;

    if (w->sql.state == SQL_CLOSED)
        return asks_at;
    if (w->sql.state != SQL_IDLE)
        return INT64_MAX;
    closes_at = w->sql.used_ms + CONNECTION_IDLE_MS;
    return asks_at < closes_at ? asks_at : closes_at;
}

/* ---- questions ---- */

static void broke(SnapshotWorker *w, const Failure *failure, int64_t now_ms)
{
    if (w->task.breaks == 0)
        message_log(MESSAGE_WARNING, "snapshot of %s: Postgres cannot be asked now: %s", w->table.label,
                    failure->text);
    snapshot_task_broken(&w->task, now_ms);
}

static bool send_question(SnapshotWorker *w, SnapshotAsk ask, int64_t now_ms, Failure *failure)
{
    const SnapshotTask *t = &w->task;
    char id[32], number[32], lsn[32];
    const char *parameters[] = {id, NULL, NULL, NULL};

    (void)snprintf(id, sizeof id, "%" PRId64, t->id);
    switch (ask) {
    case SNAPSHOT_ASK_CHUNK:
        (void)snprintf(number, sizeof number, "%" PRId64, t->rows_limit);
        parameters[1] = t->read_key;
        parameters[2] = number;
        return sql_ask_with(&w->sql, chunk_query, 3, parameters, now_ms, failure);
    case SNAPSHOT_ASK_PROGRESS:
        (void)snprintf(number, sizeof number, "%" PRId64, t->acked_rows);
        (void)snprintf(lsn, sizeof lsn, "%" PRIX32 "/%" PRIX32, (uint32_t)(t->acked_floor_lsn >> 32),
                       (uint32_t)t->acked_floor_lsn);
        parameters[1] = t->acked_key;
        parameters[2] = number;
        parameters[3] = lsn;
        return sql_ask_with(&w->sql, progress_query, 4, parameters, now_ms, failure);
    case SNAPSHOT_ASK_SWEEP:
        return sql_ask_with(&w->sql, sweep_query, 1, parameters, now_ms, failure);
    case SNAPSHOT_ASK_END:
        parameters[1] = t->error.text[0] ? t->error.text : NULL;
        return sql_ask_with(&w->sql, end_query, 2, parameters, now_ms, failure);
    case SNAPSHOT_ASK_NOTHING:
        break;
    }
    return true;
}

/* The next blocks of the table, or a snapshot to read them with. */
static void ask_scan(SnapshotWorker *w, int64_t now_ms)
{
    Failure failure = {""};

    snapshot_task_asked(&w->task, SNAPSHOT_ASK_CHUNK, now_ms);
    if (w->scan.state == SCAN_CLOSED
            ? !scan_open(&w->scan, w->settings->conninfo, w->settings->pipeline, now_ms, &failure)
            : !scan_ask(&w->scan, w->task.id, now_ms, &failure)) {
        scan_close(&w->scan);
        broke(w, &failure, now_ms);
    }
}

/* Asks what is to be asked now, over a connection that is opened or closed as that needs. */
static void ask_next(SnapshotWorker *w, int64_t now_ms)
{
    SnapshotAsk ask = w->has_task ? snapshot_task_next(&w->task, now_ms) : SNAPSHOT_ASK_NOTHING;
    SqlSettings settings = {.conninfo = w->settings->conninfo,
                            .pipeline = w->settings->pipeline,
                            .purpose = "snapshot",
                            .options = SNAPSHOT_SESSION_OPTIONS,
                            .answer_ms = SNAPSHOT_ANSWER_MS};
    Failure failure = {""};

    if (w->sql.state == SQL_IDLE &&
        (now_ms - w->sql.opened_ms >= CONNECTION_AGE_MS ||
         (ask == SNAPSHOT_ASK_NOTHING && now_ms - w->sql.used_ms >= CONNECTION_IDLE_MS)))
        sql_close(&w->sql);
    if (ask == SNAPSHOT_ASK_NOTHING)
        return;
    if (ask == SNAPSHOT_ASK_CHUNK && !w->task.keyed) {
        ask_scan(w, now_ms);
    } else if (w->sql.state == SQL_CLOSED) {
        if (!sql_open(&w->sql, &settings, now_ms, &failure))
            broke(w, &failure, now_ms);
    } else if (w->sql.state == SQL_IDLE) {
        snapshot_task_asked(&w->task, ask, now_ms);
        if (!send_question(w, ask, now_ms, &failure))
            broke(w, &failure, now_ms);
    }
}

/* ---- answers ---- */

static const char *text_or_null(const PGresult *result, int column)
{
    return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static WhSlice bytes(const PGresult *result, int column)
{
    if (PQgetisnull(result, 0, column))
        return (WhSlice){0};
    return (WhSlice){(const uint8_t *)PQgetvalue(result, 0, column), (size_t)PQgetlength(result, 0, column)};
}

static bool parse_status(const char *text, SnapshotStatus *status)
{
    static const char *const names[] = {"more", "end", "wait"};

    for (int i = 0; text && i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *status = (SnapshotStatus)i;
            return true;
        }
    return false;
}

/* libpq puts a zero after every value, also where it is binary. */
static bool parse_chunk(const PGresult *result, SnapshotAnswer *answer)
{
    const char *rows, *lsn;

    *answer = (SnapshotAnswer){0};
    if (PQnfields(result) != 5 || !parse_status(text_or_null(result, 0), &answer->status))
        return false;
    rows = text_or_null(result, 3);
    lsn = text_or_null(result, 4);
    answer->data = bytes(result, 1);
    answer->last_key = text_or_null(result, 2);
    answer->rows = rows ? strtoll(rows, NULL, 10) : 0;
    return answer->status == SNAPSHOT_WAIT || answer->rows == 0 ||
           (lsn && lsn_parse(lsn, &answer->floor_lsn));
}

static void handle_refusal(SnapshotWorker *w, const PGresult *result, int64_t now_ms)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    Failure reason = {""};

    (void)failure_set(&reason, "%s", PQresultErrorMessage(result));
    if (sql_error_is_passing(result)) {
        sql_close(&w->sql);
        broke(w, &reason, now_ms);
        return;
    }
    if (w->task.refusals == 0)
        message_log(MESSAGE_WARNING, "snapshot of %s: %s", w->table.label, reason.text);
    snapshot_task_refused(&w->task, primary ? primary : reason.text,
                          sql_error_is(result, SQLSTATE_QUERY_CANCELED), now_ms);
}

static void handle_answer(SnapshotWorker *w, const PGresult *result, int64_t now_ms)
{
    SnapshotAnswer answer;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        handle_refusal(w, result, now_ms);
        return;
    }
    if (PQntuples(result) != 1) {
        snapshot_task_refused(&w->task, unknown_answer, false, now_ms);
        return;
    }
    switch (w->task.asked) {
    case SNAPSHOT_ASK_CHUNK:
        if (parse_chunk(result, &answer))
            snapshot_task_chunk(&w->task, &answer, now_ms);
        else
            snapshot_task_refused(&w->task, unknown_answer, false, now_ms);
        break;
    case SNAPSHOT_ASK_PROGRESS:
        snapshot_task_stored(&w->task);
        break;
    case SNAPSHOT_ASK_SWEEP:
        snapshot_task_sweep(&w->task, bytes(result, 0));
        break;
    case SNAPSHOT_ASK_END:
        snapshot_task_ended(&w->task);
        break;
    case SNAPSHOT_ASK_NOTHING:
        break;
    }
}

static void step_sql(SnapshotWorker *w, short revents, int64_t now_ms)
{
    PGresult *result = NULL;
    Failure failure = {""};

    switch (sql_step(&w->sql, revents, now_ms, &result, &failure)) {
    case SQL_ANSWERED:
        handle_answer(w, result, now_ms);
        PQclear(result);
        break;
    case SQL_BROKEN:
        /* An idle connection that breaks is made anew when it is needed. */
        if (w->has_task && (w->task.asked != SNAPSHOT_ASK_NOTHING || asks_at_ms(w) <= now_ms))
            broke(w, &failure, now_ms);
        break;
    case SQL_CONNECTED:
    case SQL_NOTHING:
        break;
    }
}

/* ---- a table without a key ---- */

static void scan_opened(SnapshotWorker *w, int64_t now_ms)
{
    Failure failure = {""};

    message_log(
        MESSAGE_INFO,
        "snapshot of %s: a table without a key is read in one transaction, which holds back VACUUM until "
        "it is through; it sees what committed up to %" PRIX32 "/%" PRIX32,
        w->table.label, (uint32_t)(w->scan.floor_lsn >> 32), (uint32_t)w->scan.floor_lsn);
    scan_begin(&w->scan);
    snapshot_task_scan(&w->task, w->scan.floor_lsn);
    if (!scan_ask(&w->scan, w->task.id, now_ms, &failure)) {
        scan_close(&w->scan);
        broke(w, &failure, now_ms);
    }
}

static void scan_refused(SnapshotWorker *w, const Failure *failure, int64_t now_ms)
{
    if (w->task.refusals == 0)
        message_log(MESSAGE_WARNING, "snapshot of %s: %s; it will start again", w->table.label,
                    failure->text);
    if (w->task.asked == SNAPSHOT_ASK_CHUNK)
        snapshot_task_refused(&w->task, failure->text, false, now_ms);
}

static void step_scan(SnapshotWorker *w, short revents, int64_t now_ms)
{
    SnapshotAnswer answer;
    Failure failure = {""};

    /* Whatever it waits for: the slot, perhaps for long. */
    if (w->task.is_cancelled || w->task.state != SNAPSHOT_READING) {
        scan_close(&w->scan);
        if (w->task.asked == SNAPSHOT_ASK_CHUNK)
            snapshot_task_broken(&w->task, now_ms);
        return;
    }
    switch (scan_step(&w->scan, revents, now_ms, &answer, &failure)) {
    case SCAN_ANSWERED:
        snapshot_task_chunk(&w->task, &answer, now_ms);
        if (answer.status != SNAPSHOT_MORE)
            scan_close(&w->scan);
        break;
    case SCAN_REFUSED:
        scan_refused(w, &failure, now_ms);
        break;
    case SCAN_BROKEN:
        if (w->task.asked == SNAPSHOT_ASK_CHUNK)
            broke(w, &failure, now_ms);
        break;
    case SCAN_NOTHING:
        if (w->scan.state == SCAN_OPENED)
            scan_opened(w, now_ms);
        break;
    }
}

void snapshot_worker_step(SnapshotWorker *w, const struct pollfd *fds, int64_t now_ms)
{
    step_sql(w, fds[0].revents, now_ms);
    if (w->has_task && !w->task.keyed)
        step_scan(w, fds[1].revents, now_ms);
    ask_next(w, now_ms);
}

/*
 * snapshot.c - hands open snapshots to workers and their chunks to the flow; see snapshot.h.
 */
#include "snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extension/common/chunk.h"

#define LIST_INTERVAL_MS 10000
#define LIST_PAUSE_MS    100 /* between two, however much is requested */
#define LIST_RETRY_MS    2000
#define NEWS_INTERVAL_MS 1000

/* Columns of the list. */
enum {
    LIST_ID,
    LIST_KEYED,
    LIST_LAST_KEY,
    LIST_ROWS_DONE,
    LIST_SCHEMA,
    LIST_TABLE,
    LIST_REASON,
    LIST_ESTIMATED_ROWS,
    LIST_BY_KEYS
};

static const char list_query[] =
    "SELECT w.id::text, w.keyed::text, w.last_key::text, w.rows_done::text, "
    "w.schema_name, w.table_name, w.reason, "
    "  w.estimated_rows::text, w.by_keys::text FROM walhouse._snapshot_work($1::text) w";

static int worker_count(const Snapshots *s)
{
    return s->settings->workers + 1;
}

static bool is_for_keys(const Snapshots *s, const SnapshotWorker *worker)
{
    return worker == &s->workers[s->settings->workers];
}

/* ---- life ---- */

void snapshots_init(Snapshots *s, const SnapshotSettings *settings, int64_t now_ms)
{
    assert(settings->workers <= SNAPSHOT_WORKERS_MAX);
    *s = (Snapshots){.settings = settings, .flowing = -1, .list_at_ms = now_ms};
    for (int i = 0; i < worker_count(s); i++)
        s->workers[i].settings = settings;
}

void snapshots_close(Snapshots *s)
{
    sql_close(&s->list_sql);
    PQclear(s->list);
    s->list = NULL;
    for (int i = 0; i < SNAPSHOT_WORKERS_ALL; i++)
        snapshot_worker_end(&s->workers[i]);
    s->flowing = -1;
}

void snapshots_stop(Snapshots *s)
{
    sql_close(&s->list_sql);
    for (int i = 0; i < SNAPSHOT_WORKERS_ALL; i++)
        snapshot_worker_stop(&s->workers[i]);
}

void snapshots_prepare(const Snapshots *s, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = sql_fd(&s->list_sql), .events = sql_events(&s->list_sql)};
    for (int i = 0; i < SNAPSHOT_WORKERS_ALL; i++)
        snapshot_worker_prepare(&s->workers[i], &fds[1 + SNAPSHOT_WORKER_FDS * i]);
}

int64_t snapshots_due_ms(const Snapshots *s)
{
    int64_t due = s->list_is_asked ? INT64_MAX : s->list_at_ms;

    if (s->settings->workers == 0)
        return INT64_MAX;
    for (int i = 0; i < worker_count(s); i++) {
        int64_t worker_due = snapshot_worker_due_ms(&s->workers[i]);

        due = worker_due < due ? worker_due : due;
    }
    return due;
}

void snapshots_wake(Snapshots *s)
{
    s->list_at_ms = s->list_asked_ms + LIST_PAUSE_MS;
    s->list_is_old = s->list_is_asked;
}

void snapshots_on_signal(void *context, WhSlice prefix, WhSlice content)
{
    Snapshots *s = context;

    if (wh_slice_equals(prefix, WH_SIGNAL_PREFIX "snapshot") &&
        wh_slice_equals(content, s->settings->pipeline))
        snapshots_wake(s);
}

/* ---- the list ---- */

static void list_failed(Snapshots *s, const char *reason, int64_t now_ms)
{
    if (strncmp(s->list_error, reason, sizeof s->list_error - 1) != 0) {
        message_log(MESSAGE_WARNING, "could not ask for open snapshots: %s", reason);
        (void)snprintf(s->list_error, sizeof s->list_error, "%s", reason);
    }
    sql_close(&s->list_sql);
    s->list_is_asked = false;
    s->list_at_ms = now_ms + LIST_RETRY_MS;
}

static bool list_has(const PGresult *list, int64_t id)
{
    for (int i = 0; i < PQntuples(list); i++)
        if (strtoll(PQgetvalue(list, i, LIST_ID), NULL, 10) == id)
            return true;
    return false;
}

static bool is_keyed(const PGresult *list, int row)
{
    return PQgetvalue(list, row, LIST_KEYED)[0] == 't';
}

static const SnapshotWorker *worker_of(const Snapshots *s, int64_t id)
{
    for (int i = 0; i < worker_count(s); i++)
        if (s->workers[i].has_task && s->workers[i].task.id == id)
            return &s->workers[i];
    return NULL;
}

/* What ended before the list was asked for is not in it. */
static void forget_ended(Snapshots *s)
{
    int kept = 0;

    for (int i = 0; i < s->ended_count; i++)
        if (s->ended[i].list_asks >= s->list_number)
            s->ended[kept++] = s->ended[i];
    s->ended_count = kept;
}

/* What is not in the list any more has been ended by somebody else. */
static void take_list(Snapshots *s, PGresult *list, int64_t now_ms)
{
    PQclear(s->list);
    s->list = list;
    s->list_next[0] = s->list_next[1] = 0;
    s->list_number = s->list_asks;
    s->list_error[0] = '\0';
    s->list_at_ms = now_ms + (s->list_is_old ? LIST_PAUSE_MS : LIST_INTERVAL_MS);
    forget_ended(s);
    for (int i = 0; i < worker_count(s); i++)
        if (s->workers[i].has_task && !list_has(list, s->workers[i].task.id)) {
            message_log(MESSAGE_INFO, "snapshot of %s is not wanted any more", s->workers[i].table.label);
            snapshot_task_cancel(&s->workers[i].task);
        }
}

static void handle_list(Snapshots *s, PGresult *list, int64_t now_ms)
{
    sql_close(&s->list_sql);
    s->list_is_asked = false;
    if (PQresultStatus(list) == PGRES_TUPLES_OK) {
        take_list(s, list, now_ms);
        return;
    }
    list_failed(s, PQresultErrorMessage(list), now_ms);
    s->list_at_ms = now_ms + LIST_INTERVAL_MS;
    PQclear(list);
}

static void ask_for_list(Snapshots *s, int64_t now_ms)
{
    SqlSettings settings = {.conninfo = s->settings->conninfo,
                            .pipeline = s->settings->pipeline,
                            .purpose = "snapshots",
                            .options = SNAPSHOT_SESSION_OPTIONS,
                            .answer_ms = SNAPSHOT_ANSWER_MS};
    Failure failure = {""};

    s->list_is_asked = true;
    s->list_is_old = false;
    s->list_asks++;
    s->list_asked_ms = now_ms;
    if (!sql_open(&s->list_sql, &settings, now_ms, &failure))
        list_failed(s, failure.text, now_ms);
}

static void step_list(Snapshots *s, short revents, int64_t now_ms)
{
    PGresult *list = NULL;
    Failure failure = {""};

    if (!s->list_is_asked) {
        if (now_ms >= s->list_at_ms)
            ask_for_list(s, now_ms);
        return;
    }
    switch (sql_step(&s->list_sql, revents, now_ms, &list, &failure)) {
    case SQL_NOTHING:
        break;
    case SQL_CONNECTED:
        if (!sql_ask_with(&s->list_sql, list_query, 1, &s->settings->pipeline, now_ms, &failure))
            list_failed(s, failure.text, now_ms);
        break;
    case SQL_ANSWERED:
        handle_list(s, list, now_ms);
        break;
    case SQL_BROKEN:
        list_failed(s, failure.text, now_ms);
        break;
    }
}

/* ---- workers ---- */

static int64_t list_number(const PGresult *list, int row, int column)
{
    return PQgetisnull(list, row, column) ? -1 : strtoll(PQgetvalue(list, row, column), NULL, 10);
}

static void begin_task(Snapshots *s, SnapshotWorker *worker, int row, int64_t now_ms)
{
    const char *last_key =
        PQgetisnull(s->list, row, LIST_LAST_KEY) ? NULL : PQgetvalue(s->list, row, LIST_LAST_KEY);
    SnapshotTable table = {.estimated_rows = list_number(s->list, row, LIST_ESTIMATED_ROWS)};
    SnapshotTask task;

    (void)snprintf(table.schema, sizeof table.schema, "%s", PQgetvalue(s->list, row, LIST_SCHEMA));
    (void)snprintf(table.name, sizeof table.name, "%s", PQgetvalue(s->list, row, LIST_TABLE));
    (void)snprintf(table.label, sizeof table.label, "%s.%s", table.schema, table.name);
    (void)snprintf(table.reason, sizeof table.reason, "%s", PQgetvalue(s->list, row, LIST_REASON));
    if (!snapshot_task_init(&task, list_number(s->list, row, LIST_ID), is_keyed(s->list, row), last_key,
                            list_number(s->list, row, LIST_ROWS_DONE), s->settings->chunk_ms)) {
        message_log(MESSAGE_WARNING, "snapshot of %s cannot begin: out of memory", table.label);
        return;
    }
    snapshot_worker_begin(worker, &task, &table, now_ms);
    message_log(MESSAGE_INFO, "snapshot of %s (%s) %s, %" PRId64 " rows done", table.label, table.reason,
                last_key ? "goes on" : "begins", task.rows_done);
}

/* A table without a key takes a replication slot and a long transaction: one at a time. */
static bool may_begin(const Snapshots *s, int row)
{
    int64_t id = list_number(s->list, row, LIST_ID);

    if (worker_of(s, id))
        return false;
    for (int i = 0; i < s->ended_count; i++)
        if (s->ended[i].id == id)
            return false;
    for (int i = 0; i < worker_count(s); i++)
        if (s->workers[i].has_task && !s->workers[i].task.keyed && !is_keyed(s->list, row))
            return false;
    return true;
}

/* Gives the first open snapshot that no worker has, and that it may have, to this one. The list is asked for
 * again whenever one ends. */
static void begin_next(Snapshots *s, SnapshotWorker *worker, int64_t now_ms)
{
    bool by_keys = is_for_keys(s, worker);
    int *next = &s->list_next[by_keys];

    while (s->list && *next < PQntuples(s->list) && !worker->has_task) {
        int row = (*next)++;

        if ((!by_keys || PQgetvalue(s->list, row, LIST_BY_KEYS)[0] == 't') && may_begin(s, row))
            begin_task(s, worker, row, now_ms);
    }
}

/* Puts how far it is into the queue of news; when that is full, the oldest goes. */
static void say(Snapshots *s, SnapshotWorker *worker, const char *state)
{
    ControlSnapshot news = {.pipeline = s->settings->pipeline,
                            .id = worker->task.id,
                            .schema = worker->table.schema,
                            .table = worker->table.name,
                            .reason = worker->table.reason,
                            .state = state,
                            .error = worker->task.error.text,
                            .rows_done = snapshot_task_rows(&worker->task),
                            .estimated_rows = worker->table.estimated_rows,
                            .sent_at_us = clock_wall_us()};
    SnapshotNews *place;
    WhWriter w;

    if (s->news_count == SNAPSHOT_NEWS_MAX)
        snapshots_news_sent(s);
    place = &s->news[(s->news_first + s->news_count++) % SNAPSHOT_NEWS_MAX];
    w = wh_writer(place->bytes, sizeof place->bytes);
    control_put_snapshot(&w, &news);
    assert(!w.full);
    place->size = w.length;
    worker->said_rows = news.rows_done;
}

static void say_progress(Snapshots *s, int64_t now_ms)
{
    if (now_ms - s->said_ms < NEWS_INTERVAL_MS)
        return;
    s->said_ms = now_ms;
    for (int i = 0; i < worker_count(s); i++)
        if (s->workers[i].has_task && snapshot_task_rows(&s->workers[i].task) != s->workers[i].said_rows)
            say(s, &s->workers[i], "running");
}

bool snapshots_news(const Snapshots *s, WhSlice *json)
{
    if (s->news_count == 0)
        return false;
    *json = (WhSlice){s->news[s->news_first].bytes, s->news[s->news_first].size};
    return true;
}

void snapshots_news_sent(Snapshots *s)
{
    s->news_first = (s->news_first + 1) % SNAPSHOT_NEWS_MAX;
    s->news_count--;
}

/* The list at hand, and one that is on its way, may name what has ended. */
static void remember_ended(Snapshots *s, int64_t id)
{
    if (s->ended_count == SNAPSHOT_ENDED_MAX) {
        PQclear(s->list);
        s->list = NULL;
        sql_close(&s->list_sql);
        s->list_is_asked = false;
        s->ended_count = 0;
        snapshots_wake(s);
        return;
    }
    s->ended[s->ended_count++] = (SnapshotEnd){.id = id, .list_asks = s->list_asks};
}

static void end_task(Snapshots *s, SnapshotWorker *worker, int64_t now_ms)
{
    const SnapshotTask *t = &worker->task;
    double seconds = (double)(now_ms - worker->started_ms) / 1000.0;

    if (t->error.text[0] != '\0')
        message_log(MESSAGE_WARNING, "snapshot of %s failed after %" PRId64 " rows: %s", worker->table.label,
                    snapshot_task_rows(t), t->error.text);
    else if (!t->is_cancelled)
        message_log(MESSAGE_INFO,
                    "snapshot of %s is done: %" PRId64 " rows, of which %" PRId64 " in the last %.1f s",
                    worker->table.label, snapshot_task_rows(t), t->rows_read, seconds);
    if (!t->is_cancelled)
        say(s, worker, t->error.text[0] ? "failed" : "done");
    remember_ended(s, t->id);
    snapshot_worker_forget(worker);
    if (s->list == NULL || s->list_next[is_for_keys(s, worker)] == PQntuples(s->list))
        snapshots_wake(s);
}

void snapshots_step(Snapshots *s, const struct pollfd *fds, uint64_t done_ticket, int64_t now_ms)
{
    if (s->settings->workers == 0)
        return;
    step_list(s, fds[0].revents, now_ms);
    say_progress(s, now_ms);
    for (int i = 0; i < worker_count(s); i++) {
        SnapshotWorker *worker = &s->workers[i];

        if (!worker->has_task)
            begin_next(s, worker, now_ms);
        if (worker->has_task)
            snapshot_task_acked(&worker->task, done_ticket);
        snapshot_worker_step(worker, &fds[1 + SNAPSHOT_WORKER_FDS * i], now_ms);
        if (worker->has_task && worker->task.state == SNAPSHOT_OVER)
            end_task(s, worker, now_ms);
    }
}

/* ---- chunks ---- */

/* The worker after the last one served that has a chunk; -1: none. */
static int find_ready(const Snapshots *s)
{
    for (int i = 0; i < worker_count(s); i++) {
        int worker = (s->turn + i) % worker_count(s);

        if (s->workers[worker].has_task && snapshot_task_is_ready(&s->workers[worker].task))
            return worker;
    }
    return -1;
}

bool snapshots_is_ready(const Snapshots *s)
{
    return s->flowing < 0 && s->settings && find_ready(s) >= 0;
}

WhSlice snapshots_take(Snapshots *s)
{
    assert(s->flowing < 0);
    s->flowing = find_ready(s);
    assert(s->flowing >= 0);
    s->turn = (s->flowing + 1) % worker_count(s);
    return snapshot_task_take(&s->workers[s->flowing].task);
}

void snapshots_sent(Snapshots *s, uint64_t ticket)
{
    assert(s->flowing >= 0);
    snapshot_task_sent(&s->workers[s->flowing].task, ticket);
    s->flowing = -1;
}

void snapshots_rejected(Snapshots *s, const char *reason)
{
    assert(s->flowing >= 0);
    snapshot_task_rejected(&s->workers[s->flowing].task, reason);
    s->flowing = -1;
}

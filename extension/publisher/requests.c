/*
 * requests.c - agents' requests on their way to Postgres; see requests.h.
 */
#include "requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot_worker.h"

#define RETRY_MS         1000
#define LOCATE_RETRY_MS  10000
#define PAUSE_MS         100 /* between two batches, however many requests there are */
#define FAILURES_MAX     3   /* of one request that fails the call, before it is left behind */
#define LINES_MAX        5   /* in the log, of one batch */
#define FETCH_WAIT_MS    "10000"
#define BATCH_BYTES_MAX  REQUEST_BYTES_MAX /* nothing is added to a batch that has as many */
#define ELEMENT_OVERHEAD 8                 /* ,"\\x" */
/* A request has two digits a byte. */
#define BATCH_CAPACITY                                                                                       \
    (2 * (size_t)(BATCH_BYTES_MAX + REQUEST_BYTES_MAX) + REQUESTS_BATCH_MAX * ELEMENT_OVERHEAD + 3)

void requests_init(Requests *r, const RequestsSettings *settings)
{
    *r = (Requests){.settings = settings, .count_max = REQUESTS_BATCH_MAX};
}

static void forget_batch(Requests *r)
{
    free(r->batch.data);
    r->batch = (WhWriter){0};
    r->batch_bytes = 0;
    r->count = 0;
}

void requests_close(Requests *r)
{
    forget_batch(r);
    sql_close(&r->sql);
    topic_reader_close(r->reader);
    r->reader = NULL;
    r->state = REQUESTS_IDLE;
}

void requests_stop(Requests *r)
{
    sql_close(&r->sql);
}

int requests_fd(const Requests *r)
{
    return sql_fd(&r->sql);
}

short requests_events(const Requests *r)
{
    return sql_events(&r->sql);
}

int64_t requests_due_ms(const Requests *r)
{
    bool waits = r->state == REQUESTS_IDLE || (r->state == REQUESTS_READING && r->due_ms > 0) ||
                 (r->state == REQUESTS_GIVING && r->sql.state == SQL_CLOSED);

    return waits ? r->due_ms : INT64_MAX;
}

static void complain(Requests *r, const char *reason)
{
    if (strncmp(r->last_error, reason, sizeof r->last_error - 1) == 0)
        return;
    message_log(MESSAGE_WARNING, "could not take what agents ask for: %s", reason);
    (void)snprintf(r->last_error, sizeof r->last_error, "%s", reason);
}

/* Everything again, later. */
static void begin_again(Requests *r, const char *reason, int64_t after_ms, int64_t now_ms)
{
    complain(r, reason);
    requests_close(r);
    r->due_ms = now_ms + after_ms;
}

static bool open_sql(Requests *r, int64_t now_ms, Failure *failure)
{
    SqlSettings settings = {.conninfo = r->settings->conninfo,
                            .pipeline = r->settings->pipeline,
                            .purpose = "requests",
                            .options = SNAPSHOT_SESSION_OPTIONS,
                            .answer_ms = SNAPSHOT_ANSWER_MS};

    return sql_open(&r->sql, &settings, now_ms, failure);
}

/* ---- where to read ---- */

static void begin_reading(Requests *r, const char *topic, int wake_fd, int64_t now_ms)
{
    TopicReaderSettings settings = {.brokers = r->settings->brokers,
                                    .properties_file = r->settings->properties_file,
                                    .topic = topic,
                                    .offset = r->from_offset,
                                    .fetch_wait_ms = FETCH_WAIT_MS,
                                    .wake_fd = wake_fd};
    Failure failure = {""};

    r->reader = topic_reader_open(&settings, &failure);
    if (r->reader == NULL) {
        begin_again(r, failure.text, LOCATE_RETRY_MS, now_ms);
        return;
    }
    r->next_offset = r->from_offset;
    r->state = REQUESTS_READING;
    r->due_ms = 0;
}

static void step_locating(Requests *r, const char *topic, int wake_fd, short revents, int64_t now_ms)
{
    PGresult *answer = NULL;
    Failure failure = {""};

    switch (sql_step(&r->sql, revents, now_ms, &answer, &failure)) {
    case SQL_NOTHING:
        return;
    case SQL_CONNECTED:
        if (sql_ask_with(&r->sql, "SELECT walhouse._request_position($1::text)::text", 1,
                         &r->settings->pipeline, now_ms, &failure))
            return;
        break;
    case SQL_ANSWERED:
        sql_close(&r->sql);
        if (PQresultStatus(answer) == PGRES_TUPLES_OK) {
            r->from_offset = strtoll(PQgetvalue(answer, 0, 0), NULL, 10);
            begin_reading(r, topic, wake_fd, now_ms);
        } else {
            begin_again(r, PQresultErrorMessage(answer), LOCATE_RETRY_MS, now_ms);
        }
        PQclear(answer);
        return;
    case SQL_BROKEN:
        break;
    }
    begin_again(r, failure.text, RETRY_MS, now_ms);
}

/* ---- reading ---- */

static void put_text(WhWriter *w, const char *text)
{
    wh_put_bytes(w, text, strlen(text));
}

static void put_hex(WhWriter *w, WhSlice bytes)
{
    static const char digits[] = "0123456789abcdef";

    put_text(w, "\"\\\\x");
    for (size_t i = 0; i < bytes.size; i++) {
        wh_put_u8(w, (uint8_t)digits[bytes.data[i] >> 4]);
        wh_put_u8(w, (uint8_t)digits[bytes.data[i] & 15]);
    }
    put_text(w, "\"");
}

static void begin_batch(Requests *r)
{
    uint8_t *data = malloc(BATCH_CAPACITY);

    r->batch = wh_writer(data, data ? BATCH_CAPACITY : 0);
}

/* Offsets follow each other without gaps. Who has never read anything misses nothing. */
static void look_for_gap(const Requests *r, int64_t offset)
{
    if (r->next_offset > 0 && offset > r->next_offset)
        message_log(MESSAGE_WARNING,
                    "requests %" PRId64 " to %" PRId64
                    " of agents are gone from their topic: rows may be missing in the warehouse until "
                    "walhouse.snapshot() or walhouse.resync() brings them",
                    r->next_offset, offset - 1);
}

/* A TopicReaderHandler; context is the requests. */
static bool take_message(void *context, WhSlice value, int64_t offset)
{
    Requests *r = context;

    if (r->count == 0)
        begin_batch(r);
    look_for_gap(r, offset);
    put_text(&r->batch, r->count ? "," : "{");
    if (value.size > REQUEST_BYTES_MAX) {
        put_text(&r->batch, "NULL");
    } else {
        put_hex(&r->batch, value);
        r->batch_bytes += value.size;
    }
    r->count++;
    r->next_offset = offset + 1;
    return r->count < r->count_max && r->batch_bytes < BATCH_BYTES_MAX;
}

static void step_reading(Requests *r, int64_t now_ms)
{
    const char *trouble = NULL;
    Failure failure = {""};

    if (now_ms < r->due_ms)
        return;
    r->due_ms = 0;
    (void)topic_reader_poll(r->reader, take_message, r, &trouble);
    if (trouble)
        message_log(MESSAGE_DEBUG, "topic of requests: %s", trouble);
    if (r->count == 0)
        return;
    put_text(&r->batch, "}");
    wh_put_u8(&r->batch, 0);
    if (r->batch.full) {
        begin_again(r, "out of memory", RETRY_MS, now_ms);
        return;
    }
    r->state = REQUESTS_GIVING;
    if (!open_sql(r, now_ms, &failure)) {
        complain(r, failure.text);
        r->due_ms = now_ms + RETRY_MS;
    }
}

/* ---- giving ---- */

static bool ask_to_take(Requests *r, int64_t now_ms, Failure *failure)
{
    char from[24], next[24];
    const char *parameters[] = {r->settings->pipeline, from, next, (const char *)r->batch.data};

    (void)snprintf(from, sizeof from, "%" PRId64, r->from_offset);
    (void)snprintf(next, sizeof next, "%" PRId64, r->next_offset);
    return sql_ask_with(&r->sql,
                        "SELECT t.refused::text, t.news FROM "
                        "walhouse._take_requests($1::text, $2::bigint, $3::bigint, $4::bytea[]) t",
                        4, parameters, now_ms, failure);
}

static void log_news(const PGresult *answer)
{
    int count = PQntuples(answer);

    for (int i = 0; i < count && i < LINES_MAX; i++) {
        bool refused = PQgetvalue(answer, i, 0)[0] == 't';

        message_log(refused ? MESSAGE_WARNING : MESSAGE_INFO, "%s %s",
                    refused ? "an agent's request is refused:" : "an agent asks for",
                    PQgetvalue(answer, i, 1));
    }
    if (count > LINES_MAX)
        message_log(MESSAGE_INFO, "agents asked for %d more at once", count - LINES_MAX);
}

static void given(Requests *r, const PGresult *answer, int64_t now_ms)
{
    log_news(answer);
    forget_batch(r);
    r->from_offset = r->next_offset;
    r->count_max = REQUESTS_BATCH_MAX;
    r->failures = 0;
    r->last_error[0] = '\0';
    r->state = REQUESTS_READING;
    r->due_ms = now_ms + PAUSE_MS;
}

/* Does the error say that the server, or somebody's lock, is in the way, rather than what was handed in? */
static bool is_passing(const PGresult *answer)
{
    return sql_error_is_passing(answer) || sql_error_is(answer, SQLSTATE_LOCK_NOT_AVAILABLE) ||
           sql_error_is(answer, SQLSTATE_DEADLOCK_DETECTED) ||
           sql_error_is(answer, SQLSTATE_SERIALIZATION_FAILURE);
}

/* A call that fails for what is in it is made for each request alone, and the one that it is is left behind.
 */
static void refused(Requests *r, const PGresult *answer, int64_t now_ms)
{
    const char *reason = PQresultErrorMessage(answer);

    if (is_passing(answer)) {
        complain(r, reason);
        r->due_ms = now_ms + RETRY_MS;
    } else if (r->count > 1 || sql_error_is(answer, SQLSTATE_OBJECT_NOT_IN_STATE)) {
        r->count_max = 1;
        begin_again(r, reason, RETRY_MS, now_ms);
    } else {
        complain(r, reason);
        r->due_ms = now_ms + RETRY_MS;
        if (++r->failures < FAILURES_MAX)
            return;
        r->batch.length = 0;
        put_text(&r->batch, "{NULL}");
        wh_put_u8(&r->batch, 0);
    }
}

/* Returns true when requests were taken. */
static bool step_giving(Requests *r, short revents, int64_t now_ms)
{
    PGresult *answer = NULL;
    Failure failure = {""};
    bool taken = false;

    if (r->sql.state == SQL_CLOSED) {
        if (now_ms >= r->due_ms && !open_sql(r, now_ms, &failure)) {
            complain(r, failure.text);
            r->due_ms = now_ms + RETRY_MS;
        }
        return false;
    }
    switch (sql_step(&r->sql, revents, now_ms, &answer, &failure)) {
    case SQL_NOTHING:
        return false;
    case SQL_CONNECTED:
        if (ask_to_take(r, now_ms, &failure))
            return false;
        break;
    case SQL_ANSWERED:
        sql_close(&r->sql);
        taken = PQresultStatus(answer) == PGRES_TUPLES_OK;
        if (taken)
            given(r, answer, now_ms);
        else
            refused(r, answer, now_ms);
        PQclear(answer);
        return taken;
    case SQL_BROKEN:
        break;
    }
    complain(r, failure.text);
    r->due_ms = now_ms + RETRY_MS;
    return false;
}

bool requests_step(Requests *r, const char *topic, int wake_fd, short revents, int64_t now_ms)
{
    Failure failure = {""};

    switch (r->state) {
    case REQUESTS_IDLE:
        if (now_ms < r->due_ms)
            break;
        if (open_sql(r, now_ms, &failure))
            r->state = REQUESTS_LOCATING;
        else
            begin_again(r, failure.text, RETRY_MS, now_ms);
        break;
    case REQUESTS_LOCATING:
        step_locating(r, topic, wake_fd, revents, now_ms);
        break;
    case REQUESTS_READING:
        step_reading(r, now_ms);
        break;
    case REQUESTS_GIVING:
        return step_giving(r, revents, now_ms);
    }
    return false;
}

/*
 * sql_connection.c - libpq without blocking; see sql_connection.h.
 */
#include "sql_connection.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 30000

bool sql_open(SqlConnection *sql, const SqlSettings *settings, int64_t now_ms, Failure *failure)
{
    char application_name[96];
    const char *const keys[] = {"dbname",  "client_encoding", "application_name",
                                "options", "replication",     NULL};
    const char *const values[] = {settings->conninfo,
                                  "UTF8",
                                  application_name,
                                  settings->options,
                                  settings->replication ? "database" : NULL,
                                  NULL};

    assert(sql->state == SQL_CLOSED);
    (void)snprintf(application_name, sizeof application_name, "walhouse_%s_%s", settings->pipeline,
                   settings->purpose);
    *sql = (SqlConnection){.state = SQL_CONNECTING,
                           .connect_wants = PGRES_POLLING_WRITING,
                           .answer_ms = settings->answer_ms,
                           .opened_ms = now_ms,
                           .used_ms = now_ms,
                           .connection = PQconnectStartParams(keys, values, 1)};
    if (sql->connection && PQstatus(sql->connection) != CONNECTION_BAD)
        return true;
    (void)failure_set(failure, "%s", sql->connection ? PQerrorMessage(sql->connection) : "out of memory");
    sql_close(sql);
    return false;
}

void sql_close(SqlConnection *sql)
{
    PQclear(sql->answer);
    PQfinish(sql->connection);
    *sql = (SqlConnection){0};
}

static bool broke(SqlConnection *sql, const char *reason, Failure *failure)
{
    const char *text = reason ? reason : PQerrorMessage(sql->connection);

    (void)failure_set(failure, "%s", *text ? text : "the server closed the connection");
    sql_close(sql);
    return false;
}

int sql_fd(const SqlConnection *sql)
{
    return sql->connection ? PQsocket(sql->connection) : -1;
}

short sql_events(const SqlConnection *sql)
{
    if (sql->state == SQL_CONNECTING)
        return sql->connect_wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    return sql->output_waits ? POLLIN | POLLOUT : POLLIN;
}

static bool flush_output(SqlConnection *sql, Failure *failure)
{
    int left = PQflush(sql->connection);

    if (left < 0)
        return broke(sql, NULL, failure);
    sql->output_waits = left > 0;
    return true;
}

static SqlStep step_connecting(SqlConnection *sql, Failure *failure)
{
    sql->connect_wants = PQconnectPoll(sql->connection);
    if (sql->connect_wants == PGRES_POLLING_OK && PQsetnonblocking(sql->connection, 1) == 0) {
        sql->state = SQL_IDLE;
        return SQL_CONNECTED;
    }
    if (sql->connect_wants == PGRES_POLLING_READING || sql->connect_wants == PGRES_POLLING_WRITING)
        return SQL_NOTHING;
    (void)broke(sql, NULL, failure);
    return SQL_BROKEN;
}

/* Collects results until the server says that there are no more; the last one is the answer. */
static SqlStep step_busy(SqlConnection *sql, int64_t now_ms, PGresult **answer, Failure *failure)
{
    PGresult *result;

    while (!PQisBusy(sql->connection)) {
        result = PQgetResult(sql->connection);
        if (result) {
            PQclear(sql->answer);
            sql->answer = result;
            continue;
        }
        if (sql->answer == NULL || PQstatus(sql->connection) == CONNECTION_BAD) {
            (void)broke(sql, NULL, failure);
            return SQL_BROKEN;
        }
        *answer = sql->answer;
        sql->answer = NULL;
        sql->state = SQL_IDLE;
        sql->used_ms = now_ms;
        return SQL_ANSWERED;
    }
    return SQL_NOTHING;
}

SqlStep sql_step(SqlConnection *sql, short revents, int64_t now_ms, PGresult **answer, Failure *failure)
{
    bool ok = true;

    if (sql->state == SQL_CLOSED)
        return SQL_NOTHING;
    if (sql->state == SQL_CONNECTING) {
        if (revents)
            return step_connecting(sql, failure);
        if (now_ms - sql->opened_ms <= CONNECT_TIMEOUT_MS)
            return SQL_NOTHING;
        (void)broke(sql, "Postgres does not answer", failure);
        return SQL_BROKEN;
    }
    if (revents == 0 && sql->state == SQL_BUSY && sql->answer_ms > 0 &&
        now_ms - sql->used_ms > sql->answer_ms) {
        (void)broke(sql, "Postgres does not answer", failure);
        return SQL_BROKEN;
    }
    if (revents == 0)
        return SQL_NOTHING;
    if (sql->output_waits)
        ok = flush_output(sql, failure);
    if (ok && !PQconsumeInput(sql->connection))
        ok = broke(sql, NULL, failure);
    if (!ok)
        return SQL_BROKEN;
    return sql->state == SQL_BUSY ? step_busy(sql, now_ms, answer, failure) : SQL_NOTHING;
}

static bool begin_busy(SqlConnection *sql, int sent, int64_t now_ms, Failure *failure)
{
    if (!sent)
        return broke(sql, NULL, failure);
    sql->state = SQL_BUSY;
    sql->used_ms = now_ms;
    return flush_output(sql, failure);
}

bool sql_ask(SqlConnection *sql, const char *query, int64_t now_ms, Failure *failure)
{
    assert(sql->state == SQL_IDLE);
    return begin_busy(sql, PQsendQuery(sql->connection, query), now_ms, failure);
}

bool sql_ask_with(SqlConnection *sql, const char *query, int count, const char *const *parameters,
                  int64_t now_ms, Failure *failure)
{
    assert(sql->state == SQL_IDLE);
    return begin_busy(sql, PQsendQueryParams(sql->connection, query, count, NULL, parameters, NULL, NULL, 1),
                      now_ms, failure);
}

bool sql_error_is(const PGresult *result, const char *sqlstate)
{
    const char *found = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return found && strcmp(found, sqlstate) == 0;
}

/*
 * Connection exceptions, insufficient resources, and the administrator stopping or the server starting; not a
 * limit that somebody has configured.
 */
bool sql_error_is_passing(const PGresult *result)
{
    static const char *const classes[] = {"08", "53", "57P"};
    const char *found = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (found == NULL)
        return true;
    if (strcmp(found, SQLSTATE_CONFIGURATION_LIMIT) == 0)
        return false;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(found, classes[i], strlen(classes[i])) == 0)
            return true;
    return false;
}

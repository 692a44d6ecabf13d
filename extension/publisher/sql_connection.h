/*
 * sql_connection.h - one connection to Postgres that is asked one question at a time, without ever blocking.
 *
 *      closed --sql_open()--> connecting --> idle <--> busy (sql_ask() ... the answer)
 *        ^                        |           |          |
 *        +---- sql_close() -------+-----------+----------+   a break closes by itself
 *
 * For short, ordinary connections (one that stayed open would make a smart shutdown wait) and for replication
 * connections that run commands.
 */
#ifndef WALHOUSE_PUBLISHER_SQL_CONNECTION_H
#define WALHOUSE_PUBLISHER_SQL_CONNECTION_H

#include <libpq-fe.h>

#include "message.h"

typedef struct SqlSettings {
    const char *conninfo;
    const char *pipeline; /* with purpose, for application_name */
    const char *purpose;
    const char *options; /* command-line options of the session; NULL: none */
    bool replication;    /* a walsender of this database */
    int64_t answer_ms;   /* an answer that takes longer means that the connection is broken; 0: for ever */
} SqlSettings;

typedef enum SqlState { SQL_CLOSED, SQL_CONNECTING, SQL_IDLE, SQL_BUSY } SqlState;

typedef enum SqlStep {
    SQL_NOTHING,   /* wait for the socket */
    SQL_CONNECTED, /* the connection is idle now */
    SQL_ANSWERED,  /* *answer is the last result of what was asked, the caller's to clear; it may be an error
                    */
    SQL_BROKEN     /* the connection is closed; failure says why */
} SqlStep;

/* Zeroed: closed. */
typedef struct SqlConnection {
    SqlState state;
    PGconn *connection;
    PostgresPollingStatusType connect_wants;
    PGresult *answer; /* as far as it has come */
    bool output_waits;
    int64_t answer_ms;
    int64_t opened_ms;
    int64_t used_ms; /* when it was opened, asked, or last gave an answer */
} SqlConnection;

/* Begins to connect. false: failure says why, and the connection is closed. */
bool sql_open(SqlConnection *sql, const SqlSettings *settings, int64_t now_ms, Failure *failure);
void sql_close(SqlConnection *sql);

/* -1: no socket at the moment. */
int sql_fd(const SqlConnection *sql);
short sql_events(const SqlConnection *sql);
/* Goes on as far as it can. revents: what poll() said of the socket. */
SqlStep sql_step(SqlConnection *sql, short revents, int64_t now_ms, PGresult **answer, Failure *failure);

/*
 * Asks, on an idle connection. Without parameters any commands; with parameters (texts, NULL is null) one
 * command, whose answer comes in binary. false: failure says why, and the connection is closed.
 */
bool sql_ask(SqlConnection *sql, const char *query, int64_t now_ms, Failure *failure);
bool sql_ask_with(SqlConnection *sql, const char *query, int count, const char *const *parameters,
                  int64_t now_ms, Failure *failure);

/* Does this error mean that the server, rather than the question, has a trouble that passes? */
bool sql_error_is_passing(const PGresult *result);
bool sql_error_is(const PGresult *result, const char *sqlstate);

#define SQLSTATE_QUERY_CANCELED        "57014"
#define SQLSTATE_CONFIGURATION_LIMIT   "53400"
#define SQLSTATE_LOCK_NOT_AVAILABLE    "55P03"
#define SQLSTATE_OBJECT_NOT_IN_STATE   "55000"
#define SQLSTATE_DEADLOCK_DETECTED     "40P01"
#define SQLSTATE_SERIALIZATION_FAILURE "40001"

#endif

/*
 * snapshot_scan.c - a replication connection that reads a table; see snapshot_scan.h.
 *
 * A walsender takes simple queries only, so values come as text, bytes in hexadecimal.
 */
#include "snapshot_scan.h"
#include "lib/lsn.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES_MAX 1048576

/* The transaction lasts as long as the table is large, whatever the role's settings say. */
static const char session_options[] =
    "-c statement_timeout=60s -c lock_timeout=0 -c search_path=pg_catalog -c bytea_output=hex"
    " -c client_connection_check_interval=1s -c idle_in_transaction_session_timeout=0";

bool scan_open(SnapshotScan *scan, const char *conninfo, const char *pipeline, int64_t now_ms,
               Failure *failure)
{
    SqlSettings settings = {.conninfo = conninfo,
                            .pipeline = pipeline,
                            .purpose = "scan",
                            .options = session_options,
                            .replication = true};

    assert(scan->state == SCAN_CLOSED);
    if (!sql_open(&scan->sql, &settings, now_ms, failure))
        return false;
    scan->state = SCAN_CONNECTING;
    return true;
}

void scan_close(SnapshotScan *scan)
{
    sql_close(&scan->sql);
    PQfreemem(scan->bytes);
    *scan = (SnapshotScan){0};
}

void scan_begin(SnapshotScan *scan)
{
    assert(scan->state == SCAN_OPENED);
    scan->next_block = 0;
    scan->next_ordinal = 1;
    scan->state = SCAN_READY;
}

static bool ask(SnapshotScan *scan, const char *query, ScanState state, int64_t now_ms, Failure *failure)
{
    scan->state = state;
    return sql_ask(&scan->sql, query, now_ms, failure);
}

bool scan_ask(SnapshotScan *scan, int64_t id, int64_t now_ms, Failure *failure)
{
    char query[256];

    assert(scan->state == SCAN_READY);
    (void)snprintf(query, sizeof query,
                   "SELECT status, data, next_block, rows FROM walhouse._snapshot_scan(%" PRId64 ", %" PRId64
                   ", %d, '%" PRIX32 "/%" PRIX32 "', %" PRId64 ")",
                   id, scan->next_block, CHUNK_BYTES_MAX, (uint32_t)(scan->floor_lsn >> 32),
                   (uint32_t)scan->floor_lsn, scan->next_ordinal);
    return ask(scan, query, SCAN_READING, now_ms, failure);
}

/* Its name is this process's own; the connection's end drops it. */
static bool create_slot(SnapshotScan *scan, int64_t now_ms, Failure *failure)
{
    char command[256];

    (void)snprintf(command, sizeof command,
                   "CREATE_REPLICATION_SLOT walhouse_scan_%ld_%d TEMPORARY LOGICAL walhouse (SNAPSHOT 'use')",
                   (long)getpid(), PQbackendPID(scan->sql.connection));
    return ask(scan, command, SCAN_CREATING_SLOT, now_ms, failure);
}

static bool begin_transaction(SnapshotScan *scan, int64_t now_ms, Failure *failure)
{
    return ask(scan, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", SCAN_BEGINNING, now_ms, failure);
}

/* Postgres 17 has one more timeout that would end the transaction. */
static bool set_timeouts(SnapshotScan *scan, int64_t now_ms, Failure *failure)
{
    if (PQserverVersion(scan->sql.connection) < 170000)
        return begin_transaction(scan, now_ms, failure);
    return ask(scan, "SET transaction_timeout = 0", SCAN_SETTING, now_ms, failure);
}

static ScanStep take_chunk(SnapshotScan *scan, const PGresult *result, SnapshotAnswer *answer,
                           Failure *failure)
{
    const char *status = PQntuples(result) == 1 && PQnfields(result) == 4 ? PQgetvalue(result, 0, 0) : "";
    size_t size = 0;

    PQfreemem(scan->bytes);
    scan->bytes = NULL;
    if (strcmp(status, "wait") == 0) {
        *answer = (SnapshotAnswer){.status = SNAPSHOT_WAIT};
        return SCAN_ANSWERED;
    }
    if (strcmp(status, "more") != 0 && strcmp(status, "end") != 0) {
        failure_set(failure, "Postgres answered in an unknown way");
        return SCAN_REFUSED;
    }
    if (!PQgetisnull(result, 0, 1)) {
        scan->bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(result, 0, 1), &size);
        if (scan->bytes == NULL) {
            failure_set(failure, "the publisher is out of memory");
            return SCAN_REFUSED;
        }
    }
    *answer = (SnapshotAnswer){.status = status[0] == 'e' ? SNAPSHOT_END : SNAPSHOT_MORE,
                               .data = {scan->bytes, size},
                               .rows = strtoll(PQgetvalue(result, 0, 3), NULL, 10),
                               .floor_lsn = scan->floor_lsn};
    scan->next_block = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
    scan->next_ordinal += answer->rows;
    scan->state = SCAN_READY;
    return SCAN_ANSWERED;
}

/* The answer in the present state was a good one. */
static ScanStep go_on(SnapshotScan *scan, const PGresult *result, int64_t now_ms, SnapshotAnswer *answer,
                      Failure *failure)
{
    uint64_t consistent_lsn;

    switch (scan->state) {
    case SCAN_SETTING:
        return begin_transaction(scan, now_ms, failure) ? SCAN_NOTHING : SCAN_BROKEN;
    case SCAN_BEGINNING:
        return create_slot(scan, now_ms, failure) ? SCAN_NOTHING : SCAN_BROKEN;
    case SCAN_CREATING_SLOT:
        if (PQntuples(result) == 1 && lsn_parse(PQgetvalue(result, 0, 1), &consistent_lsn) &&
            consistent_lsn > 0) {
            scan->floor_lsn = consistent_lsn - 1;
            scan->state = SCAN_OPENED;
            return SCAN_NOTHING;
        }
        failure_set(failure, "Postgres answered CREATE_REPLICATION_SLOT in an unknown way");
        return SCAN_REFUSED;
    case SCAN_READING:
        return take_chunk(scan, result, answer, failure);
    default:
        return SCAN_NOTHING;
    }
}

/*
 * A slot waits for the transactions that run, and may find then that it can have no snapshot this time: too
 * many of them were rolled back, or the news of somebody's DDL made the backend look at a catalog. Another
 * try is another matter.
 */
static bool slot_may_do_next_time(const SnapshotScan *scan, const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return scan->state == SCAN_CREATING_SLOT && code &&
           (strcmp(code, "XX000") == 0 || strcmp(code, "40001") == 0);
}

static ScanStep take_answer(SnapshotScan *scan, const PGresult *result, int64_t now_ms,
                            SnapshotAnswer *answer, Failure *failure)
{
    ExecStatusType status = PQresultStatus(result);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return go_on(scan, result, now_ms, answer, failure);
    failure_set(failure, "%s", primary ? primary : PQresultErrorMessage(result));
    return sql_error_is_passing(result) || slot_may_do_next_time(scan, result) ? SCAN_BROKEN : SCAN_REFUSED;
}

ScanStep scan_step(SnapshotScan *scan, short revents, int64_t now_ms, SnapshotAnswer *answer,
                   Failure *failure)
{
    PGresult *result = NULL;
    ScanStep step = SCAN_NOTHING;

    switch (sql_step(&scan->sql, revents, now_ms, &result, failure)) {
    case SQL_NOTHING:
        break;
    case SQL_CONNECTED:
        step = set_timeouts(scan, now_ms, failure) ? SCAN_NOTHING : SCAN_BROKEN;
        break;
    case SQL_ANSWERED:
        step = take_answer(scan, result, now_ms, answer, failure);
        PQclear(result);
        break;
    case SQL_BROKEN:
        step = SCAN_BROKEN;
        break;
    }
    if (step == SCAN_REFUSED || step == SCAN_BROKEN)
        scan_close(scan);
    return step;
}

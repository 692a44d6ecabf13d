/*
 * walreader.c - speaks the streaming replication protocol over libpq; see walreader.h.
 *
 * Source of the messages: PostgreSQL's documentation, "Streaming Replication Protocol". Numbers there are
 * big-endian, times are microseconds since 2000-01-01.
 */
#include "walreader.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lsn.h"
#include "sql_connection.h"

#define CONNECT_TIMEOUT_MS      30000
#define SLOT_RETRY_MS           200
#define POSTGRES_EPOCH_US       INT64_C(946684800000000) /* 2000-01-01 in microseconds since 1970 */
#define CHUNK_HEAD_BYTES        (1 + 8 + 8 + 8)          /* 'w', start, end, time */
#define KEEPALIVE_BYTES         (1 + 8 + 8 + 1)          /* 'k', end, time, reply requested */
#define FEEDBACK_BYTES          (1 + 8 + 8 + 8 + 8 + 1) /* 'r', written, flushed, applied, time, reply requested */
#define SQLSTATE_OBJECT_IN_USE  "55006"
#define SQLSTATE_UNDEFINED_FILE "58P01"

static uint64_t get_big_endian(const char *bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | (uint8_t)bytes[i];
    return value;
}

static void put_big_endian(char *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(value >> (56 - 8 * i));
}

static bool connection_failed(const WalReader *reader, const char *what, Failure *failure)
{
    const char *text = PQerrorMessage(reader->connection);

    return failure_set(failure, "%s: %s", what, *text ? text : "the server closed the connection");
}

/* ---- life ---- */

bool wal_reader_open(WalReader *reader, const WalReaderSettings *settings, int64_t now_ms, Failure *failure)
{
    char application_name[64];
    const char *const keys[] = {"dbname", "replication", "client_encoding", "application_name", NULL};
    const char *const values[] = {settings->conninfo, "database", "UTF8", application_name, NULL};

    *reader = (WalReader){.settings = settings,
                          .connect_wants = PGRES_POLLING_WRITING,
                          .deadline_ms = now_ms + CONNECT_TIMEOUT_MS};
    (void)snprintf(application_name, sizeof application_name, "walhouse_%s", settings->pipeline);
    reader->connection = PQconnectStartParams(keys, values, 1);
    if (reader->connection == NULL)
        return failure_set(failure, "out of memory");
    if (PQstatus(reader->connection) == CONNECTION_BAD)
        return connection_failed(reader, "could not connect to Postgres", failure);
    return true;
}

void wal_reader_close(WalReader *reader)
{
    wal_reader_release(reader);
    PQfinish(reader->connection);
    reader->connection = NULL;
}

int wal_reader_fd(const WalReader *reader)
{
    return PQsocket(reader->connection);
}

short wal_reader_events(const WalReader *reader, bool wants_chunks)
{
    short events = 0;

    if (reader->state == WAL_READER_CONNECTING)
        return reader->connect_wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (reader->state != WAL_READER_STREAMING || wants_chunks)
        events |= POLLIN;
    if (reader->output_waits)
        events |= POLLOUT;
    return events;
}

/* ---- from connecting to streaming ---- */

static bool flush_output(WalReader *reader, Failure *failure)
{
    int left = PQflush(reader->connection);

    if (left < 0)
        return connection_failed(reader, "could not send to Postgres", failure);
    reader->output_waits = left > 0;
    return true;
}

static bool send_command(WalReader *reader, const char *command, WalReaderState state, Failure *failure)
{
    if (!PQsendQuery(reader->connection, command))
        return connection_failed(reader, "could not send to Postgres", failure);
    reader->state = state;
    return flush_output(reader, failure);
}

static bool step_connecting(WalReader *reader, Failure *failure)
{
    reader->connect_wants = PQconnectPoll(reader->connection);
    if (reader->connect_wants == PGRES_POLLING_FAILED)
        return connection_failed(reader, "could not connect to Postgres", failure);
    if (reader->connect_wants != PGRES_POLLING_OK)
        return true;
    if (PQsetnonblocking(reader->connection, 1) != 0)
        return connection_failed(reader, "could not make the connection non-blocking", failure);
    return send_command(reader, "IDENTIFY_SYSTEM", WAL_READER_IDENTIFYING, failure);
}

/* Quotes value into out as an SQL literal. */
static bool quote_literal(WalReader *reader, char *out, size_t size, const char *value, Failure *failure)
{
    char *quoted = PQescapeLiteral(reader->connection, value, strlen(value));
    int length = quoted ? snprintf(out, size, "%s", quoted) : -1;

    PQfreemem(quoted);
    return (length >= 0 && (size_t)length < size) ||
           failure_set(failure, "the name \"%.80s\" is too long", value);
}

static bool quote_identifier(WalReader *reader, char *out, size_t size, const char *value, Failure *failure)
{
    char *quoted = PQescapeIdentifier(reader->connection, value, strlen(value));
    int length = quoted ? snprintf(out, size, "%s", quoted) : -1;

    PQfreemem(quoted);
    return (length >= 0 && (size_t)length < size) ||
           failure_set(failure, "the name \"%.80s\" is too long", value);
}

static bool handle_identity(WalReader *reader, const PGresult *result, Failure *failure)
{
    SlotFacts *facts = &reader->facts;
    char slot[256], query[1024];

    if (PQntuples(result) != 1 || PQnfields(result) < 3 ||
        !lsn_parse(PQgetvalue(result, 0, 2), &facts->server_lsn))
        return failure_set(failure, "Postgres answered IDENTIFY_SYSTEM in an unknown way");
    (void)snprintf(facts->identity.system_identifier, sizeof facts->identity.system_identifier, "%s",
                   PQgetvalue(result, 0, 0));
    facts->identity.timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 1), NULL, 10);
    if (!quote_literal(reader, slot, sizeof slot, reader->settings->slot, failure))
        return false;
    (void)snprintf(query, sizeof query,
                   "SELECT slot_type = 'logical' AND plugin = 'walhouse' AND database = current_database(), "
                   "coalesce(wal_status, '') = 'lost', coalesce(confirmed_flush_lsn, '0/0'), "
                   "coalesce(pg_catalog.to_jsonb(s) ->> 'invalidation_reason', '') "
                   "FROM pg_catalog.pg_replication_slots s WHERE slot_name = %s",
                   slot);
    return send_command(reader, query, WAL_READER_CHECKING_SLOT, failure);
}

static bool send_start(WalReader *reader, Failure *failure)
{
    char slot[256], publication[256], option[512], policy[64], command[1200];

    if (!quote_identifier(reader, slot, sizeof slot, reader->settings->slot, failure) ||
        !quote_identifier(reader, publication, sizeof publication, reader->settings->publication, failure) ||
        !quote_literal(reader, option, sizeof option, publication, failure) ||
        !quote_literal(reader, policy, sizeof policy, reader->settings->out_of_range, failure))
        return false;
    (void)snprintf(
        command, sizeof command,
        "START_REPLICATION SLOT %s LOGICAL 0/0 (format '1', publication %s, messages '%s', out_of_range %s)",
        slot, option, reader->settings->messages ? "on" : "off", policy);
    return send_command(reader, command, WAL_READER_STARTING, failure);
}

static bool handle_slot(WalReader *reader, const PGresult *result, Failure *failure)
{
    SlotFacts *facts = &reader->facts;

    reader->state = WAL_READER_READY;
    facts->exists = PQntuples(result) == 1;
    if (!facts->exists)
        return true;
    facts->is_ours = PQgetvalue(result, 0, 0)[0] == 't';
    facts->is_lost = PQgetvalue(result, 0, 1)[0] == 't';
    (void)snprintf(facts->invalidation, sizeof facts->invalidation, "%s", PQgetvalue(result, 0, 3));
    return lsn_parse(PQgetvalue(result, 0, 2), &facts->confirmed_lsn) ||
           failure_set(failure, "replication slot \"%s\" has an unknown position", reader->settings->slot);
}

bool wal_reader_start(WalReader *reader, int64_t now_ms, Failure *failure)
{
    assert(reader->state == WAL_READER_READY);
    reader->deadline_ms = now_ms + CONNECT_TIMEOUT_MS;
    return send_start(reader, failure);
}

/*
 * Did it fail with "requested WAL segment ... has already been removed"? Then the slot is of no use any more,
 * though the server may not have noticed yet. The message is translated, the function that says it is not.
 */
static void note_error(WalReader *reader, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

    reader->wal_is_gone = sqlstate && strcmp(sqlstate, SQLSTATE_UNDEFINED_FILE) == 0 && function &&
                          strcmp(function, "WalSndSegmentOpen") == 0;
}

static bool handle_result(WalReader *reader, PGresult *result, int64_t now_ms, Failure *failure)
{
    ExecStatusType status = PQresultStatus(result);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (reader->state == WAL_READER_STARTING && status == PGRES_COPY_BOTH) {
        reader->state = WAL_READER_STREAMING;
        return true;
    }
    /* The walsender of a publisher that was killed notices only when it next writes. */
    if (reader->state == WAL_READER_STARTING && sqlstate && strcmp(sqlstate, SQLSTATE_OBJECT_IN_USE) == 0 &&
        now_ms < reader->deadline_ms) {
        message_log(MESSAGE_DEBUG, "%s", PQresultErrorMessage(result));
        reader->state = WAL_READER_WAITING_FOR_SLOT;
        reader->retry_at_ms = now_ms + SLOT_RETRY_MS;
        return true;
    }
    if (status != PGRES_TUPLES_OK)
        note_error(reader, result);
    if (status != PGRES_TUPLES_OK)
        return failure_set(failure, "Postgres refused to start streaming: %s", PQresultErrorMessage(result));
    return reader->state == WAL_READER_IDENTIFYING ? handle_identity(reader, result, failure)
                                                   : handle_slot(reader, result, failure);
}

/*
 * Collects the answer to the command that was sent. Its result is handled after libpq has said that nothing
 * more comes, except for COPY, which goes on.
 */
static bool step_command(WalReader *reader, int64_t now_ms, Failure *failure)
{
    PGresult *first = NULL, *result;
    bool ok;

    if (!PQconsumeInput(reader->connection))
        return connection_failed(reader, "the connection to Postgres broke", failure);
    if (PQisBusy(reader->connection))
        return true;
    while ((result = PQgetResult(reader->connection)) != NULL) {
        if (first == NULL)
            first = result;
        else
            PQclear(result);
        if (PQresultStatus(first) == PGRES_COPY_BOTH)
            break;
    }
    if (first == NULL)
        return connection_failed(reader, "Postgres gave no answer", failure);
    ok = handle_result(reader, first, now_ms, failure);
    PQclear(first);
    return ok;
}

bool wal_reader_step(WalReader *reader, short revents, int64_t now_ms, Failure *failure)
{
    if (reader->state != WAL_READER_STREAMING && reader->state != WAL_READER_READY &&
        now_ms > reader->deadline_ms)
        return failure_set(failure, "Postgres did not start streaming within %d s",
                           CONNECT_TIMEOUT_MS / 1000);
    if (reader->output_waits && !flush_output(reader, failure))
        return false;
    switch (reader->state) {
    case WAL_READER_CONNECTING:
        return revents == 0 || step_connecting(reader, failure);
    case WAL_READER_WAITING_FOR_SLOT:
        return now_ms < reader->retry_at_ms || send_start(reader, failure);
    case WAL_READER_READY:
        /* Nothing was asked, so what there is to read is the connection's end. */
        return revents == 0 || PQconsumeInput(reader->connection) ||
               connection_failed(reader, "the connection to Postgres broke", failure);
    case WAL_READER_IDENTIFYING:
    case WAL_READER_CHECKING_SLOT:
    case WAL_READER_STARTING:
        return revents == 0 || step_command(reader, now_ms, failure);
    case WAL_READER_STREAMING:
        if (revents & (POLLIN | POLLHUP | POLLERR))
            reader->input_arrived = true;
        if (revents & (POLLHUP | POLLERR))
            reader->hung_up = true;
        return true;
    }
    return true;
}

/* ---- streaming ---- */

static bool parse_message(const char *bytes, size_t size, WalMessage *message, Failure *failure)
{
    if (size >= CHUNK_HEAD_BYTES && bytes[0] == 'w') {
        *message = (WalMessage){.kind = WAL_MESSAGE_CHUNK,
                                .chunk = (const uint8_t *)bytes + CHUNK_HEAD_BYTES,
                                .chunk_size = size - CHUNK_HEAD_BYTES,
                                .wal_end = get_big_endian(bytes + 9)};
        return true;
    }
    if (size == KEEPALIVE_BYTES && bytes[0] == 'k') {
        *message = (WalMessage){.kind = WAL_MESSAGE_KEEPALIVE,
                                .wal_end = get_big_endian(bytes + 1),
                                .reply_requested = bytes[17] != 0};
        return true;
    }
    return failure_set(failure, "Postgres sent an unknown replication message of %zu bytes", size);
}

static bool stream_ended(WalReader *reader, Failure *failure)
{
    PGresult *result = PQgetResult(reader->connection);
    const char *text = result ? PQresultErrorMessage(result) : "";

    if (result)
        note_error(reader, result);
    (void)failure_set(failure, "Postgres ended the stream: %s", *text ? text : "the server is shutting down");
    PQclear(result);
    return false;
}

bool wal_reader_next(WalReader *reader, WalMessage *message, Failure *failure)
{
    int size;

    assert(reader->copied == NULL);
    *message = (WalMessage){.kind = WAL_MESSAGE_NONE};
    if (reader->state != WAL_READER_STREAMING)
        return true;
    size = PQgetCopyData(reader->connection, &reader->copied, 1);
    if (size == 0 && reader->input_arrived) {
        /* Only now, with libpq's buffer drained, is more read into it: it stays bounded. */
        reader->input_arrived = false;
        if (!PQconsumeInput(reader->connection))
            return connection_failed(reader, "the connection to Postgres broke", failure);
        size = PQgetCopyData(reader->connection, &reader->copied, 1);
    }
    if (size == 0)
        return true;
    if (size == -1)
        return stream_ended(reader, failure);
    if (size < 0)
        return connection_failed(reader, "the stream from Postgres broke", failure);
    return parse_message(reader->copied, (size_t)size, message, failure);
}

void wal_reader_release(WalReader *reader)
{
    PQfreemem(reader->copied);
    reader->copied = NULL;
}

bool wal_reader_feedback(WalReader *reader, uint64_t received_lsn, uint64_t acked_lsn, Failure *failure)
{
    char bytes[FEEDBACK_BYTES];

    if (reader->state != WAL_READER_STREAMING || reader->output_waits)
        return true;
    bytes[0] = 'r';
    put_big_endian(bytes + 1, received_lsn);
    put_big_endian(bytes + 9, acked_lsn);
    put_big_endian(bytes + 17, acked_lsn);
    put_big_endian(bytes + 25, (uint64_t)(clock_wall_us() - POSTGRES_EPOCH_US));
    bytes[33] = 0;
    if (PQputCopyData(reader->connection, bytes, sizeof bytes) < 0)
        return connection_failed(reader, "could not send to Postgres", failure);
    return flush_output(reader, failure);
}

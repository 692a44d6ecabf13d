/*
 * walreader.h - the replication connection: what the walsender sends comes in, how far we are goes out.
 *
 *      connecting --> identifying --> checking the slot --> ready --wal_reader_start()--> starting -->
 * streaming ^   | the slot is still held by another one  +---+
 *
 * Nothing blocks: the caller polls wal_reader_fd() for wal_reader_events() and calls wal_reader_step(). While
 * the caller does not take chunks it does not read the socket either, and what libpq buffers stays bounded by
 * one message and one read.
 */
#ifndef WALHOUSE_PUBLISHER_WALREADER_H
#define WALHOUSE_PUBLISHER_WALREADER_H

#include <libpq-fe.h>
#include <stddef.h>

#include "message.h"
#include "slot.h"

typedef struct WalReaderSettings {
    const char *conninfo; /* replication=database is added */
    const char *pipeline; /* for application_name */
    const char *slot;
    const char *publication;
    const char *out_of_range; /* dlq, null or clamp */
    bool messages;            /* logical messages too */
} WalReaderSettings;

typedef enum WalReaderState {
    WAL_READER_CONNECTING,
    WAL_READER_IDENTIFYING,
    WAL_READER_CHECKING_SLOT,
    WAL_READER_READY,
    WAL_READER_STARTING,
    WAL_READER_WAITING_FOR_SLOT,
    WAL_READER_STREAMING
} WalReaderState;

typedef enum WalMessageKind { WAL_MESSAGE_NONE, WAL_MESSAGE_CHUNK, WAL_MESSAGE_KEEPALIVE } WalMessageKind;

typedef struct WalMessage {
    WalMessageKind kind;
    const uint8_t *chunk; /* valid until wal_reader_release() */
    size_t chunk_size;
    uint64_t wal_end;     /* the server's position: WAL up to here has been decoded */
    bool reply_requested; /* of a keepalive */
} WalMessage;

typedef struct WalReader {
    const WalReaderSettings *settings;
    PGconn *connection;
    WalReaderState state;
    PostgresPollingStatusType connect_wants;
    char *copied;        /* the message being looked at; libpq's, freed with PQfreemem */
    SlotFacts facts;     /* from READY on: what the server says of itself and of the slot */
    int64_t deadline_ms; /* until which the connection must be streaming */
    int64_t retry_at_ms;
    bool output_waits; /* something could not be sent yet */
    bool input_arrived;
    bool wal_is_gone; /* it failed because the server removed WAL that the slot needs */
    bool hung_up;     /* the server closed its end; what it said last may still be read */
} WalReader;

/* settings must outlive the reader. */
bool wal_reader_open(WalReader *reader, const WalReaderSettings *settings, int64_t now_ms, Failure *failure);
/* READY: the slot is judged to be usable, so read it. */
bool wal_reader_start(WalReader *reader, int64_t now_ms, Failure *failure);
/* Ends the connection; may be called at any time, also twice or on a zeroed reader. */
void wal_reader_close(WalReader *reader);

/* -1: no socket at the moment. */
int wal_reader_fd(const WalReader *reader);
/* What to poll for; wants_chunks: the caller would take another one. */
short wal_reader_events(const WalReader *reader, bool wants_chunks);
/* Does what the socket allows. revents: what poll() said. */
bool wal_reader_step(WalReader *reader, short revents, int64_t now_ms, Failure *failure);

/* The next message; kind NONE when the socket must be waited for. The last one must have been released. */
bool wal_reader_next(WalReader *reader, WalMessage *message, Failure *failure);
void wal_reader_release(WalReader *reader);

/*
 * Tells the server how far we are: received everything up to received_lsn, Kafka acknowledged everything up
 * to acked_lsn. Sends nothing while an earlier one waits in libpq's buffer: the next one says more.
 */
bool wal_reader_feedback(WalReader *reader, uint64_t received_lsn, uint64_t acked_lsn, Failure *failure);

#endif

/*
 * chunk.h - what the plugin writes to the walsender: many events, the transaction and schema they share said
 * once.
 *
 * Layout: docs/wire-format.md, "Chunk". A chunk reader is fed one chunk after the other and turns the records
 * into events; it can be left at any record and taken up again, so that the publisher stops where Kafka
 * cannot take more.
 */
#ifndef WALHOUSE_COMMON_CHUNK_H
#define WALHOUSE_COMMON_CHUNK_H

#include "event.h"

#define WH_CHUNK_MAGIC 'W'

#define WH_RECORD_SCHEMA  'S'
#define WH_RECORD_BEGIN   'B'
#define WH_RECORD_SELECT  'F'
#define WH_RECORD_MESSAGE 'M'
#define WH_RECORD_LARGE   'L'
#define WH_RECORD_COMMIT  'C'

/* Flags of a logical message. */
#define WH_MESSAGE_TRANSACTIONAL 0x01
#define WH_MESSAGE_TOO_LARGE     0x02 /* the plugin left its content out */

/* Messages whose prefix begins so are the pipeline's own signals: they never reach Kafka. */
#define WH_SIGNAL_PREFIX "walhouse."

typedef enum WhChunkItemKind {
    WH_CHUNK_END,     /* nothing left; feed the next chunk */
    WH_CHUNK_ERROR,   /* reader.error says why; nothing more can be read from this chunk */
    WH_CHUNK_SCHEMA,  /* fingerprint and schema; the fingerprint has been checked */
    WH_CHUNK_EVENT,   /* event (epoch 0: the publisher's to fill) and key_size */
    WH_CHUNK_LARGE,   /* event without lists, body = key, key_size, size: no message can hold the row */
    WH_CHUNK_MESSAGE, /* message; event.commit_lsn, event.xid, event.commit_time_us as far as they are known
                       */
    WH_CHUNK_COMMIT   /* end_lsn, event.commit_lsn, event.xid, event.commit_time_us */
} WhChunkItemKind;

/* What pg_logical_emit_message() wrote. */
typedef struct WhMessage {
    bool transactional;
    uint64_t lsn;     /* of the message itself */
    uint64_t end_lsn; /* just after it; 0 for a transactional one */
    WhSlice prefix;   /* UTF-8 */
    WhSlice content;  /* empty when too_large */
    bool too_large;
    uint64_t size; /* of the content */
} WhMessage;

/* One thing read from a chunk; slices borrow from the chunk. */
typedef struct WhChunkItem {
    WhChunkItemKind kind;
    uint64_t fingerprint;
    WhSlice schema;
    WhEvent event;
    size_t key_size; /* the key is the first key_size bytes of event.body */
    uint64_t size;   /* of the row that is too large */
    WhMessage message;
    uint64_t end_lsn;
} WhChunkItem;

typedef struct WhChunkReader {
    WhReader reader;
    bool in_transaction;
    bool schema_selected;
    uint64_t fingerprint;
    uint64_t commit_lsn;
    uint64_t next_ordinal;
    uint32_t xid;
    int64_t commit_time_us;
} WhChunkReader;

WhChunkReader wh_chunk_reader(const void *data, size_t size);
/* The next item; WhChunkItem.kind says what it is. */
void wh_chunk_next(WhChunkReader *chunk, WhChunkItem *item);

#endif

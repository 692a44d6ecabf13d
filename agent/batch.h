/*
 * batch.h - what is loaded together: rows as ClickHouse takes them, dead letters, and the offsets that may be
 * committed afterwards.
 *
 *      message --> events --> rows, copied into the buffer of their (table, schema version)
 *                        \--> rows that lack unchanged values, kept aside until the loader resolves them
 *                        \--> dead letter, with the reason
 *
 * A batch keeps the bytes of its messages until it is reset: a row that ClickHouse refuses becomes a dead
 * letter with them. They are copied, as librdkafka's own messages weigh three times as much. The main thread
 * fills a batch, the loader empties it; it belongs to one of them at a time.
 */
#ifndef WALHOUSE_AGENT_BATCH_H
#define WALHOUSE_AGENT_BATCH_H

#include "agent/consume.h"
#include "agent/registry.h"
#include "agent/text.h"
#include "agent/truncate.h"
#include "extension/common/event.h"

/* Bytes of a row beside its columns: version, deleted, commit time. */
#define BATCH_ROW_TAIL_BYTES (16 + 1 + 8)

typedef struct BatchRow {
    uint32_t offset;  /* of its first byte in the buffer */
    uint32_t message; /* index */
} BatchRow;

/* The rows of one schema version; data begins with room for the header of RowBinaryWithNamesAndTypes. */
typedef struct TableBuffer {
    TableSchema *table;
    uint8_t *data;
    size_t header_size;
    size_t size;
    size_t capacity;
    BatchRow *rows;
    size_t row_count;
    size_t row_capacity;
    int64_t oldest_commit_us; /* of a change; INT64_MAX: none */
    bool has_late_rows;       /* that may be below a truncate: of snapshots, or replayed */
    bool truncated; /* by truncate, the highest one; it acts when all rows of the table are inserted */
    Truncate truncate;
    bool stopped;        /* the loader's answer: nothing of it was loaded, and nothing can be */
    size_t rows_refused; /* the loader's answer: by ClickHouse, each a letter */
    size_t rows_left;    /* the loader's answer: the last ones, not tried as all before them were refused */
} TableBuffer;

/* A sweep of the table of tables[table]. */
typedef struct BatchSweep {
    size_t table;
    Sweep sweep;
} BatchSweep;

/* A row whose event leaves out values that did not change (resolve.h). Its bytes are in the chunks. */
typedef struct UnresolvedRow {
    size_t table;  /* in tables */
    WhSlice row;   /* as ClickHouse takes it, with defaults in place of the values */
    WhSlice lists; /* the event's, naming the columns, with its flags */
    uint8_t flags;
    /* An insert, or nobody can say whether a filter lets it through: no earlier row tells. */
    bool from_nowhere;
    uint32_t message;
} UnresolvedRow;

typedef struct DeadLetter {
    uint32_t message;
    Reason reason;
    bool hides_key; /* nothing that goes to the warehouse may have the message's key */
    Error error;
} DeadLetter;

/* A version of the row of the message's key that is not in the stream, as no message can hold it. That is so
 * whatever becomes of the batch: it is not forgotten with the rows of its topic. */
typedef struct BatchGap {
    uint32_t message;
    Version version;
} BatchGap;

/* The offsets of one partition in a batch: [first, next). */
typedef struct PartitionRange {
    const char *topic; /* the batch's */
    int32_t partition;
    int64_t first;
    int64_t next;
    bool stopped;     /* the loader's answer: the partition is to go on at first, later */
    int64_t first_ms; /* times of its first and last message, 0: it has none */
    int64_t last_ms;
} PartitionRange;

/* Memory that is given out and taken back as a whole. */
typedef struct Chunk {
    uint8_t *data;
    size_t capacity;
    size_t used;
} Chunk;

typedef struct Batch {
    Chunk *chunks; /* chunks[0 .. chunk_count) are allocated, [0 .. chunks_used) hold something */
    size_t chunk_count;
    size_t chunk_capacity;
    size_t chunks_used;
    MessageView *messages; /* their bytes and topics are in the chunks */
    size_t message_count;
    size_t message_capacity;
    TableBuffer *tables;
    size_t table_count;
    size_t table_capacity;
    TableBuffer *last_table;
    size_t dlq_messages; /* messages of the dead-letter topic, for its mirror */
    UnresolvedRow *unresolved;
    size_t unresolved_count;
    size_t unresolved_capacity;
    DeadLetter *letters;
    size_t letter_count;
    size_t letter_capacity;
    BatchGap *gaps;
    size_t gap_count;
    size_t gap_capacity;
    PartitionRange *partitions;
    size_t partition_count;
    size_t partition_capacity;
    size_t bytes;
    size_t rows;
    size_t truncates; /* sweeps too */
    BatchSweep *sweeps;
    size_t sweep_count;
    size_t sweep_capacity;
    int64_t opened_at_ms; /* when the first message came; 0: empty */
    Text offsets_sql;     /* tells the warehouse how far partitions are loaded; empty: it is not to be told */
    Server server;        /* the loader's answer: the ClickHouse server that answered after the rows */
    bool server_asked;
    bool loaded; /* the loader's answer: all but stopped tables is loaded, the letters are acknowledged */
} Batch;

void batch_init(Batch *batch);
/* Forgets messages and rows; keeps the memory, unless rows or messages have more than keep_bytes. */
void batch_reset(Batch *batch, size_t keep_bytes);
void batch_fini(Batch *batch);

/* Copies the message, and *view then names the copy's topic. STATUS_FATAL: out of memory. */
Status batch_add_message(Batch *batch, MessageView *view, uint32_t *index, Error *error);

/*
 * Checks an event's body against its schema and copies it; a truncate is remembered with the table. A row
 * that lacks values is kept aside. STATUS_REJECT: *reason and *error say why it can be no row; nothing was
 * added. STATUS_FATAL: out of memory.
 */
Status batch_add_event(Batch *batch, TableSchema *table, const WhEvent *event, uint32_t message,
                       Reason *reason, Error *error);

/* Forgets the rows, letters and offsets of a topic, whose messages are read again later. */
void batch_forget_topic(Batch *batch, const char *topic);
/* Its letters alone: they are made again when the messages are. */
void batch_forget_letters(Batch *batch, const char *topic);

/* Room for one more row of size bytes, to be written at once; NULL: out of memory, or the buffer is too
 * large. */
uint8_t *batch_make_row(TableBuffer *buffer, size_t size, uint32_t message);

/* An empty buffer for rows of a table. false: out of memory. batch_close_buffer() it. */
bool batch_open_buffer(TableBuffer *buffer, TableSchema *table);
void batch_close_buffer(TableBuffer *buffer);
void batch_empty_buffer(TableBuffer *buffer); /* keeps its memory */
/* Moves all rows of one buffer of a table to the end of another. false: out of memory, nothing was moved. */
bool batch_move_rows(TableBuffer *to, TableBuffer *from);

/* Takes the rows with a version below floor out of a buffer, and returns how many. */
size_t batch_drop_below(TableBuffer *buffer, Version floor);

/* The highest version of a row, or of the truncate; 0: neither. */
Version batch_newest_version(const TableBuffer *buffer);

Status batch_add_letter(Batch *batch, uint32_t message, Reason reason, const Error *why, Error *error);
/* Of the letter that was added last. */
void batch_hide_key(Batch *batch);

#endif

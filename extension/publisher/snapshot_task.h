/*
 * snapshot_task.h - the snapshot of one table: what is to be asked of Postgres next, and what became of it.
 *
 *      reading --(nothing left, all stored)--> sweeping --(acknowledged, or nothing to sweep)--> ending -->
 * over |                                        |                                              ^
 *         +----------------------------------------+---------- an error that stays ---------------+
 *
 * While reading, chunks pass through a short queue, in order:
 *
 *      chunk query --> ready --> flowing --> sent (ticket) --> acknowledged --> progress query --> stored
 *                     |<------- at most SNAPSHOT_CHUNKS_AHEAD ------->|
 *
 * Invariant: what is stored never passes a row that Kafka has not acknowledged, and the sweep is asked for
 * only after everything is stored. Pure: no I/O, no clock; it allocates its copies of chunks and keys only.
 */
#ifndef WALHOUSE_PUBLISHER_SNAPSHOT_TASK_H
#define WALHOUSE_PUBLISHER_SNAPSHOT_TASK_H

#include "extension/common/wire.h"
#include "message.h"

/* Chunks of one table that are read and not yet acknowledged. */
#define SNAPSHOT_CHUNKS_AHEAD 2
#define SNAPSHOT_ROWS_MIN     100
#define SNAPSHOT_ROWS_MAX     100000
/* Times that a table without a key is begun again, after which it is given up. */
#define SNAPSHOT_SCANS_MAX 20
/* Refusals of one question in a row, after which the snapshot is given up. */
#define SNAPSHOT_ATTEMPTS_MAX 5

typedef enum SnapshotState {
    SNAPSHOT_READING,
    SNAPSHOT_SWEEPING,
    SNAPSHOT_ENDING,
    SNAPSHOT_OVER
} SnapshotState;

/* A question to Postgres; at most one is open per task. */
typedef enum SnapshotAsk {
    SNAPSHOT_ASK_NOTHING,
    SNAPSHOT_ASK_CHUNK, /* the rows after read_key, at most rows_limit of them; without a key the next blocks
                         */
    SNAPSHOT_ASK_PROGRESS, /* store acked_key, acked_rows, acked_floor_lsn */
    SNAPSHOT_ASK_SWEEP,
    SNAPSHOT_ASK_END /* with error, unless it is empty */
} SnapshotAsk;

typedef enum SnapshotChunkState { CHUNK_READY, CHUNK_FLOWING, CHUNK_SENT } SnapshotChunkState;

typedef struct SnapshotChunk {
    SnapshotChunkState state;
    uint8_t *data; /* NULL once it is sent, and for a chunk without rows */
    size_t size;
    char *last_key; /* NULL: it has none */
    int64_t rows;
    uint64_t floor_lsn;
    uint64_t ticket; /* of a sent one: acknowledged when every ticket below this one is */
} SnapshotChunk;

typedef struct SnapshotTask {
    int64_t id;
    bool keyed;
    SnapshotState state;
    SnapshotAsk asked;
    int64_t asked_ms;

    char *read_key;            /* chunks after this key are still to be read; NULL: from the start */
    int64_t rows_limit;        /* of the next chunk */
    int64_t chunk_ms;          /* how long a chunk query should take */
    int64_t wait_ms;           /* how long to wait at the next "wait"; 0: the last answer was another */
    int64_t ask_at_ms;         /* not before this */
    unsigned refusals;         /* of the present question, in a row */
    unsigned breaks;           /* of the connection, in a row */
    bool at_end;               /* the last chunk has been read */
    uint64_t passed_floor_lsn; /* of chunks without rows since the last one with rows, the lowest; 0: none */
    bool is_swept;             /* the sweep has been answered */
    bool is_cancelled;         /* nobody wants it any more */
    unsigned scans;            /* of a table without a key: times that one began */
    SnapshotChunk chunks[SNAPSHOT_CHUNKS_AHEAD]; /* in order */
    int chunk_count;

    bool has_acked; /* the following three are not stored yet */
    char *acked_key;
    int64_t acked_rows;
    uint64_t acked_floor_lsn;

    int64_t rows_done; /* as stored */
    int64_t rows_read; /* by this task */
    Failure error;     /* why it is given up */
} SnapshotTask;

/* Begins or resumes snapshot id; last_key NULL: from the start. false: memory is short. */
bool snapshot_task_init(SnapshotTask *task, int64_t id, bool keyed, const char *last_key, int64_t rows_done,
                        int64_t chunk_ms);
/* Frees what it holds, chunks too: none of them may be looked at any more. May be called on a zeroed task. */
void snapshot_task_fini(SnapshotTask *task);

/* What should be asked now. SNAPSHOT_ASK_NOTHING: nothing before another event, or before task->ask_at_ms. */
SnapshotAsk snapshot_task_next(const SnapshotTask *task, int64_t now_ms);
void snapshot_task_asked(SnapshotTask *task, SnapshotAsk ask, int64_t now_ms);

/* ---- answers to the open question ---- */

typedef enum SnapshotStatus { SNAPSHOT_MORE, SNAPSHOT_END, SNAPSHOT_WAIT } SnapshotStatus;

typedef struct SnapshotAnswer {
    SnapshotStatus status;
    WhSlice data;         /* borrowed; copied when kept */
    const char *last_key; /* borrowed; NULL: none */
    int64_t rows;
    uint64_t floor_lsn;
} SnapshotAnswer;

void snapshot_task_chunk(SnapshotTask *task, const SnapshotAnswer *answer, int64_t now_ms);
/*
 * While a chunk is asked for: the table, which has no key, is read from its start. floor_lsn: where. What an
 * earlier scan sent does not count any more, and is removed by the sweep.
 */
void snapshot_task_scan(SnapshotTask *task, uint64_t floor_lsn);
void snapshot_task_stored(SnapshotTask *task);
/* An empty chunk: there is nothing to sweep. */
void snapshot_task_sweep(SnapshotTask *task, WhSlice chunk);
void snapshot_task_ended(SnapshotTask *task);
/* Postgres refused. too_slow: it was the statement timeout. The question is asked again, a few times. */
void snapshot_task_refused(SnapshotTask *task, const char *reason, bool too_slow, int64_t now_ms);
/* The connection broke or could not be made: asked again, for ever. */
void snapshot_task_broken(SnapshotTask *task, int64_t now_ms);

/* ---- on the way to Kafka ---- */

/* Is there a chunk that can be taken by the flow? */
bool snapshot_task_is_ready(const SnapshotTask *task);
/* Its bytes, which stay until one of the next two calls. */
WhSlice snapshot_task_take(SnapshotTask *task);
/* It has gone through: it is acknowledged when every ticket below ticket is. */
void snapshot_task_sent(SnapshotTask *task, uint64_t ticket);
/* It cannot be sent: the snapshot is given up. */
void snapshot_task_rejected(SnapshotTask *task, const char *reason);
/* Every ticket below done is acknowledged. */
void snapshot_task_acked(SnapshotTask *task, uint64_t done);

/* Nobody wants it any more; it is over as soon as no question is open and no chunk is flowing. */
void snapshot_task_cancel(SnapshotTask *task);
/* Rows that were acknowledged, stored or not. */
int64_t snapshot_task_rows(const SnapshotTask *task);

#endif

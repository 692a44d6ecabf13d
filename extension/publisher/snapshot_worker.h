/*
 * snapshot_worker.h - does what a table's snapshot asks for next, over a short, ordinary connection.
 *
 *      snapshot_task --ask--> query --> answer --> snapshot_task
 *                        \--> scan --> answer --/        (chunks of a table without a key)
 *
 * The connection is opened for a question and kept for the next ones, but never for long: not while nothing
 * is to be asked, and for a second at most, so that a smart shutdown, which waits for it, waits no longer.
 */
#ifndef WALHOUSE_PUBLISHER_SNAPSHOT_WORKER_H
#define WALHOUSE_PUBLISHER_SNAPSHOT_WORKER_H

#include <poll.h>

#include "snapshot_scan.h"
#include "snapshot_task.h"
#include "sql_connection.h"

#define SNAPSHOT_WORKER_FDS 2

typedef struct SnapshotSettings {
    const char *conninfo;
    const char *pipeline;
    int workers;
    int chunk_ms; /* how long a chunk query should take */
} SnapshotSettings;

/* Whose rows they are. Names of Postgres, whatever the server's encoding, fit. */
typedef struct SnapshotTable {
    char schema[256];
    char name[256];
    char label[513]; /* both, for people */
    char reason[16];
    int64_t estimated_rows; /* -1: not known */
} SnapshotTable;

/* Zeroed but for settings: without a task. */
typedef struct SnapshotWorker {
    const SnapshotSettings *settings;
    SqlConnection sql;
    SnapshotScan scan; /* of a table without a key */
    bool has_task;
    SnapshotTask task;
    SnapshotTable table;
    int64_t started_ms;
    int64_t said_rows; /* in the news */
} SnapshotWorker;

/* Takes a task over from the caller. */
void snapshot_worker_begin(SnapshotWorker *worker, const SnapshotTask *task, const SnapshotTable *table,
                           int64_t now_ms);
/* The task is over, or is given up; the connection may serve the next one. */
void snapshot_worker_forget(SnapshotWorker *worker);
/* Ends the connections and forgets the task. May be called at any time. */
void snapshot_worker_end(SnapshotWorker *worker);

/* Ends its connections only: nothing more is read. */
void snapshot_worker_stop(SnapshotWorker *worker);

/* Fills SNAPSHOT_WORKER_FDS elements. */
void snapshot_worker_prepare(const SnapshotWorker *worker, struct pollfd *fds);
/* When it wants a step without its socket. */
int64_t snapshot_worker_due_ms(const SnapshotWorker *worker);
/* Goes on as far as it can. When the task is over, the caller looks at it and calls snapshot_worker_forget().
 */
void snapshot_worker_step(SnapshotWorker *worker, const struct pollfd *fds, int64_t now_ms);

/* Longer than the statement timeout below. */
#define SNAPSHOT_ANSWER_MS 90000
/* The options of every session that serves snapshots. */
#define SNAPSHOT_SESSION_OPTIONS                                                                             \
    "-c statement_timeout=60s -c lock_timeout=0 -c synchronous_commit=off -c search_path=pg_catalog"         \
    " -c client_connection_check_interval=1s -c idle_in_transaction_session_timeout=0"                       \
    " -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"

#endif

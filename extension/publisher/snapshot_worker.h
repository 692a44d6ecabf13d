/*
 * snapshot_worker.h - does what a table's snapshot asks for next, over a short, ordinary connection.
 *
 *      snapshot_task --ask--> query --> answer --> snapshot_task
 *
 * The connection is opened for a question and kept for the next ones, but never for long: not while nothing
 * is to be asked, and for a second at most, so that a smart shutdown, which waits for it, waits no longer.
 */
#ifndef WALHOUSE_PUBLISHER_SNAPSHOT_WORKER_H
#define WALHOUSE_PUBLISHER_SNAPSHOT_WORKER_H

#include <poll.h>

#include "snapshot_task.h"
#include "sql_connection.h"

typedef struct SnapshotSettings {
    const char *conninfo;
    const char *pipeline;
    int workers;
    int chunk_ms; /* how long a chunk query should take */
} SnapshotSettings;

/* Zeroed but for settings: without a task. */
typedef struct SnapshotWorker {
    const SnapshotSettings *settings;
    SqlConnection sql;
    bool has_task;
    SnapshotTask task;
    char *table; /* its name, for people */
    int64_t started_ms;
} SnapshotWorker;

/* Takes a task over from the caller. table is copied. false: memory is short; the task stays the caller's. */
bool snapshot_worker_begin(SnapshotWorker *worker, const SnapshotTask *task, const char *table,
                           int64_t now_ms);
/* Ends the connection and forgets the task. May be called at any time. */
void snapshot_worker_end(SnapshotWorker *worker);

void snapshot_worker_prepare(const SnapshotWorker *worker, struct pollfd *fd);
/* When it wants a step without its socket. */
int64_t snapshot_worker_due_ms(const SnapshotWorker *worker);
/* Goes on as far as it can. When the task is over, the caller looks at it and calls snapshot_worker_end(). */
void snapshot_worker_step(SnapshotWorker *worker, short revents, int64_t now_ms);

/* The options of every session that serves snapshots. */
#define SNAPSHOT_SESSION_OPTIONS                                                                             \
    "-c statement_timeout=60s -c lock_timeout=0 -c synchronous_commit=off -c search_path=pg_catalog"         \
    " -c client_connection_check_interval=1s -c idle_in_transaction_session_timeout=0"                       \
    " -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"

#endif

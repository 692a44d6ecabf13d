/*
 * snapshot_scan.h - reads a table without a key: physical order, one transaction, one exact snapshot.
 *
 *      closed --> connecting --> beginning --> creating the slot --> opened --> ready <--> reading
 *        ^             |             |                 |                          |            |
 *        +-------------+-------------+-----------------+--------------------------+------------+  starts
 * again
 *
 * Rows without a key cannot outrank each other, so each must be read exactly once and be told apart from what
 * the stream brings. A replication connection creates a temporary slot and uses its snapshot: what committed
 * before the slot's consistent point is seen by it, and what commits later has a commit LSN that is not below
 * that point. The rows' versions lie just below. A replication connection does not hold up a smart shutdown.
 * Creating the slot waits until every transaction that runs has ended; nothing here waits for it. The slot
 * goes with the connection.
 */
#ifndef WALHOUSE_PUBLISHER_SNAPSHOT_SCAN_H
#define WALHOUSE_PUBLISHER_SNAPSHOT_SCAN_H

#include "snapshot_task.h"
#include "sql_connection.h"

typedef enum ScanState {
    SCAN_CLOSED,
    SCAN_CONNECTING,
    SCAN_SETTING,
    SCAN_BEGINNING,
    SCAN_CREATING_SLOT,
    SCAN_OPENED, /* there is a snapshot, and nothing has been read under it */
    SCAN_READY,
    SCAN_READING
} ScanState;

typedef enum ScanStep {
    SCAN_NOTHING,
    SCAN_ANSWERED, /* *answer holds a chunk, which borrows from scan until the next call */
    SCAN_REFUSED,  /* Postgres said no: failure says why, and the scan is closed */
    SCAN_BROKEN    /* the connection broke: likewise */
} ScanStep;

/* Zeroed: closed. */
typedef struct SnapshotScan {
    ScanState state;
    SqlConnection sql;
    uint64_t floor_lsn; /* of the rows: just below the slot's consistent point */
    int64_t next_block; /* says nothing else than where to go on */
    int64_t next_ordinal;
    unsigned char *bytes; /* of the last answer */
} SnapshotScan;

/* Begins to get a snapshot. false: failure says why. */
bool scan_open(SnapshotScan *scan, const char *conninfo, const char *pipeline, int64_t now_ms,
               Failure *failure);
void scan_close(SnapshotScan *scan);
/* The caller has noted that everything is read from the start; the first chunk may be asked for. */
void scan_begin(SnapshotScan *scan);
/* Asks for the next chunk of snapshot id, when the state is SCAN_READY. */
bool scan_ask(SnapshotScan *scan, int64_t id, int64_t now_ms, Failure *failure);
ScanStep scan_step(SnapshotScan *scan, short revents, int64_t now_ms, SnapshotAnswer *answer,
                   Failure *failure);

#endif

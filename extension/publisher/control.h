/*
 * control.h - the JSON of control events.
 *
 * Layout: docs/wire-format.md, "Control events". A bounded writer; what does not fit sets its `full`.
 */
#ifndef WALHOUSE_PUBLISHER_CONTROL_H
#define WALHOUSE_PUBLISHER_CONTROL_H

#include "extension/common/wire.h"

/* A heartbeat always fits in this many bytes (names in Postgres are at most 63 bytes, six times that
 * escaped). */
#define CONTROL_HEARTBEAT_BYTES_MAX 1024

/* Text between quotes, escaped. Bytes that are no UTF-8 cannot come: the connection's encoding is UTF8. */
void control_put_string(WhWriter *w, const char *text);
/* As "0/1A2B3C4", between quotes. */
void control_put_lsn(WhWriter *w, uint64_t lsn);
void control_put_number(WhWriter *w, int64_t number);
/* Text as it is. */
void control_put_raw(WhWriter *w, const char *text);

typedef struct ControlHeartbeat {
    const char *pipeline;
    uint64_t acked_lsn;
    uint64_t server_lsn;        /* up to where the server has written, as far as we know */
    int64_t retained_wal_bytes; /* that the slot keeps; -1: not known */
    int64_t sent_at_us;
} ControlHeartbeat;

void control_put_heartbeat(WhWriter *w, const ControlHeartbeat *heartbeat);

typedef struct ControlStatistics {
    const char *pipeline;
    int64_t epoch;
    uint64_t lsn;
    int64_t taken_at_us;
} ControlStatistics;

/*
 * {"kind":…, "pipeline":…, "epoch":…, "lsn":…, "taken_at":…, "tables":[ — then tables one by one, then the
 * end. settled: the counts hold what was committed before the LSN, and nothing else.
 */
void control_put_statistics_head(WhWriter *w, const ControlStatistics *statistics);
void control_put_statistics_table(WhWriter *w, bool first, const char *schema, const char *table,
                                  int64_t rows, bool exact);
void control_put_statistics_end(WhWriter *w, bool settled);

/* How far a snapshot is. It always fits in CONTROL_SNAPSHOT_BYTES_MAX bytes. */
#define CONTROL_SNAPSHOT_BYTES_MAX 8192

typedef struct ControlSnapshot {
    const char *pipeline;
    int64_t id;
    const char *schema;
    const char *table;
    const char *reason;
    const char *state;
    const char *error; /* empty: none; at most 511 bytes */
    int64_t rows_done;
    int64_t estimated_rows; /* -1: not known */
    int64_t sent_at_us;
} ControlSnapshot;

void control_put_snapshot(WhWriter *w, const ControlSnapshot *snapshot);

#endif

/*
 * report.h - what the publisher tells its supervisor, over a pipe, in messages of two fixed sizes, and by its
 * exit status.
 *
 * The publisher writes one report a second and at every change of state to the file descriptor given by
 * --report-fd, and one table report for each table that changed since its last. Each is smaller than
 * PIPE_BUF, so a write is atomic; the pipe is non-blocking at the writer's end, and a message that does not
 * fit is dropped: the next one says more. Both sides are built from one tree, and magic and size guard
 * against a mixed installation.
 */
#ifndef WALHOUSE_PUBLISHER_REPORT_H
#define WALHOUSE_PUBLISHER_REPORT_H

#include <stdint.h>

#define WH_REPORT_MAGIC       UINT32_C(0x32524857) /* "WHR2" */
#define WH_TABLE_REPORT_MAGIC UINT32_C(0x31545748) /* "HWT1" */

/* The publisher's exit status: 0 it was asked to end, 1 it failed and is to be started again, 2 wrong usage.
 */
#define WH_EXIT_SLOT_LOST 3 /* starting it again changes nothing: somebody must act */
#define WH_EXIT_CHANGED   4 /* it changed the pipeline's row: start it again with what stands there now */

/*
 *  starting --> connecting --> streaming <--> waiting_for_kafka
 *      |          |   ^            |              ^   |
 *      |          |   +------------|--------------+   |   (Kafka is away before the first event)
 *      |          +--> resyncing --+ |                |
 *      +----------+----------------+------------------+--> failed, slot_lost
 */
typedef enum WhPublisherState {
    WH_PUBLISHER_STARTING = 0,   /* not connected yet */
    WH_PUBLISHER_CONNECTING = 1, /* to Postgres, or Kafka for the first time */
    WH_PUBLISHER_STREAMING = 2,  /* events flow, or there are none */
    WH_PUBLISHER_WAITING_FOR_KAFKA =
        3,                      /* the broker does not answer; walsender is kept alive, memory is bounded */
    WH_PUBLISHER_FAILED = 4,    /* about to exit, message says why; the supervisor starts another */
    WH_PUBLISHER_RESYNCING = 5, /* a new slot is being made; it waits for running transactions */
    WH_PUBLISHER_SLOT_LOST = 6 /* about to exit, message says why; the supervisor waits for somebody to act */
} WhPublisherState;

/* Whose trouble the message is. */
typedef enum WhErrorKind {
    WH_ERROR_PUBLISHER = 0, /* the process itself, or what it was started with */
    WH_ERROR_POSTGRES = 1,
    WH_ERROR_KAFKA = 2,
    WH_ERROR_SLOT = 3, /* the slot or the server is not what the pipeline knows */
    WH_ERROR_EVENT = 4 /* an event or schema that cannot be passed on */
} WhErrorKind;

typedef struct WhPublisherReport {
    uint32_t magic;
    uint32_t size; /* sizeof(WhPublisherReport) */
    uint32_t state;
    uint32_t error_kind;   /* of message */
    uint64_t received_lsn; /* end of the last chunk or keepalive received */
    uint64_t acked_lsn;    /* what was confirmed to the slot: everything before it is acknowledged by Kafka */
    uint64_t server_lsn;   /* the server's WAL end as it last said */
    int64_t last_commit_time_us; /* commit time of the newest acknowledged transaction; 0: none yet */
    uint64_t events;             /* acknowledged by Kafka since the publisher's start */
    uint64_t event_bytes;        /* their message values' bytes */
    uint64_t transactions;
    uint64_t schemas;
    uint64_t in_flight;     /* events produced and not acknowledged */
    uint64_t tables;        /* seen since the publisher's start, counted or not */
    int64_t state_since_us; /* when the state was entered, since 1970-01-01 UTC */
    char message[512];      /* last error or the reason for waiting; empty: none. Always zero-terminated */
} WhPublisherReport;

/* Names in Postgres are at most 63 bytes. */
#define WH_REPORT_NAME_BYTES 64

/* What the publisher handed to Kafka of one table since its start. */
typedef struct WhTableReport {
    uint32_t magic;
    uint32_t size; /* sizeof(WhTableReport) */
    uint32_t relation_oid;
    uint32_t schema_versions; /* seen in this session */
    uint64_t fingerprint;     /* of the newest one */
    uint64_t inserts;
    uint64_t updates;
    uint64_t deletes;
    uint64_t truncates;
    uint64_t snapshot_rows;
    uint64_t bytes;           /* of message values */
    uint64_t last_commit_lsn; /* of the newest event that is no snapshot's; 0: none yet */
    int64_t last_commit_time_us;
    uint32_t key_columns;
    char replica_identity; /* as in the schema: d, i, f, n */
    char schema_name[WH_REPORT_NAME_BYTES];
    char table_name[WH_REPORT_NAME_BYTES];
} WhTableReport;

#endif

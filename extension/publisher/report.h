/*
 * report.h - what the publisher tells its supervisor, over a pipe, in fixed-size messages.
 *
 * The publisher writes one report a second and at every change of state to the file descriptor given by
 * --report-fd. A report is smaller than PIPE_BUF, so a write is atomic; the pipe is non-blocking at the
 * writer's end, and a report that does not fit is dropped: the next one says more. Both sides are built from
 * one tree, and magic and size guard against a mixed installation.
 */
#ifndef WALHOUSE_PUBLISHER_REPORT_H
#define WALHOUSE_PUBLISHER_REPORT_H

#include <stdint.h>

#define WH_REPORT_MAGIC UINT32_C(0x31524857) /* "WHR1" */

/*
 *  starting --> connecting --> streaming <--> waiting_for_kafka
 *      |          |   ^            |              ^   |
 *      |          |   +------------|--------------+   |   (Kafka is away before the first event)
 *      +----------+----------------+------------------+--> failed
 */
typedef enum WhPublisherState {
    WH_PUBLISHER_STARTING = 0,   /* not connected yet */
    WH_PUBLISHER_CONNECTING = 1, /* to Postgres, or Kafka for the first time */
    WH_PUBLISHER_STREAMING = 2,  /* events flow, or there are none */
    WH_PUBLISHER_WAITING_FOR_KAFKA =
        3,                  /* the broker does not answer; walsender is kept alive, memory is bounded */
    WH_PUBLISHER_FAILED = 4 /* about to exit, message says why; the supervisor starts another */
} WhPublisherState;

typedef struct WhPublisherReport {
    uint32_t magic;
    uint32_t size; /* sizeof(WhPublisherReport) */
    uint32_t state;
    uint32_t reserved;
    uint64_t received_lsn; /* end of the last chunk or keepalive received */
    uint64_t acked_lsn;    /* what was confirmed to the slot: everything before it is acknowledged by Kafka */
    uint64_t server_lsn;   /* the server's WAL end as it last said */
    int64_t last_commit_time_us; /* commit time of the newest acknowledged transaction; 0: none yet */
    uint64_t events;             /* acknowledged by Kafka since the publisher's start */
    uint64_t event_bytes;        /* their message values' bytes */
    uint64_t transactions;
    uint64_t schemas;
    uint64_t in_flight;     /* events produced and not acknowledged */
    int64_t state_since_us; /* when the state was entered, since 1970-01-01 UTC */
    char message[512];      /* last error or the reason for waiting; empty: none. Always zero-terminated */
} WhPublisherReport;

#endif

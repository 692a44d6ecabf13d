/*
 * pipeline_inner.h - what the publisher's one thread of events holds, for the files that are it: pipeline.c
 * (life, and one turn), pipeline_kafka.c (what Kafka says), pipeline_due.c (what is due). For no others.
 */
#ifndef WALHOUSE_PUBLISHER_PIPELINE_INNER_H
#define WALHOUSE_PUBLISHER_PIPELINE_INNER_H

#include "feed.h"
#include "guard.h"
#include "pipeline.h"
#include "report_writer.h"
#include "requests.h"
#include "statistics.h"

#define FEEDBACK_INTERVAL_MS     1000
#define FEEDBACK_INTERVAL_MIN_MS 100 /* when the confirmed LSN has moved */
#define POSITION_INTERVAL_MS     50

/* Numbers in the tags of control events. */
enum { CONTROL_HEARTBEAT, CONTROL_STATISTICS, CONTROL_SNAPSHOT };

struct Pipeline {
    const Options *options;
    WalReaderSettings reader_settings;
    SchemaTopicSettings schema_settings;
    StatisticsSettings statistics_settings;
    SnapshotSettings snapshot_settings;
    GuardSettings guard_settings;
    RequestsSettings requests_settings;
    WalReader reader;
    Guard guard;
    Producer *producer;
    SchemaTopic *schemas;
    Statistics statistics;
    Snapshots snapshots;
    Requests requests;
    ReportWriter report;
    Flow flow;
    Feed feed;
    bool kafka_is_away;
    char kafka_reason[256];
    int64_t leaderless_ms; /* since when a new topic has no leaders; 0: none waits for them */
    int64_t delivery_ms;   /* when Kafka last acknowledged anything, or nothing was in flight */
    bool heartbeat_in_flight;
    int64_t position_ms; /* when the last record was sent */
    int64_t heartbeat_at_ms;
    int64_t feedback_ms;
    uint64_t feedback_lsn;
    bool feedback_requested;
    int64_t report_at_ms;
    bool more_to_do; /* the turn ended with work left */
    bool stopping;
    int64_t stop_by_ms;
    int64_t now_ms; /* of this turn */
    Failure failure;
    WhErrorKind failure_kind; /* whose trouble it is */
};

/* The server's WAL reaches to lsn at least. */
static inline void see_server_lsn(Pipeline *p, uint64_t lsn)
{
    if (lsn > p->report.report.server_lsn)
        p->report.report.server_lsn = lsn;
}

/* ---- pipeline_kafka.c ---- */

/* A ProducerHandler; context is the pipeline. What cannot be gone on from is in its failure. */
void take_producer_event(void *context, const ProducerEvent *event);
/* Without any acknowledgement for long, Kafka is away. */
void find_stall(Pipeline *p);

/* ---- pipeline_due.c: each gives what is due now; false: failure says why it cannot go on ---- */

/* Before the slot may confirm an LSN, Kafka must know of it. */
bool give_position(Pipeline *p);
bool give_feedback(Pipeline *p);
/* Agents must know how far events may go before they do. */
bool give_lease(Pipeline *p);
/* Also sent while Kafka is away, once: its delivery tells that Kafka is back. */
bool give_heartbeat(Pipeline *p);
bool give_statistics(Pipeline *p, short revents);
bool give_snapshot_news(Pipeline *p);
bool give_report(Pipeline *p);

#endif

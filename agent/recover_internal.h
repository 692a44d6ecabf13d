/*
 * recover_internal.h - what recover.c and recover_gaps.c share: the state of one Recovery.
 */
#ifndef WALHOUSE_AGENT_RECOVER_INTERNAL_H
#define WALHOUSE_AGENT_RECOVER_INTERNAL_H

#include "agent/clickhouse.h"
#include "agent/recover.h"
#include "agent/version.h"

#define RECOVERY_RETRY_MS 1000

/* A partition that is read when something is known or done. */
typedef struct Waiting {
    char *topic;
    int32_t partition;
    bool gap;     /* what was to be read is not in Kafka; else: where it begins is not known */
    bool remade;  /* of a gap: the topic was deleted and made anew */
    int64_t from; /* of a gap: what was to be read; -1: what the batches say */
} Waiting;

/* A table of which something was lost, until a snapshot has filled it again. */
typedef struct OpenGap {
    char *topic;
    char *view_name;
    Version floor; /* the table's highest truncate or sweep when the snapshot was asked for */
} OpenGap;

struct Recovery {
    Config config; /* a copy, of the same strings, with a short timeout */
    Metrics *metrics;
    Registry *registry;
    ClickHouse *client;
    Requests *requests;
    char group[256];
    Offsets offsets;
    int64_t watch_at_ms;
    bool wants_rewind;
    int64_t seen_ms; /* of wants_rewind: the warehouse had lost nothing before */
    Waiting *waiting;
    size_t waiting_count;
    int64_t retry_at_ms;
    OpenGap *open;
    size_t open_count;
    int64_t gaps_at_ms;
    int64_t look_at_ms;
};

/* Asks a server who it is and when it started; server_read() takes the answer, but for seen_ms. */
extern const char *const server_question;
Status server_read(const char *body, size_t size, Server *server, Error *error);

/* false: out of memory. */
bool recovery_wait(Recovery *recovery, const char *topic, int32_t partition);
bool recovery_note_gap(Recovery *recovery, const char *topic, int32_t partition, int64_t from, bool remade);
void recovery_forget(Recovery *recovery, const char *topic, int32_t partition);
void recovery_forget_all(Recovery *recovery);

/* Asks for snapshots of the tables that have gaps, and reads on. */
void recovery_fill_gaps(Recovery *recovery, Consumer *consumer, const Batch *batches, int64_t now_ms);
/* Closes gaps whose snapshot has come. */
void recovery_watch_gaps(Recovery *recovery, int64_t now_ms);

#endif

/*
 * consume_internal.h - what consume.c and the other consume_*.c share: the state of one Consumer.
 */
#ifndef WALHOUSE_AGENT_CONSUME_INTERNAL_H
#define WALHOUSE_AGENT_CONSUME_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "agent/consume.h"
#include "extension/common/schema.h"

/*
 * How far a partition's offsets are wanted committed, and are. Both begin where the partition does, and are
 * COMMIT_CLOSED while it has no place: rows that were in hand when it was taken away may be loaded at any
 * time after, and must not take the group's offset back.
 */
#define COMMIT_CLOSED INT64_MAX
typedef struct CommitState {
    char *topic;
    int32_t partition;
    int64_t wanted;
    int64_t acked;
} CommitState;

struct Consumer {
    const Config *config;
    Metrics *metrics;
    ConsumerEvents events;
    rd_kafka_t *group;
    rd_kafka_queue_t *queue;
    rd_kafka_t *schemas;
    rd_kafka_t *asking; /* fetches nothing, so its questions do not wait behind a long poll */
    char control_topic[WH_TOPIC_BYTES_MAX + 1];
    char schema_topic[WH_TOPIC_BYTES_MAX + 1];
    char dlq_topic[WH_TOPIC_BYTES_MAX + 1];
    bool all_paused; /* nothing is to be taken, of new partitions neither */
    bool schemas_assigned;
    int64_t schemas_retry_at_ms;
    atomic_int_fast64_t schema_position; /* the next offset of the schema topic; -1: it is not there yet */

    CommitState *commits;
    size_t commit_count;
    int64_t recommit_at_ms;

    pthread_mutex_t lock; /* of topics */
    char **topics;
    size_t topic_count;
    size_t subscribed_count; /* topics[0 .. subscribed_count) are subscribed */
    bool subscribed;
    int64_t subscribe_at_ms;
};

/* Called by librdkafka when partitions come or go. */
void consumer_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t *partitions, void *opaque);
/* Nothing of the partition is to be committed until consumer_open_commit(). */
void consumer_close_commit(Consumer *consumer, const char *topic, int32_t partition);
/* The partition is read from offset on, which the group is told if tell; what lies beyond may be committed.
 * false: out of memory. */
bool consumer_open_commit(Consumer *consumer, const char *topic, int32_t partition, int64_t offset,
                          bool tell);
/* Called by librdkafka when an offset is committed, or is not. */
void consumer_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t result, rd_kafka_topic_partition_list_t *offsets,
                        void *opaque);
/* Commits what is wanted and not acknowledged, now and then. */
void consumer_commit_again(Consumer *consumer, int64_t now_ms);
/* Says with a commit that the warehouse has a row of the partition. */
void consumer_mark_commit(rd_kafka_topic_partition_t *partition);

/* The tables' topics, partition -1 each, and CONSUMER_OWN_TOPICS last if they are wanted: control and dead
 * letters. The caller destroys the list. */
#define CONSUMER_OWN_TOPICS 2
rd_kafka_topic_partition_list_t *consumer_list_topics(Consumer *consumer, bool with_own);

/* A list of one partition; the caller destroys it. */
rd_kafka_topic_partition_list_t *consumer_list_one(const char *topic, int32_t partition, int64_t offset);

/* Pauses the partitions while all are paused, else resumes them. false: librdkafka refused. */
bool consumer_pause_as_all(Consumer *consumer, rd_kafka_topic_partition_list_t *list);

/* The end of the schema topic, 0 where it does not exist yet; -1: Kafka did not answer. Any thread may ask.
 */
int64_t consumer_schema_end(Consumer *consumer, int timeout_ms);

#endif

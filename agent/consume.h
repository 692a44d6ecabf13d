/*
 * consume.h - messages out of Kafka, offsets back; consume.c is the only file that knows librdkafka's
 * consumer.
 *
 * Two consumers: one in the group, for rows and control events, and one without a group that reads the schema
 * topic from its beginning. Both belong to the main thread, but for consumer_lag(), which any thread may
 * call.
 */
#ifndef WALHOUSE_AGENT_CONSUME_H
#define WALHOUSE_AGENT_CONSUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/metrics.h"
#include "agent/offsets.h"
#include "agent/status.h"
#include "extension/common/wire.h"

typedef struct Consumer Consumer;
typedef struct rd_kafka_message_s Message; /* librdkafka's; only its address is used elsewhere */

typedef struct MessageView {
    const char *topic; /* valid as long as the message */
    int32_t partition;
    int64_t offset;
    int64_t time_ms; /* Unix time at which it was made; 0: it has none */
    WhSlice key;     /* data NULL: none */
    WhSlice value;
    WhSlice headers;    /* packed as agent/letter.h says; data NULL: none, or not asked for */
    int32_t partitions; /* of a truncate: how many of them it was sent to; 0: it does not say */
} MessageView;

/* The next offset to commit for a partition. */
typedef struct PartitionOffset {
    const char *topic; /* somebody else's */
    int32_t partition;
    int64_t offset;
} PartitionOffset;

/* Called from consumer_poll() and consumer_close(). */
typedef struct ConsumerEvents {
    /* Partitions are about to be taken away: what is in flight should be loaded and committed, or given up.
     */
    void (*revoke)(void *context);
    /* Each start->start is to be filled in. Where it stays below 0 the partition is paused until
     * consumer_place(). */
    void (*assigned)(void *context, PartitionStart *starts, size_t count);
    void (*unassigned)(void *context, const char *topic, int32_t partition);
    /* What was to be read next is not in Kafka: nothing comes of it until consumer_place(). */
    void (*lost_place)(void *context, const char *topic, int32_t partition);
    void *context;
} ConsumerEvents;

Consumer *consumer_open(const Config *config, Metrics *metrics, const ConsumerEvents *events, Error *error);
/* Leaves the group. Messages must have been released. */
void consumer_close(Consumer *consumer);

/* The topic of a table, to be consumed from the next consumer_tick() on. STATUS_FATAL: out of memory. */
Status consumer_add_topic(Consumer *consumer, const char *topic, Error *error);

/* What is due: subscribing to topics that were added, committing again what was not acknowledged. Call it
 * often. */
void consumer_tick(Consumer *consumer);

/* Waits up to timeout_ms for a first message, then takes what is there, at most max. */
size_t consumer_poll(Consumer *consumer, Message **messages, size_t max, int timeout_ms);
/* From another thread: the poll that waits, or else the next one, returns at once. */
void consumer_wake(Consumer *consumer);
MessageView message_view(const Message *message);
/* Its headers, packed; free() headers->data. false: out of memory. */
bool message_pack_headers(const Message *message, WhSlice *headers);
void message_release(Message *message);

/*
 * Commits offsets of partitions that are still assigned; the others are left to their new owners. Without
 * wait it returns at once, and consumer_tick() repeats what is not acknowledged. With wait a failure is
 * logged and left to the next owner's replay.
 */
void consumer_commit(Consumer *consumer, const PartitionOffset *offsets, size_t count, bool wait);

/* Goes on at other offsets, paused or not; what is not assigned is left out. Nothing is committed. false:
 * try again. */
bool consumer_place(Consumer *consumer, const PartitionOffset *offsets, size_t count);
/* The first offset that Kafka has, and the next that it will give. */
Status consumer_watermarks(Consumer *consumer, const char *topic, int32_t partition, int64_t *low,
                           int64_t *high, Error *error);
/* Fills in what Kafka knows, as before ConsumerEvents.assigned. STATUS_RETRY: some are not known. */
Status consumer_ask_starts(Consumer *consumer, PartitionStart *starts, size_t count, Error *error);

#define CONSUMER_BEGINNING (-2) /* as an offset: whatever is the first; librdkafka's */

/* Stops fetching a topic and goes back to offset in a partition / fetches it again from there. */
void consumer_pause(Consumer *consumer, const char *topic, int32_t partition, int64_t offset);
void consumer_resume(Consumer *consumer, const char *topic, int32_t partition);
/* Keeps the membership of the group alive while nothing is to be taken: all partitions pause, or resume. */
void consumer_pause_all(Consumer *consumer, bool pause);

/*
 * Reads the schema topic to its present end, or for as long as timeout_ms; take is called for each message.
 * STATUS_RETRY: the end was not reached. With timeout_ms 0 only what has arrived is taken, and that is no
 * failure.
 */
Status consumer_read_schemas(Consumer *consumer, int timeout_ms,
                             void (*take)(void *context, const MessageView *message), void *context,
                             Error *error);
/* The next read begins at the topic's beginning. */
void consumer_restart_schemas(Consumer *consumer);

/*
 * Exact lag of the whole group, asked of the brokers now: first waits until the main thread has read the
 * schema topic to its present end (it does so all the time), then compares committed offsets with ends. Calls
 * visit for each partition of the tables' topics. *messages is the sum. STATUS_RETRY: Kafka did not answer in
 * timeout_ms.
 */
typedef void (*ConsumerLagVisit)(void *context, const char *topic, int32_t partition, int64_t committed,
                                 int64_t end);
Status consumer_lag(Consumer *consumer, int timeout_ms, ConsumerLagVisit visit, void *context,
                    int64_t *messages, Error *error);

/*
 * Waits until the group has committed everything that was in Kafka when this was called. STATUS_RETRY: not
 * within timeout_ms, or *stop was set meanwhile. Any thread may call it.
 */
Status consumer_wait_loaded(Consumer *consumer, int timeout_ms, const atomic_bool *stop, Error *error);

/* Does Kafka answer now? STATUS_RETRY: not in timeout_ms. What is found is noted in the metrics. Any thread
 * may call it. */
Status consumer_probe(Consumer *consumer, int timeout_ms, Error *error);

#endif

/*
 * consume_lag.c - questions to the brokers: how far is the group, and does Kafka answer; see consume.h.
 *
 * Any thread may ask. The handle fetches nothing: a question on one that does would wait behind its long
 * poll.
 */
#include <time.h>

#include "agent/consume_internal.h"

#define LOADED_POLL_MS 50
#define QUESTION_MS    5000

/* For one question to the brokers; never long, so that a thread that is told to stop does. */
static int left_ms(int64_t until)
{
    int64_t left = until - consumer_now_ms();

    return left < 1 ? 1 : left > QUESTION_MS ? QUESTION_MS : (int)left;
}

/* stop may be NULL. */
static Status wait_for_schemas(Consumer *consumer, int64_t until, const atomic_bool *stop, Error *error)
{
    int64_t end = consumer_schema_end(consumer, left_ms(until));

    while (end > 0 && atomic_load(&consumer->schema_position) < end) {
        struct timespec pause = {.tv_nsec = 5000000};

        if (consumer_now_ms() >= until || (stop && atomic_load(stop)))
            return status_fail(error, STATUS_RETRY, "the schema topic has not been read to its end yet");
        (void)nanosleep(&pause, NULL);
    }
    return end < 0 ? status_fail(error, STATUS_RETRY, "Kafka does not answer") : STATUS_OK;
}

/* Every partition of the tables' topics, with its end as offset and its beginning as opaque. */
static Status list_ends(Consumer *consumer, int64_t until, rd_kafka_topic_partition_list_t **ends,
                        Error *error)
{
    rd_kafka_topic_partition_list_t *topics = consumer_list_topics(consumer, false);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(consumer->asking, 1, NULL, &metadata, left_ms(until));

    *ends = rd_kafka_topic_partition_list_new(16);
    for (int t = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && t < metadata->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[t];

        if (!rd_kafka_topic_partition_list_find(topics, topic->topic, RD_KAFKA_PARTITION_UA))
            continue;
        for (int p = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && p < topic->partition_cnt; p++) {
            int64_t low = 0, high = 0;
            rd_kafka_topic_partition_t *end;

            result = rd_kafka_query_watermark_offsets(consumer->asking, topic->topic, topic->partitions[p].id,
                                                      &low, &high, left_ms(until));
            end = rd_kafka_topic_partition_list_add(*ends, topic->topic, topic->partitions[p].id);
            end->offset = high;
            end->opaque = (void *)(intptr_t)low;
        }
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_destroy(topics);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    rd_kafka_topic_partition_list_destroy(*ends);
    *ends = NULL;
    return status_fail(error, STATUS_RETRY, "Kafka does not answer: %s", rd_kafka_err2str(result));
}

/* Sums what the group has not committed of ends; visit may be NULL. */
static Status measure_lag(Consumer *consumer, const rd_kafka_topic_partition_list_t *ends, int64_t until,
                          ConsumerLagVisit visit, void *context, int64_t *messages, Error *error)
{
    rd_kafka_topic_partition_list_t *committed = rd_kafka_topic_partition_list_copy(ends);
    rd_kafka_resp_err_t result = rd_kafka_committed(consumer->asking, committed, left_ms(until));

    *messages = 0;
    for (int i = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && i < ends->cnt; i++) {
        const rd_kafka_topic_partition_t *end = &ends->elems[i];
        const rd_kafka_topic_partition_t *at =
            rd_kafka_topic_partition_list_find(committed, end->topic, end->partition);
        int64_t low = (int64_t)(intptr_t)end->opaque;
        int64_t offset = at && at->offset >= low ? at->offset : low;

        if (at && at->err)
            result = at->err;
        if (end->offset > offset)
            *messages += end->offset - offset;
        if (visit)
            visit(context, end->topic, end->partition, offset, end->offset);
    }
    rd_kafka_topic_partition_list_destroy(committed);
    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka does not tell committed offsets: %s",
                             rd_kafka_err2str(result));
}

Status consumer_lag(Consumer *consumer, int timeout_ms, ConsumerLagVisit visit, void *context,
                    int64_t *messages, Error *error)
{
    int64_t until = consumer_now_ms() + timeout_ms;
    rd_kafka_topic_partition_list_t *ends = NULL;
    Status status = wait_for_schemas(consumer, until, NULL, error);

    if (status == STATUS_OK)
        status = list_ends(consumer, until, &ends, error);
    if (status == STATUS_OK)
        status = measure_lag(consumer, ends, until, visit, context, messages, error);
    if (ends)
        rd_kafka_topic_partition_list_destroy(ends);
    return status;
}

Status consumer_wait_loaded(Consumer *consumer, int timeout_ms, const atomic_bool *stop, Error *error)
{
    int64_t until = consumer_now_ms() + timeout_ms;
    rd_kafka_topic_partition_list_t *ends = NULL;
    int64_t messages = 1;
    Status status = wait_for_schemas(consumer, until, stop, error);

    if (status == STATUS_OK)
        status = list_ends(consumer, until, &ends, error);
    while (status == STATUS_OK && messages > 0) {
        status = measure_lag(consumer, ends, until, NULL, NULL, &messages, error);
        if (status == STATUS_OK && messages > 0) {
            struct timespec pause = {.tv_nsec = LOADED_POLL_MS * 1000000L};

            if (consumer_now_ms() >= until || atomic_load(stop))
                status =
                    status_fail(error, STATUS_RETRY, "%lld messages are not loaded yet", (long long)messages);
            (void)nanosleep(&pause, NULL);
        }
    }
    if (ends)
        rd_kafka_topic_partition_list_destroy(ends);
    return status;
}

Status consumer_probe(Consumer *consumer, int timeout_ms, Error *error)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(consumer->asking, 0, NULL, &metadata, timeout_ms);

    atomic_store(&consumer->metrics->kafka_reachable, result == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka at %s does not answer: %s",
                             consumer->config->kafka_brokers, rd_kafka_err2str(result));
}

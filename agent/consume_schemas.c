/*
 * consume_schemas.c - the schema topic, read from its beginning and ever on; see consume.h.
 *
 * The main thread reads; schema_position tells others how far it has come.
 */
#include "agent/consume_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define SCHEMA_RETRY_MS 500

/* Do the brokers say now that there is no schema topic? What the client remembers may be older than the
 * topic. */
static bool topic_is_missing(Consumer *consumer, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer->asking, consumer->schema_topic, NULL);
    bool missing =
        topic &&
        rd_kafka_metadata(consumer->asking, 0, topic, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;

    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (topic)
        rd_kafka_topic_destroy(topic);
    return missing;
}

/* The end of the schema topic, 0 where it does not exist yet; -1: Kafka did not answer. */
int64_t consumer_schema_end(Consumer *consumer, int timeout_ms)
{
    int64_t low = 0, high = 0;
    rd_kafka_resp_err_t result = rd_kafka_query_watermark_offsets(consumer->asking, consumer->schema_topic, 0,
                                                                  &low, &high, timeout_ms);

    if (result == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || result == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        result == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return topic_is_missing(consumer, timeout_ms) ? 0 : -1;
    return result == RD_KAFKA_RESP_ERR_NO_ERROR ? high : -1;
}

/* Assigns the schema topic once it exists. */
static bool assign_schemas(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list;
    int64_t low = 0, high = 0;

    if (consumer->schemas_assigned)
        return true;
    if (clock_ms() < consumer->schemas_retry_at_ms)
        return false;
    consumer->schemas_retry_at_ms = clock_ms() + SCHEMA_RETRY_MS;
    if (rd_kafka_query_watermark_offsets(consumer->asking, consumer->schema_topic, 0, &low, &high, 1000) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    list = consumer_list_one(consumer->schema_topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    consumer->schemas_assigned = rd_kafka_assign(consumer->schemas, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    if (consumer->schemas_assigned)
        atomic_store(&consumer->schema_position, low);
    return consumer->schemas_assigned;
}

void consumer_restart_schemas(Consumer *consumer)
{
    consumer->schemas_assigned = false;
    consumer->schemas_retry_at_ms = 0;
}

Status consumer_read_schemas(Consumer *consumer, int timeout_ms,
                             void (*take)(void *context, const MessageView *message), void *context,
                             Error *error)
{
    int64_t until = clock_ms() + timeout_ms;
    int64_t end = timeout_ms > 0 ? consumer_schema_end(consumer, timeout_ms) : 0;
    bool assigned = assign_schemas(consumer);

    if (end < 0)
        return status_fail(error, STATUS_RETRY, "Kafka at %s does not answer",
                           consumer->config->kafka_brokers);
    if (timeout_ms > 0)
        atomic_store(&consumer->metrics->kafka_reachable, true);
    if (!assigned)
        return end == 0 ? STATUS_OK
                        : status_fail(error, STATUS_RETRY, "cannot read %s yet", consumer->schema_topic);
    for (;;) {
        int64_t left = until - clock_ms();
        bool at_end = atomic_load(&consumer->schema_position) >= end;
        Message *message = rd_kafka_consumer_poll(consumer->schemas, at_end || left < 0 ? 0
                                                                     : left > 100       ? 100
                                                                                        : (int)left);

        if (message == NULL && (at_end || left <= 0))
            return at_end ? STATUS_OK
                          : status_fail(error, STATUS_RETRY, "%s was not read to its end in time",
                                        consumer->schema_topic);
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            MessageView view = message_view(message);

            take(context, &view);
            atomic_store(&consumer->schema_position, message->offset + 1);
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            atomic_store(&consumer->schema_position, message->offset);
        } else {
            log_warning("Kafka: %s: %s", consumer->schema_topic, rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
}

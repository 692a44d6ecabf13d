/*
 * producer.c - librdkafka's producer; see producer.h.
 */
#include "agent/producer.h"

#include <stdlib.h>

#include "agent/kafka_config.h"

#define FLUSH_MS       30000
#define QUEUE_TRIES    300
#define QUEUE_PAUSE_MS 100

struct Producer {
    rd_kafka_t *handle;
    size_t failed; /* since the last flush */
    char failure[256];
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    Producer *producer = opaque;

    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    producer->failed++;
    (void)snprintf(producer->failure, sizeof producer->failure, "topic \"%s\": %s",
                   rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
}

Producer *producer_open(const Config *config, Error *error)
{
    Producer *producer = calloc(1, sizeof *producer);
    rd_kafka_conf_t *conf = kafka_conf_new(config, error);
    char reason[256];

    if (producer == NULL)
        (void)status_fail(error, STATUS_FATAL, "out of memory");
    if (producer && conf && kafka_conf_set(conf, "acks", "all", error) &&
        kafka_conf_set(conf, "enable.idempotence", "true", error) &&
        kafka_conf_set(conf, "message.max.bytes", "16777216", error) &&
        kafka_conf_set(conf, "message.timeout.ms", "20000", error) &&
        kafka_conf_set(conf, "linger.ms", "5", error)) {
        rd_kafka_conf_set_opaque(conf, producer);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
        if (producer->handle)
            return producer;
        (void)status_fail(error, STATUS_FATAL, "cannot make a Kafka producer: %s", reason);
    }
    if (conf)
        rd_kafka_conf_destroy(conf);
    free(producer);
    return NULL;
}

void producer_close(Producer *producer)
{
    if (producer == NULL)
        return;
    rd_kafka_destroy(producer->handle);
    free(producer);
}

Status producer_send(Producer *producer, const char *topic, int32_t partition, WhSlice key, WhSlice value,
                     rd_kafka_headers_t *headers, Error *error)
{
    rd_kafka_resp_err_t result = RD_KAFKA_RESP_ERR__QUEUE_FULL;

    for (int tries = 0; tries < QUEUE_TRIES && result == RD_KAFKA_RESP_ERR__QUEUE_FULL; tries++) {
        result = rd_kafka_producev(
            producer->handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY((void *)key.data, key.size),
            RD_KAFKA_V_VALUE((void *)value.data, value.size), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        (void)rd_kafka_poll(producer->handle, result == RD_KAFKA_RESP_ERR__QUEUE_FULL ? QUEUE_PAUSE_MS : 0);
    }
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    if (headers)
        rd_kafka_headers_destroy(headers);
    return status_fail(error, STATUS_RETRY, "cannot send a message to topic \"%s\": %s", topic,
                       rd_kafka_err2str(result));
}

Status producer_flush(Producer *producer, Error *error)
{
    rd_kafka_resp_err_t result = rd_kafka_flush(producer->handle, FLUSH_MS);
    size_t failed = producer->failed;

    producer->failed = 0;
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return status_fail(error, STATUS_RETRY, "Kafka did not acknowledge what was sent in time");
    if (failed > 0)
        return status_fail(error, STATUS_RETRY, "Kafka did not take %zu messages, the last one for %s",
                           failed, producer->failure);
    return STATUS_OK;
}

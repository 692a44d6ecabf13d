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
};

static void fail_receipt(Receipt *receipt, rd_kafka_resp_err_t why)
{
    receipt->too_large = why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    (void)snprintf(receipt->failure, sizeof receipt->failure, "%s", rd_kafka_err2str(why));
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    Receipt *receipt = message->_private;

    (void)rk;
    (void)opaque;
    /* Without an offset only a later message was acknowledged, which does not speak for this one: see
     * "unproven" in extension/publisher/produce.c. */
    receipt->acknowledged = message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset >= 0;
    if (!receipt->acknowledged)
        fail_receipt(receipt, message->err ? message->err : RD_KAFKA_RESP_ERR__INCONSISTENT);
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

Status producer_send(Producer *producer, const Parcel *parcel, Receipt *receipt, Error *error)
{
    rd_kafka_resp_err_t result = RD_KAFKA_RESP_ERR__QUEUE_FULL;

    *receipt = (Receipt){0};
    for (int tries = 0; tries < QUEUE_TRIES && result == RD_KAFKA_RESP_ERR__QUEUE_FULL; tries++) {
        result = rd_kafka_producev(
            producer->handle, RD_KAFKA_V_TOPIC(parcel->topic), RD_KAFKA_V_PARTITION(parcel->partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY((void *)(uintptr_t)parcel->key.data, parcel->key.size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)parcel->value.data, parcel->value.size),
            RD_KAFKA_V_HEADERS(parcel->headers), RD_KAFKA_V_OPAQUE(receipt), RD_KAFKA_V_END);
        (void)rd_kafka_poll(producer->handle, result == RD_KAFKA_RESP_ERR__QUEUE_FULL ? QUEUE_PAUSE_MS : 0);
    }
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK; /* librdkafka owns the headers now */
    if (parcel->headers)
        rd_kafka_headers_destroy(parcel->headers);
    fail_receipt(receipt, result);
    return receipt->too_large ? STATUS_OK
                              : status_fail(error, STATUS_RETRY, "cannot send to topic \"%s\": %s",
                                            parcel->topic, rd_kafka_err2str(result));
}

Status producer_flush(Producer *producer, Error *error)
{
    if (rd_kafka_flush(producer->handle, FLUSH_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    /* Receipts end with their owner, so nothing may be delivered after this. */
    (void)rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_flush(producer->handle, FLUSH_MS);
    return status_fail(error, STATUS_RETRY, "Kafka did not acknowledge what was sent in time");
}

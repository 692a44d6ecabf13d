/*
 * dlq.c - dead letters to Kafka; see dlq.h.
 */
#include "agent/dlq.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/kafka_config.h"
#include "extension/common/schema.h"

#define FLUSH_MS 30000

struct Dlq {
    rd_kafka_t *producer;
    char topic[WH_TOPIC_BYTES_MAX + 1];
    size_t failed; /* of the letters being sent */
    char failure[256];
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    Dlq *dlq = opaque;

    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    dlq->failed++;
    (void)snprintf(dlq->failure, sizeof dlq->failure, "%s", rd_kafka_err2str(message->err));
}

Dlq *dlq_open(const Config *config, Error *error)
{
    Dlq *dlq = calloc(1, sizeof *dlq);
    rd_kafka_conf_t *conf = kafka_conf_new(config, error);
    char reason[256];

    if (dlq && conf && kafka_conf_set(conf, "acks", "all", error) &&
        kafka_conf_set(conf, "enable.idempotence", "true", error) &&
        kafka_conf_set(conf, "message.max.bytes", "16777216", error) &&
        kafka_conf_set(conf, "message.timeout.ms", "20000", error) &&
        kafka_conf_set(conf, "linger.ms", "5", error)) {
        rd_kafka_conf_set_opaque(conf, dlq);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        (void)snprintf(dlq->topic, sizeof dlq->topic, "%.200s.__dlq", config->kafka_topic_prefix);
        dlq->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
        if (dlq->producer)
            return dlq;
        (void)status_fail(error, STATUS_FATAL, "cannot make a Kafka producer: %s", reason);
    }
    if (conf)
        rd_kafka_conf_destroy(conf);
    free(dlq);
    return NULL;
}

void dlq_close(Dlq *dlq)
{
    if (dlq == NULL)
        return;
    rd_kafka_destroy(dlq->producer);
    free(dlq);
}

static bool add_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    return rd_kafka_header_add(headers, name, -1, value, -1) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    return add_header(headers, name, digits);
}

/* Where it came from and why it is here. NULL: out of memory. */
static rd_kafka_headers_t *make_headers(const DeadLetter *letter, const MessageView *view)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(6);
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (add_header(headers, "walhouse.reason", reason_code(letter->reason)) &&
        add_header(headers, "walhouse.error", letter->error.text) &&
        add_header(headers, "walhouse.topic", view->topic) &&
        add_number(headers, "walhouse.partition", view->partition) &&
        add_number(headers, "walhouse.offset", view->offset) &&
        add_number(headers, "walhouse.time", (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000))
        return headers;
    rd_kafka_headers_destroy(headers);
    return NULL;
}

static Status send_letter(Dlq *dlq, const Batch *batch, const DeadLetter *letter, Error *error)
{
    MessageView view = batch->messages[letter->message];
    rd_kafka_headers_t *headers = make_headers(letter, &view);
    rd_kafka_resp_err_t result = RD_KAFKA_RESP_ERR__QUEUE_FULL;

    if (headers == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    for (int tries = 0; tries < 300 && result == RD_KAFKA_RESP_ERR__QUEUE_FULL; tries++) {
        result = rd_kafka_producev(dlq->producer, RD_KAFKA_V_TOPIC(dlq->topic),
                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                   RD_KAFKA_V_KEY((void *)view.key.data, view.key.size),
                                   RD_KAFKA_V_VALUE((void *)view.value.data, view.value.size),
                                   RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        (void)rd_kafka_poll(dlq->producer, result == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
    }
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK; /* the producer owns the headers now */
    rd_kafka_headers_destroy(headers);
    return status_fail(error, STATUS_RETRY, "cannot send a dead letter to %s: %s", dlq->topic,
                       rd_kafka_err2str(result));
}

Status dlq_send(Dlq *dlq, const Batch *batch, Error *error)
{
    Status status = STATUS_OK;

    dlq->failed = 0;
    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++)
        status = send_letter(dlq, batch, &batch->letters[i], error);
    if (rd_kafka_flush(dlq->producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR && status == STATUS_OK)
        status =
            status_fail(error, STATUS_RETRY, "dead letters to %s were not acknowledged in time", dlq->topic);
    if (dlq->failed > 0 && status == STATUS_OK)
        status = status_fail(error, STATUS_RETRY, "Kafka did not take %zu dead letters to %s: %s",
                             dlq->failed, dlq->topic, dlq->failure);
    return status;
}

/*
 * topic_scan.c - a topic read as it is now; see topic_scan.h.
 *
 *      metadata --> partitions --> their beginnings and ends --> assigned --> polled until all ends are
 * reached
 */
#include "agent/topic_scan.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/kafka_config.h"
#include "extension/common/schema.h"

#define QUESTION_MS 10000
#define POLL_MS     500
#define SILENCE_MAX 60 /* polls without anything: Kafka is away */

/* One partition, and the offset before which its messages are wanted. */
typedef struct End {
    int64_t offset;
    bool reached;
} End;

typedef struct Scan {
    rd_kafka_t *kafka;
    rd_kafka_topic_partition_list_t *list; /* offsets are where it begins */
    End *ends;                             /* one a partition of the list */
    int left;                              /* ends that are not reached */
} Scan;

static rd_kafka_t *open_consumer(const Config *config, Error *error)
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, error);
    char reason[256];
    rd_kafka_t *kafka;

    if (conf == NULL)
        return NULL;
    /* Never joined: librdkafka asks for a name, and brokers may ask who may use it. */
    if (!kafka_conf_set(conf, "group.id", "walhouse-agent-scan", error) ||
        !kafka_conf_set(conf, "enable.auto.commit", "false", error) ||
        !kafka_conf_set(conf, "enable.partition.eof", "true", error) ||
        !kafka_conf_set(conf, "auto.offset.reset", "earliest", error) ||
        !kafka_conf_set(conf, "allow.auto.create.topics", "false", error)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (kafka == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)status_fail(error, STATUS_FATAL, "cannot make a Kafka consumer: %s", reason);
    }
    return kafka;
}

static Status open_scan(Scan *scan, const Config *config, Error *error)
{
    *scan = (Scan){.kafka = open_consumer(config, error)};
    if (scan->kafka == NULL)
        return STATUS_FATAL;
    scan->list = rd_kafka_topic_partition_list_new(4);
    return STATUS_OK;
}

static void close_scan(Scan *scan)
{
    if (scan->kafka == NULL)
        return;
    (void)rd_kafka_consumer_close(scan->kafka);
    rd_kafka_topic_partition_list_destroy(scan->list);
    rd_kafka_destroy(scan->kafka);
    free(scan->ends);
}

/* ---- what is there ---- */

static Status list_partitions(Scan *scan, const char *name, bool *exists, Error *error)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(scan->kafka, name, NULL);
    rd_kafka_resp_err_t result =
        topic ? rd_kafka_metadata(scan->kafka, 0, topic, &metadata, QUESTION_MS) : rd_kafka_last_error();

    *exists = false;
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1) {
        result = metadata->topics[0].err;
        *exists = result == RD_KAFKA_RESP_ERR_NO_ERROR;
        for (int i = 0; *exists && i < metadata->topics[0].partition_cnt; i++)
            (void)rd_kafka_topic_partition_list_add(scan->list, name, metadata->topics[0].partitions[i].id);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (topic)
        rd_kafka_topic_destroy(topic);
    if (*exists || result == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return STATUS_OK;
    return status_fail(error, STATUS_RETRY, "Kafka does not tell about %s: %s", name,
                       rd_kafka_err2str(result));
}

static Status find_ends(Scan *scan, Error *error)
{
    rd_kafka_resp_err_t result = RD_KAFKA_RESP_ERR_NO_ERROR;

    scan->ends = calloc((size_t)scan->list->cnt + 1, sizeof *scan->ends);
    if (scan->ends == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    for (int i = 0; i < scan->list->cnt && result == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        rd_kafka_topic_partition_t *at = &scan->list->elems[i];

        result = rd_kafka_query_watermark_offsets(scan->kafka, at->topic, at->partition, &at->offset,
                                                  &scan->ends[i].offset, QUESTION_MS);
        scan->ends[i].reached = at->offset >= scan->ends[i].offset;
        scan->left += !scan->ends[i].reached;
    }
    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka does not tell the ends of a topic: %s",
                             rd_kafka_err2str(result));
}

/* ---- reading ---- */

static End *end_of(const Scan *scan, const Message *message)
{
    for (int i = 0; i < scan->list->cnt; i++)
        if (scan->list->elems[i].partition == message->partition)
            return &scan->ends[i];
    return NULL;
}

static Status show_message(const Message *message, TopicVisit visit, void *context, Error *error)
{
    MessageView view = message_view(message);
    Status status;

    if (!message_pack_headers(message, &view.headers))
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = visit(context, &view, error);
    free((void *)(uintptr_t)view.headers.data);
    return status;
}

/* A message, or the news that there is none up to its offset. */
static Status take_message(Scan *scan, const Message *message, TopicVisit visit, void *context, Error *error)
{
    End *end = message->rkt ? end_of(scan, message) : NULL;
    bool is_message = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    Status status = STATUS_OK;

    if (!is_message && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return status_fail(error, STATUS_RETRY, "Kafka: %s", rd_kafka_message_errstr(message));
    if (end == NULL)
        return STATUS_OK;
    if (is_message && message->offset < end->offset)
        status = show_message(message, visit, context, error);
    if (!end->reached && message->offset + is_message >= end->offset) {
        end->reached = true;
        scan->left--;
    }
    return status;
}

static Status read_to_ends(Scan *scan, TopicVisit visit, void *context, Error *error)
{
    Status status = STATUS_OK;
    int silence = 0;

    if (scan->left == 0)
        return STATUS_OK;
    if (rd_kafka_assign(scan->kafka, scan->list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return status_fail(error, STATUS_FATAL, "Kafka's client does not take the partitions");
    while (status == STATUS_OK && scan->left > 0) {
        Message *message = rd_kafka_consumer_poll(scan->kafka, POLL_MS);

        if (message) {
            silence = 0;
            status = take_message(scan, message, visit, context, error);
            message_release(message);
        } else if (++silence == SILENCE_MAX) {
            status = status_fail(error, STATUS_RETRY, "Kafka does not answer");
        }
    }
    return status;
}

Status topic_scan(const Config *config, const char *topic, bool *exists, TopicVisit visit, void *context,
                  Error *error)
{
    Scan scan;
    Status status = open_scan(&scan, config, error);

    *exists = false;
    if (status == STATUS_OK)
        status = list_partitions(&scan, topic, exists, error);
    if (status == STATUS_OK)
        status = find_ends(&scan, error);
    if (status == STATUS_OK)
        status = read_to_ends(&scan, visit, context, error);
    close_scan(&scan);
    return status;
}

Status topic_fetch(const Config *config, const char *topic, int32_t partition, int64_t offset,
                   TopicVisit visit, void *context, Error *error)
{
    Scan scan;
    Status status = open_scan(&scan, config, error);

    if (status == STATUS_OK) {
        (void)rd_kafka_topic_partition_list_add(scan.list, topic, partition);
        status = find_ends(&scan, error);
    }
    if (status == STATUS_OK && (offset < scan.list->elems[0].offset || offset >= scan.ends[0].offset))
        status = status_fail(error, STATUS_REJECT, "%s [%d] does not reach back to offset %lld any more",
                             topic, (int)partition, (long long)offset);
    if (status == STATUS_OK) {
        scan.list->elems[0].offset = offset;
        scan.ends[0].offset = offset + 1;
        scan.left = 1;
        status = read_to_ends(&scan, visit, context, error);
    }
    close_scan(&scan);
    return status;
}

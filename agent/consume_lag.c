/*
 * consume_lag.c - questions to the brokers: how far is the group, and does Kafka answer; see consume.h.
 *
 * Any thread may ask. The handle fetches nothing: a question on one that does would wait behind its long
 * poll.
 */
#include <time.h>

#include "agent/consume_internal.h"
#include "lib/clock.h"

#define LOADED_POLL_MS 50
#define QUESTION_MS    5000

/* For one question to the brokers; never long, so that a thread that is told to stop does. */
static int left_ms(int64_t until)
{
    int64_t left = until - clock_ms();

    return left < 1 ? 1 : left > QUESTION_MS ? QUESTION_MS : (int)left;
}

/* stop may be NULL. */
static Status wait_for_schemas(Consumer *consumer, int64_t until, const atomic_bool *stop, Error *error)
{
    int64_t end = consumer_schema_end(consumer, left_ms(until));

    while (end > 0 && atomic_load(&consumer->schema_position) < end) {
        struct timespec pause = {.tv_nsec = 5000000};

        if (clock_ms() >= until || (stop && atomic_load(stop)))
            return status_fail(error, STATUS_RETRY, "the schema topic has not been read to its end yet");
        (void)nanosleep(&pause, NULL);
    }
    return end < 0 ? status_fail(error, STATUS_RETRY, "Kafka does not answer") : STATUS_OK;
}

/* Every partition of the tables' topics. */
static rd_kafka_resp_err_t list_partitions(Consumer *consumer, int64_t until,
                                           rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_topic_partition_list_t *topics = consumer_list_topics(consumer, false);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(consumer->asking, 1, NULL, &metadata, left_ms(until));

    for (int t = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && t < metadata->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[t];

        if (rd_kafka_topic_partition_list_find(topics, topic->topic, RD_KAFKA_PARTITION_UA))
            for (int p = 0; p < topic->partition_cnt; p++)
                (void)rd_kafka_topic_partition_list_add(partitions, topic->topic, topic->partitions[p].id);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_destroy(topics);
    return result;
}

/* Puts the offsets of an answer into the list; any partition's error is the whole's. */
static rd_kafka_resp_err_t take_offsets(rd_kafka_event_t *event, rd_kafka_topic_partition_list_t *partitions)
{
    const rd_kafka_ListOffsets_result_t *result = rd_kafka_event_ListOffsets_result(event);
    const rd_kafka_ListOffsetsResultInfo_t **infos;
    size_t count = 0;

    if (rd_kafka_event_error(event) || result == NULL)
        return rd_kafka_event_error(event) ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__FAIL;
    infos = rd_kafka_ListOffsets_result_infos(result, &count);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_partition_t *at = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
        rd_kafka_topic_partition_t *asked =
            rd_kafka_topic_partition_list_find(partitions, at->topic, at->partition);

        if (at->err)
            return at->err;
        if (asked)
            asked->offset = at->offset;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The first or the next offset of every partition in the list, asked of each leader once. */
static rd_kafka_resp_err_t list_offsets(Consumer *consumer, rd_kafka_OffsetSpec_t spec, int64_t until,
                                        rd_kafka_topic_partition_list_t *partitions)
{
    char reason[128];
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(consumer->asking, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->asking);
    rd_kafka_event_t *event;
    rd_kafka_resp_err_t result =
        rd_kafka_AdminOptions_set_request_timeout(options, left_ms(until), reason, sizeof reason);

    for (int i = 0; i < partitions->cnt; i++)
        partitions->elems[i].offset = spec;
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_ListOffsets(consumer->asking, partitions, options, queue);
        /* The request ends by its own timeout; the longer one here only says that there is always an end. */
        event = rd_kafka_queue_poll(queue, 2 * QUESTION_MS);
        result = event ? take_offsets(event, partitions) : RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (event)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return result;
}

/* Every partition of the tables' topics, with its end as offset and its beginning as opaque. */
static Status list_ends(Consumer *consumer, int64_t until, rd_kafka_topic_partition_list_t **ends,
                        Error *error)
{
    rd_kafka_topic_partition_list_t *begins = NULL;
    rd_kafka_resp_err_t result;

    *ends = rd_kafka_topic_partition_list_new(16);
    result = list_partitions(consumer, until, *ends);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR && (*ends)->cnt > 0) {
        begins = rd_kafka_topic_partition_list_copy(*ends);
        result = list_offsets(consumer, RD_KAFKA_OFFSET_SPEC_EARLIEST, until, begins);
        if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
            result = list_offsets(consumer, RD_KAFKA_OFFSET_SPEC_LATEST, until, *ends);
        for (int i = 0; i < (*ends)->cnt; i++) /* both are in the order of the first */
            (*ends)->elems[i].opaque = (void *)(intptr_t)begins->elems[i].offset;
        rd_kafka_topic_partition_list_destroy(begins);
    }
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
    int64_t until = clock_ms() + timeout_ms;
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
    int64_t until = clock_ms() + timeout_ms;
    rd_kafka_topic_partition_list_t *ends = NULL;
    int64_t messages = 1;
    Status status = wait_for_schemas(consumer, until, stop, error);

    if (status == STATUS_OK)
        status = list_ends(consumer, until, &ends, error);
    while (status == STATUS_OK && messages > 0) {
        status = measure_lag(consumer, ends, until, NULL, NULL, &messages, error);
        if (status == STATUS_OK && messages > 0) {
            struct timespec pause = {.tv_nsec = LOADED_POLL_MS * 1000000L};

            if (clock_ms() >= until || atomic_load(stop))
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

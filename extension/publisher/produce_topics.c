/*
 * produce_topics.c - topics are created, and asked about; see produce.h.
 *
 *      producer_create_topic() --> created --> producer_ask_leaders() --> ready
 *                              '-> was there ------------------------------^
 *      producer_describe_topic() --> its partitions
 */
#include <stdio.h>

#include "produce_internal.h"

#define ADMIN_REQUEST_TIMEOUT_MS 10000
#define COMPACTED_SEGMENT_BYTES  "16777216"

/* ---- answers ---- */

/* Could the same request succeed later without anybody changing a setting? */
static bool admin_error_is_retriable(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        return false;
    default:
        /* INVALID_REPLICATION_FACTOR too: the other brokers may be on their way. */
        return true;
    }
}

static void handle_admin_failure(rd_kafka_event_t *event, rd_kafka_resp_err_t code, const char *what,
                                 const char *text, ProducerHandler *handler, void *context)
{
    char line[256];

    (void)snprintf(line, sizeof line, "%s: %s", what, text ? text : rd_kafka_err2str(code));
    handler(context, &(ProducerEvent){.kind = PRODUCER_TOPIC_FAILED,
                                      .retriable = admin_error_is_retriable(code),
                                      .name_is_taken = code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
                                      .tag = (uint64_t)(uintptr_t)rd_kafka_event_opaque(event),
                                      .text = line});
}

void produce_handle_created(rd_kafka_event_t *event, ProducerHandler *handler, void *context)
{
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_topic_result_t **topics;
    size_t count = 0;
    char what[300];

    if (code) {
        handle_admin_failure(event, code, "could not create a topic", rd_kafka_event_error_string(event),
                             handler, context);
        return;
    }
    topics = rd_kafka_CreateTopics_result_topics(result, &count);
    for (size_t i = 0; i < count; i++) {
        code = rd_kafka_topic_result_error(topics[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            handler(context, &(ProducerEvent){.kind = code ? PRODUCER_TOPIC_READY : PRODUCER_TOPIC_CREATED,
                                              .tag = (uint64_t)(uintptr_t)rd_kafka_event_opaque(event)});
            continue;
        }
        (void)snprintf(what, sizeof what, "could not create topic \"%s\"",
                       rd_kafka_topic_result_name(topics[i]));
        handle_admin_failure(event, code, what, rd_kafka_topic_result_error_string(topics[i]), handler,
                             context);
    }
}

void produce_handle_described(rd_kafka_event_t *event, ProducerHandler *handler, void *context)
{
    const rd_kafka_DescribeTopics_result_t *result = rd_kafka_event_DescribeTopics_result(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_TopicDescription_t **topics = NULL;
    const rd_kafka_error_t *error;
    size_t count = 0, partitions = 0;

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        topics = rd_kafka_DescribeTopics_result_topics(result, &count);
        if (count != 1)
            code = RD_KAFKA_RESP_ERR_UNKNOWN;
        else if ((error = rd_kafka_TopicDescription_error(topics[0])) != NULL)
            code = rd_kafka_error_code(error);
    }
    if (code) {
        handle_admin_failure(event, code, "could not ask for a topic's partitions", NULL, handler, context);
        return;
    }
    (void)rd_kafka_TopicDescription_partitions(topics[0], &partitions);
    handler(context, &(ProducerEvent){.kind = PRODUCER_TOPIC_PARTITIONS,
                                      .partitions = (int32_t)partitions,
                                      .tag = (uint64_t)(uintptr_t)rd_kafka_event_opaque(event)});
}

void produce_handle_leaders(rd_kafka_event_t *event, ProducerHandler *handler, void *context)
{
    const rd_kafka_ListOffsets_result_t *result = rd_kafka_event_ListOffsets_result(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_ListOffsetsResultInfo_t **infos = NULL;
    size_t count = 0;
    char text[256];

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        infos = rd_kafka_ListOffsets_result_infos(result, &count);
    for (size_t i = 0; i < count && !code; i++)
        code = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i])->err;
    (void)snprintf(text, sizeof text, "a new topic's partitions have no leader yet: %s",
                   rd_kafka_err2str(code));
    handler(context, &(ProducerEvent){.kind = code ? PRODUCER_TOPIC_LEADERLESS : PRODUCER_TOPIC_READY,
                                      .tag = (uint64_t)(uintptr_t)rd_kafka_event_opaque(event),
                                      .text = text});
}

/* ---- questions ---- */

static rd_kafka_AdminOptions_t *admin_options(Producer *producer, rd_kafka_admin_op_t operation, uint64_t tag)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(producer->handle, operation);
    char error[128];

    /* A refused timeout leaves librdkafka's default of a minute: slower, not wrong. */
    if (rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_REQUEST_TIMEOUT_MS, error, sizeof error))
        message_log(MESSAGE_DEBUG, "librdkafka refused a request timeout: %s", error);
    rd_kafka_AdminOptions_set_opaque(options, (void *)(uintptr_t)tag);
    return options;
}

bool producer_create_topic(Producer *producer, const char *name, int partitions, int replication_factor,
                           bool compacted, uint64_t tag, Failure *failure)
{
    char error[256], bytes_max[16];
    rd_kafka_AdminOptions_t *options;
    rd_kafka_resp_err_t code;
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, partitions, replication_factor, error, sizeof error);

    if (topic == NULL)
        return failure_set(failure, "could not create topic \"%s\": %s", name, error);
    (void)snprintf(bytes_max, sizeof bytes_max, "%u", PRODUCE_MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES);
    code = rd_kafka_NewTopic_set_config(topic, "max.message.bytes", bytes_max);
    if (!code && compacted)
        code = rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
    /* Only closed segments are compacted, and the topic is read from its beginning. */
    if (!code && compacted)
        code = rd_kafka_NewTopic_set_config(topic, "segment.bytes", COMPACTED_SEGMENT_BYTES);
    if (code) {
        rd_kafka_NewTopic_destroy(topic);
        return failure_set(failure, "could not create topic \"%s\": %s", name, rd_kafka_err2str(code));
    }
    options = admin_options(producer, RD_KAFKA_ADMIN_OP_CREATETOPICS, tag);
    rd_kafka_CreateTopics(producer->handle, &topic, 1, options, producer->events);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
    return true;
}

bool producer_describe_topic(Producer *producer, const char *name, uint64_t tag, Failure *failure)
{
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
    rd_kafka_AdminOptions_t *options;

    if (topics == NULL)
        return failure_set(failure, "could not ask for the partitions of topic \"%s\"", name);
    options = admin_options(producer, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, tag);
    rd_kafka_DescribeTopics(producer->handle, topics, options, producer->events);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_TopicCollection_destroy(topics);
    return true;
}

void producer_ask_leaders(Producer *producer, const ProduceTopic *topic, int partitions, uint64_t tag)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    rd_kafka_AdminOptions_t *options = admin_options(producer, RD_KAFKA_ADMIN_OP_LISTOFFSETS, tag);

    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, producer_topic_name(topic), i)->offset =
            RD_KAFKA_OFFSET_SPEC_LATEST;
    rd_kafka_ListOffsets(producer->handle, list, options, producer->events);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_topic_partition_list_destroy(list);
}

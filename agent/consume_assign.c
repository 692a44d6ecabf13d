/*
 * consume_assign.c - partitions come and go, and each begins where its owner says; see consume.h.
 *
 *      assigned --> what Kafka knows of them --events.assigned--> where to begin --> read from there
 *                                                                 '-- not known yet: paused, consumer_place()
 *      fetched beyond what Kafka keeps --events.lost_place--> consumer_watermarks(), consumer_place()
 *
 * librdkafka is told where to begin, and never jumps by itself (auto.offset.reset = error).
 */
#include <stdlib.h>
#include <string.h>

#include "agent/consume_internal.h"
#include "lib/log.h"

#define QUESTION_MS 5000

/* Written with each commit; see offsets.h, "marked". */
static const char commit_mark[] = "walhouse 1";

void consumer_mark_commit(rd_kafka_topic_partition_t *partition)
{
    /* librdkafka frees it with the list. */
    partition->metadata = strdup(commit_mark);
    partition->metadata_size = partition->metadata ? sizeof commit_mark - 1 : 0;
}

/* ---- what Kafka knows ---- */

static rd_kafka_topic_partition_list_t *list_starts(const PartitionStart *starts, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (size_t i = 0; i < count; i++)
        (void)rd_kafka_topic_partition_list_add(list, starts[i].topic, starts[i].partition);
    return list;
}

static Status ask_committed(Consumer *consumer, PartitionStart *starts, size_t count, Error *error)
{
    rd_kafka_topic_partition_list_t *list = list_starts(starts, count);
    rd_kafka_resp_err_t result = rd_kafka_committed(consumer->asking, list, QUESTION_MS);

    for (int i = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *found = &list->elems[i];

        result = found->err;
        starts[i].committed = found->offset >= 0 ? found->offset : -1;
        starts[i].marked = found->metadata_size == sizeof commit_mark - 1 &&
                           memcmp(found->metadata, commit_mark, sizeof commit_mark - 1) == 0;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka does not say what the group has committed: %s",
                             rd_kafka_err2str(result));
}

static void note_topic_ids(const rd_kafka_DescribeTopics_result_t *result, PartitionStart *starts,
                           size_t count)
{
    size_t found = 0;
    const rd_kafka_TopicDescription_t **topics = rd_kafka_DescribeTopics_result_topics(result, &found);

    for (size_t t = 0; t < found; t++) {
        const char *name = rd_kafka_TopicDescription_name(topics[t]);

        if (rd_kafka_error_code(rd_kafka_TopicDescription_error(topics[t])) != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        for (size_t i = 0; i < count; i++)
            if (strcmp(starts[i].topic, name) == 0)
                (void)snprintf(starts[i].topic_id, sizeof starts[i].topic_id, "%s",
                               rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(topics[t])));
    }
}

/* A topic that was made anew has another id. Without the answer it is taken for the same one. */
static void ask_topic_ids(Consumer *consumer, PartitionStart *starts, size_t count)
{
    const char **names = calloc(count, sizeof *names);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->asking);
    rd_kafka_TopicCollection_t *topics;
    rd_kafka_event_t *event = NULL;
    size_t name_count = 0;

    for (size_t i = 0; names && i < count; i++) {
        bool again = false;

        for (size_t n = 0; n < name_count && !again; n++)
            again = strcmp(names[n], starts[i].topic) == 0;
        if (!again)
            names[name_count++] = starts[i].topic;
    }
    if (name_count > 0) {
        topics = rd_kafka_TopicCollection_of_topic_names(names, name_count);
        rd_kafka_DescribeTopics(consumer->asking, topics, NULL, queue);
        event = rd_kafka_queue_poll(queue, QUESTION_MS);
        rd_kafka_TopicCollection_destroy(topics);
    }
    if (event && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        note_topic_ids(rd_kafka_event_DescribeTopics_result(event), starts, count);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    free(names);
}

Status consumer_watermarks(Consumer *consumer, const char *topic, int32_t partition, int64_t *low,
                           int64_t *high, Error *error)
{
    rd_kafka_resp_err_t result =
        rd_kafka_query_watermark_offsets(consumer->asking, topic, partition, low, high, QUESTION_MS);

    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka does not say where %s [%d] begins: %s", topic,
                             (int)partition, rd_kafka_err2str(result));
}

Status consumer_ask_starts(Consumer *consumer, PartitionStart *starts, size_t count, Error *error)
{
    Status status = ask_committed(consumer, starts, count, error);

    if (status != STATUS_OK)
        return status;
    ask_topic_ids(consumer, starts, count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        int64_t high;

        if (starts[i].committed < 0)
            status = consumer_watermarks(consumer, starts[i].topic, starts[i].partition, &starts[i].log_start,
                                         &high, error);
        starts[i].known = status == STATUS_OK;
    }
    return status;
}

/* ---- rebalances ---- */

static void assign(Consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
    PartitionStart *starts = calloc((size_t)partitions->cnt + 1, sizeof *starts);
    rd_kafka_topic_partition_list_t *waiting = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *failure;
    Error error;

    /* Without memory librdkafka takes the group's offsets, and nobody rewinds. */
    for (int i = 0; starts && i < partitions->cnt; i++)
        starts[i] = (PartitionStart){
            .topic = partitions->elems[i].topic, .partition = partitions->elems[i].partition, .start = -1};
    if (starts && partitions->cnt > 0) {
        if (consumer_ask_starts(consumer, starts, (size_t)partitions->cnt, &error) != STATUS_OK)
            log_warning("%s", error.text);
        consumer->events.assigned(consumer->events.context, starts, (size_t)partitions->cnt);
    }
    for (int i = 0; starts && i < partitions->cnt; i++) {
        rd_kafka_topic_partition_t *partition = &partitions->elems[i];

        if (starts[i].start >= 0 &&
            !consumer_open_commit(consumer, partition->topic, partition->partition, starts[i].start, false))
            log_error("out of memory: %s [%d] is not committed before the next rebalance", partition->topic,
                      (int)partition->partition);
        partition->offset = starts[i].start >= 0 ? starts[i].start : RD_KAFKA_OFFSET_BEGINNING;
        if (starts[i].start < 0)
            (void)rd_kafka_topic_partition_list_add(waiting, partition->topic, partition->partition);
    }
    failure = rd_kafka_incremental_assign(consumer->group, partitions);
    if (failure) {
        log_error("Kafka: rebalance: %s", rd_kafka_error_string(failure));
        rd_kafka_error_destroy(failure);
    }
    /* librdkafka keeps it in mind where a partition was paused before it went to another. */
    (void)consumer_pause_as_all(consumer, partitions);
    (void)rd_kafka_pause_partitions(consumer->group, waiting);
    rd_kafka_topic_partition_list_destroy(waiting);
    free(starts);
}

static void unassign(Consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
    bool lost = rd_kafka_assignment_lost(consumer->group);
    rd_kafka_error_t *failure;

    log_info("%d partitions %s", partitions->cnt, lost ? "lost" : "revoked");
    if (!lost)
        consumer->events.revoke(consumer->events.context);
    /* What is no longer ours must not be committed by us again. */
    for (int i = 0; i < partitions->cnt; i++) {
        consumer_close_commit(consumer, partitions->elems[i].topic, partitions->elems[i].partition);
        consumer->events.unassigned(consumer->events.context, partitions->elems[i].topic,
                                    partitions->elems[i].partition);
    }
    failure = rd_kafka_incremental_unassign(consumer->group, partitions);
    if (failure) {
        log_error("Kafka: rebalance: %s", rd_kafka_error_string(failure));
        rd_kafka_error_destroy(failure);
    }
}

void consumer_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    Consumer *consumer = opaque;

    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        log_info("%d partitions assigned", partitions->cnt);
        assign(consumer, partitions);
        atomic_store(&consumer->metrics->group_joined, true);
    } else {
        unassign(consumer, partitions);
    }
}

/* ---- another place ---- */

static bool replace(Consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_error_t *failure = rd_kafka_incremental_unassign(consumer->group, list);

    if (failure == NULL)
        failure = rd_kafka_incremental_assign(consumer->group, list);
    if (failure == NULL)
        return consumer_pause_as_all(consumer, list);
    log_warning("Kafka: cannot go to other offsets: %s", rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
    return false;
}

bool consumer_place(Consumer *consumer, const PartitionOffset *offsets, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count + 1);
    rd_kafka_topic_partition_list_t *assigned = NULL;
    bool ok = rd_kafka_assignment(consumer->group, &assigned) == RD_KAFKA_RESP_ERR_NO_ERROR;

    for (size_t i = 0; ok && i < count; i++) {
        if (!rd_kafka_topic_partition_list_find(assigned, offsets[i].topic, offsets[i].partition))
            continue;
        rd_kafka_topic_partition_list_add(list, offsets[i].topic, offsets[i].partition)->offset =
            offsets[i].offset;
        ok = consumer_open_commit(consumer, offsets[i].topic, offsets[i].partition, offsets[i].offset, true);
    }
    /* A seek would not do: a partition whose fetching has failed does not take one. */
    ok = ok && (list->cnt == 0 || replace(consumer, list));
    if (assigned)
        rd_kafka_topic_partition_list_destroy(assigned);
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

/*
 * kafka_forget.c - makes Kafka forget: a group's offsets, as their expiry does, or a partition's first
 * messages, as retention does.
 *
 *      kafka_forget BROKERS group GROUP
 *      kafka_forget BROKERS records TOPIC PARTITION BEFORE
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000

static bool forget_group(rd_kafka_t *kafka, const char *name)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka);
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(name);
    const rd_kafka_group_result_t **results = NULL;
    rd_kafka_event_t *event;
    size_t count = 0;
    bool ok;

    rd_kafka_DeleteGroups(kafka, &group, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (event && !rd_kafka_event_error(event))
        results = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    ok = count == 1 && rd_kafka_group_result_error(results[0]) == NULL;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_DeleteGroup_destroy(group);
    rd_kafka_queue_destroy(queue);
    return ok;
}

static bool forget_records(rd_kafka_t *kafka, const char *topic, int32_t partition, int64_t before)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    const rd_kafka_topic_partition_list_t *results = NULL;
    rd_kafka_DeleteRecords_t *records;
    rd_kafka_event_t *event;
    bool ok;

    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
    records = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(kafka, &records, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (event && !rd_kafka_event_error(event))
        results = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    ok = results && results->cnt == 1 && results->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    return ok;
}

int main(int argc, char **argv)
{
    bool of_group = argc == 4 && strcmp(argv[2], "group") == 0;
    bool of_records = argc == 6 && strcmp(argv[2], "records") == 0;
    rd_kafka_conf_t *conf;
    rd_kafka_t *kafka;
    char error[256];
    bool ok;

    if (!of_group && !of_records) {
        (void)fputs("usage: kafka_forget BROKERS group GROUP | records TOPIC PARTITION BEFORE\n", stderr);
        return 2;
    }
    conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], error, sizeof error) != RD_KAFKA_CONF_OK ||
        (kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error)) == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)fprintf(stderr, "kafka_forget: %s\n", error);
        return 1;
    }
    ok = of_group
             ? forget_group(kafka, argv[3])
             : forget_records(kafka, argv[3], (int32_t)strtol(argv[4], NULL, 10), strtoll(argv[5], NULL, 10));
    rd_kafka_destroy(kafka);
    if (!ok)
        (void)fprintf(stderr, "kafka_forget: Kafka did not forget %s\n", argv[3]);
    return ok ? 0 : 1;
}

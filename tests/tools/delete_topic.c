/*
 * delete_topic.c - deletes one topic, for tests of what becomes of a pipeline then.
 *
 *      delete_topic BROKERS TOPIC
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>

#define TIMEOUT_MS 20000

/* false: said on standard error. */
static bool delete_topic(rd_kafka_t *kafka, const char *name)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    const rd_kafka_topic_result_t **results;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_event_t *event;
    size_t count = 0;

    rd_kafka_DeleteTopics(kafka, &topic, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (event != NULL)
        code = rd_kafka_event_error(event);
    if (event != NULL && code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
        if (count == 1)
            code = rd_kafka_topic_result_error(results[0]);
    }
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)fprintf(stderr, "delete_topic: %s: %s\n", name, rd_kafka_err2str(code));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

int main(int argc, char **argv)
{
    rd_kafka_conf_t *conf;
    rd_kafka_t *kafka;
    char error[256];
    bool ok;

    if (argc != 3) {
        (void)fputs("usage: delete_topic BROKERS TOPIC\n", stderr);
        return 2;
    }
    conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], error, sizeof error) != RD_KAFKA_CONF_OK ||
        (kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error)) == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)fprintf(stderr, "delete_topic: %s\n", error);
        return 1;
    }
    ok = delete_topic(kafka, argv[2]);
    rd_kafka_destroy(kafka);
    return ok ? 0 : 1;
}

/*
 * topic_reader.c - librdkafka's simple consumer: no group, no offsets kept; see topic_reader.h.
 *
 * What goes wrong (a broker that is away, a leader that moves) librdkafka tries again by itself; the producer
 * beside it says so to the operator.
 */
#include "topic_reader.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>

#include "properties.h"

#define MESSAGES_PER_POLL 10000
/* The values are small, and so is what is fetched ahead. */
#define QUEUED_KBYTES_MAX "4096"

struct TopicReader {
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
};

/* The reason that librdkafka gives may repeat the value, which may be a secret. */
static bool set_property(void *context, const char *name, const char *value, Failure *failure)
{
    rd_kafka_conf_t *conf = context;

    if (rd_kafka_conf_set(conf, name, value, NULL, 0) == RD_KAFKA_CONF_OK)
        return true;
    return failure_set(failure, "Kafka setting \"%s\" was refused", name);
}

/* The producer's log says the same; what is said here of its settings is that they are the producer's. */
static void ignore_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    (void)level;
    message_log(MESSAGE_DEBUG, "librdkafka (reader): %s: %s", facility, text);
}

static rd_kafka_conf_t *configure(const TopicReaderSettings *settings, Failure *failure)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, ignore_log);
    if (set_property(conf, "bootstrap.servers", settings->brokers, failure) &&
        set_property(conf, "client.id", "walhouse-publisher", failure) &&
        set_property(conf, "enable.partition.eof", "true", failure) &&
        set_property(conf, "queued.max.messages.kbytes", QUEUED_KBYTES_MAX, failure) &&
        set_property(conf, "fetch.wait.max.ms", settings->fetch_wait_ms, failure) &&
        set_property(conf, "auto.offset.reset", "earliest", failure) &&
        set_property(conf, "reconnect.backoff.max.ms", "2000", failure) &&
        (settings->properties_file == NULL ||
         properties_read(settings->properties_file, set_property, conf, failure)))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

TopicReader *topic_reader_open(const TopicReaderSettings *settings, Failure *failure)
{
    TopicReader *reader = calloc(1, sizeof *reader);
    rd_kafka_conf_t *conf = reader ? configure(settings, failure) : NULL;
    char error[256];

    if (conf) {
        reader->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
        if (reader->handle == NULL) {
            rd_kafka_conf_destroy(conf);
            failure_set(failure, "could not create a Kafka consumer");
        }
    }
    if (reader && reader->handle) {
        reader->queue = rd_kafka_queue_new(reader->handle);
        reader->topic = rd_kafka_topic_new(reader->handle, settings->topic, NULL);
        if (settings->wake_fd >= 0)
            rd_kafka_queue_io_event_enable(reader->queue, settings->wake_fd, "!", 1);
        if (reader->topic &&
            rd_kafka_consume_start_queue(reader->topic, 0, settings->offset, reader->queue) == 0)
            return reader;
    }
    failure_set(failure, "could not read topic \"%s\": %s", settings->topic,
                reader ? rd_kafka_err2str(rd_kafka_last_error()) : "out of memory");
    topic_reader_close(reader);
    return NULL;
}

void topic_reader_close(TopicReader *reader)
{
    if (reader == NULL)
        return;
    if (reader->topic) {
        (void)rd_kafka_consume_stop(reader->topic, 0);
        rd_kafka_topic_destroy(reader->topic);
    }
    if (reader->queue) {
        rd_kafka_queue_io_event_enable(reader->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(reader->queue);
    }
    if (reader->handle)
        rd_kafka_destroy_flags(reader->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(reader);
}

bool topic_reader_poll(TopicReader *reader, TopicReaderHandler *handler, void *context, const char **trouble)
{
    bool at_end = false;
    bool more = true;

    for (int i = 0; i < MESSAGES_PER_POLL && !at_end && more; i++) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(reader->queue, 0);

        if (message == NULL)
            break;
        at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            more = handler(context, (WhSlice){message->payload, message->len}, message->offset);
        else if (!at_end)
            *trouble = rd_kafka_err2str(message->err);
        rd_kafka_message_destroy(message);
    }
    return at_end;
}

/*
 * produce.c - an idempotent librdkafka producer whose every answer comes through one event queue; see
 * produce.h.
 *
 *      producer_send() --copy--> librdkafka's queue --batches--> brokers
 *      handler <-- producer_poll() <-- event queue <-- deliveries, errors, log lines, topic answers
 *                                           |
 *                                           +--> one byte into the wake pipe
 */
#define _GNU_SOURCE /* pipe2 */
#include "produce.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "produce_internal.h"
#include "properties.h"

#define TOPICS_MAX 65536

static_assert(sizeof(void *) >= sizeof(uint64_t), "tags travel as opaque pointers");

/* ---- settings ---- */

static bool set_property(void *context, const char *name, const char *value, Failure *failure)
{
    rd_kafka_conf_t *conf = context;
    char error[256];

    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK)
        return true;
    return failure_set(failure, "Kafka setting \"%s\" was refused: %s", name, error);
}

/* Of the properties file. The reason that librdkafka gives may repeat the value, which may be a secret. */
static bool set_file_property(void *context, const char *name, const char *value, Failure *failure)
{
    rd_kafka_conf_t *conf = context;

    if (rd_kafka_conf_set(conf, name, value, NULL, 0) == RD_KAFKA_CONF_OK)
        return true;
    return failure_set(failure,
                       "librdkafka does not take the value of property \"%s\" in the properties file", name);
}

static bool set_number(rd_kafka_conf_t *conf, const char *name, uint32_t value, Failure *failure)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", value);
    return set_property(conf, name, text, failure);
}

static bool configure(rd_kafka_conf_t *conf, const ProducerSettings *settings, Failure *failure)
{
    static const char *const fixed[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        /* No message ever expires: an event that is not delivered must never be passed over. */
        {"message.timeout.ms", "0"},
        {"partitioner", "murmur2_random"},
        {"compression.type", "lz4"},
        {"linger.ms", "2"},
        {"batch.size", "1000000"}, /* PRODUCE_BATCH_BYTES_MAX */
        {"log.queue", "true"},
        {"log.connection.close", "false"},
        /* An admin request or a truncate should not wait long for a topic to be seen. */
        {"topic.metadata.refresh.interval.ms", "30000"},
        {"reconnect.backoff.max.ms", "2000"},
    };
    bool ok = true;

    for (size_t i = 0; ok && i < sizeof fixed / sizeof fixed[0]; i++)
        ok = set_property(conf, fixed[i][0], fixed[i][1], failure);
    ok = ok && set_property(conf, "bootstrap.servers", settings->brokers, failure);
    ok = ok && set_property(conf, "client.id", settings->client_id, failure);
    ok = ok && set_number(conf, "queue.buffering.max.messages", settings->messages_max, failure);
    ok = ok && set_number(conf, "queue.buffering.max.kbytes", settings->kbytes_max, failure);
    ok = ok &&
         set_number(conf, "message.max.bytes", PRODUCE_MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES, failure);
    if (ok && settings->properties_file)
        ok = properties_read(settings->properties_file, set_file_property, conf, failure);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    return ok;
}

/* ---- life ---- */

static bool open_wake_pipe(Producer *producer, Failure *failure)
{
    if (pipe2(producer->wake, O_NONBLOCK | O_CLOEXEC) == 0)
        return true;
    producer->wake[0] = producer->wake[1] = -1;
    return failure_set(failure, "could not create a pipe: %s", strerror(errno));
}

static bool open_handle(Producer *producer, const ProducerSettings *settings, Failure *failure)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];

    if (!configure(conf, settings, failure)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return failure_set(failure, "could not create the Kafka producer: %s", error);
    }
    producer->events = rd_kafka_queue_get_main(producer->handle);
    if (rd_kafka_set_log_queue(producer->handle, producer->events) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failure_set(failure, "could not direct librdkafka's log");
    rd_kafka_queue_io_event_enable(producer->events, producer->wake[1], "!", 1);
    return true;
}

Producer *producer_open(const ProducerSettings *settings, Failure *failure)
{
    Producer *producer = calloc(1, sizeof *producer);

    if (producer == NULL) {
        failure_set(failure, "out of memory");
        return NULL;
    }
    if (!open_wake_pipe(producer, failure) || !open_handle(producer, settings, failure)) {
        producer_close(producer);
        return NULL;
    }
    return producer;
}

void producer_close(Producer *producer)
{
    if (producer == NULL)
        return;
    for (size_t i = 0; i < producer->topic_count; i++)
        rd_kafka_topic_destroy(producer->topics[i]);
    free(producer->topics);
    if (producer->events) {
        rd_kafka_queue_io_event_enable(producer->events, -1, NULL, 0);
        rd_kafka_queue_destroy(producer->events);
    }
    if (producer->handle) {
        rd_kafka_purge(producer->handle,
                       RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy(producer->handle);
    }
    for (int i = 0; i < 2; i++)
        if (producer->wake[i] >= 0)
            close(producer->wake[i]);
    free(producer);
}

int producer_wake_fd(const Producer *producer)
{
    return producer->wake[0];
}

int producer_wake_end(const Producer *producer)
{
    return producer->wake[1];
}

/* ---- answers ---- */

static void log_line(rd_kafka_event_t *event)
{
    const char *facility, *text;
    int level;

    if (rd_kafka_event_log(event, &facility, &text, &level) != 0)
        return;
    message_log(level <= LOG_ERR       ? MESSAGE_WARNING
                : level <= LOG_WARNING ? MESSAGE_WARNING
                : level <= LOG_INFO    ? MESSAGE_INFO
                                       : MESSAGE_DEBUG,
                "librdkafka: %s: %s", facility, text);
}

static WhSlice message_lsn_of(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, "walhouse.message_lsn", &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        return (WhSlice){0};
    return (WhSlice){value, size};
}

static void fill_failure(ProducerEvent *out, const rd_kafka_message_t *message, char *text, size_t text_size)
{
    out->topic = rd_kafka_topic_name(message->rkt);
    out->key = (WhSlice){message->key, message->key_len};
    out->value = (WhSlice){message->payload, message->len};
    out->message_lsn = message_lsn_of(message);
    out->text = text;
    out->kind = PRODUCER_DELIVERY_FAILED;
    if (message->err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        (void)snprintf(text, text_size, "topic \"%s\": %s", out->topic, rd_kafka_err2str(message->err));
    } else if (message->len + message->key_len > PRODUCE_BATCH_BYTES_MAX) {
        out->kind = PRODUCER_TOO_LARGE;
        (void)snprintf(text, text_size, "the topic takes no message of %zu bytes", message->len);
    } else {
        (void)snprintf(text, text_size,
                       "topic \"%s\" takes no batch of %u bytes. Hint: raise its max.message.bytes, or set "
                       "batch.size in the properties file.",
                       out->topic, PRODUCE_BATCH_BYTES_MAX);
    }
}

/*
 * librdkafka takes a message for delivered when a later one of its partition is, as a broker should refuse
 * that one. A broker that has nothing of this producer in the partition yet takes any (KAFKA-15591): where
 * the first was refused, as the leader was new, it is lost. A delivery that a broker answered for has an
 * offset.
 */
static void fill_unproven(ProducerEvent *out, const rd_kafka_message_t *message, char *text, size_t text_size)
{
    out->kind = PRODUCER_DELIVERY_FAILED;
    out->topic = rd_kafka_topic_name(message->rkt);
    out->text = text;
    (void)snprintf(text, text_size,
                   "topic \"%s\" partition %" PRId32
                   ": a later message was taken, and what became of this one is "
                   "not known; it is sent again",
                   out->topic, message->partition);
}

static void handle_deliveries(rd_kafka_event_t *event, ProducerHandler *handler, void *context)
{
    const rd_kafka_message_t *message;
    char text[512];

    while ((message = rd_kafka_event_message_next(event)) != NULL) {
        ProducerEvent out = {
            .kind = PRODUCER_DELIVERED, .tag = (uint64_t)(uintptr_t)message->_private, .size = message->len};

        if (message->err)
            fill_failure(&out, message, text, sizeof text);
        else if (message->offset < 0)
            fill_unproven(&out, message, text, sizeof text);
        handler(context, &out);
    }
}

static void handle_error(Producer *producer, rd_kafka_event_t *event, ProducerHandler *handler, void *context)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);
    const char *end = strstr(text, " (after ");
    char fatal_text[256], line[256];

    if (code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event)) {
        code = rd_kafka_fatal_error(producer->handle, fatal_text, sizeof fatal_text);
        handler(context, &(ProducerEvent){.kind = PRODUCER_FATAL, .text = code ? fatal_text : text});
    } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        handler(context, &(ProducerEvent){.kind = PRODUCER_UNREACHABLE, .text = "no Kafka broker answers"});
    } else {
        /* Everything else is librdkafka telling what it is recovering from; how often it tried is left out.
         */
        (void)snprintf(line, sizeof line, "%.*s", (int)(end ? end - text : (ptrdiff_t)strlen(text)), text);
        handler(context, &(ProducerEvent){.kind = PRODUCER_TROUBLE, .text = line});
    }
}

static void drain_wake_pipe(Producer *producer)
{
    char bytes[64];

    while (read(producer->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        ;
}

bool producer_poll(Producer *producer, ProducerHandler *handler, void *context, unsigned events_max)
{
    rd_kafka_event_t *event;

    drain_wake_pipe(producer);
    for (unsigned i = 0; i < events_max; i++) {
        event = rd_kafka_queue_poll(producer->events, 0);
        if (event == NULL)
            return false;
        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
            handle_deliveries(event, handler, context);
            break;
        case RD_KAFKA_EVENT_ERROR:
            handle_error(producer, event, handler, context);
            break;
        case RD_KAFKA_EVENT_LOG:
            log_line(event);
            break;
        case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
            produce_handle_created(event, handler, context);
            break;
        case RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT:
            produce_handle_described(event, handler, context);
            break;
        case RD_KAFKA_EVENT_LISTOFFSETS_RESULT:
            produce_handle_leaders(event, handler, context);
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(event);
    }
    return true;
}

/* ---- requests ---- */

static bool keep_topic(Producer *producer, rd_kafka_topic_t *topic)
{
    rd_kafka_topic_t **grown;
    size_t capacity = producer->topic_capacity ? producer->topic_capacity * 2 : 64;

    if (producer->topic_count == producer->topic_capacity) {
        grown = capacity <= TOPICS_MAX ? realloc(producer->topics, capacity * sizeof *grown) : NULL;
        if (grown == NULL)
            return false;
        producer->topics = grown;
        producer->topic_capacity = capacity;
    }
    producer->topics[producer->topic_count++] = topic;
    return true;
}

ProduceTopic *producer_topic(Producer *producer, const char *name, Failure *failure)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->handle, name, NULL);

    if (topic == NULL) {
        failure_set(failure, "could not use topic \"%s\": %s", name, rd_kafka_err2str(rd_kafka_last_error()));
        return NULL;
    }
    if (!keep_topic(producer, topic)) {
        rd_kafka_topic_destroy(topic);
        failure_set(failure, "could not use topic \"%s\": too many topics, or out of memory", name);
        return NULL;
    }
    return (ProduceTopic *)topic;
}

const char *producer_topic_name(const ProduceTopic *topic)
{
    return rd_kafka_topic_name((const rd_kafka_topic_t *)topic);
}

static bool refuse_size(const rd_kafka_topic_t *topic, WhSlice value, Failure *failure)
{
    return value.size > PRODUCE_MESSAGE_BYTES_MAX &&
           !failure_set(failure,
                        "a message of %zu bytes for topic \"%s\" is larger than the limit of %u bytes",
                        value.size, rd_kafka_topic_name(topic), PRODUCE_MESSAGE_BYTES_MAX);
}

static ProduceResult send_failed(const rd_kafka_topic_t *topic, rd_kafka_resp_err_t code, Failure *failure)
{
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return PRODUCE_LATER;
    failure_set(failure, "could not produce to topic \"%s\": %s", rd_kafka_topic_name(topic),
                rd_kafka_err2str(code));
    return PRODUCE_REFUSED;
}

ProduceResult producer_send(Producer *producer, ProduceTopic *topic, int32_t partition, WhSlice key,
                            WhSlice value, uint64_t tag, Failure *failure)
{
    rd_kafka_topic_t *rkt = (rd_kafka_topic_t *)topic;

    (void)producer;
    if (refuse_size(rkt, value, failure))
        return PRODUCE_REFUSED;
    /* librdkafka copies the value; its prototype lacks a const. */
    if (rd_kafka_produce(rkt, partition < 0 ? RD_KAFKA_PARTITION_UA : partition, RD_KAFKA_MSG_F_COPY,
                         (void *)(uintptr_t)value.data, value.size, key.data, key.size,
                         (void *)(uintptr_t)tag) == 0)
        return PRODUCE_SENT;
    return send_failed(rkt, rd_kafka_last_error(), failure);
}

ProduceResult producer_send_with_headers(Producer *producer, ProduceTopic *topic, int32_t partition,
                                         WhSlice key, WhSlice value, const ProduceHeader *headers,
                                         size_t header_count, uint64_t tag, Failure *failure)
{
    rd_kafka_topic_t *rkt = (rd_kafka_topic_t *)topic;
    rd_kafka_headers_t *list = rd_kafka_headers_new(header_count);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (refuse_size(rkt, value, failure)) {
        rd_kafka_headers_destroy(list);
        return PRODUCE_REFUSED;
    }
    for (size_t i = 0; i < header_count && !code; i++)
        code = rd_kafka_header_add(list, headers[i].name, -1, headers[i].value.data,
                                   (ssize_t)headers[i].value.size);
    if (!code)
        code = rd_kafka_producev(producer->handle, RD_KAFKA_V_RKT(rkt),
                                 RD_KAFKA_V_PARTITION(partition < 0 ? RD_KAFKA_PARTITION_UA : partition),
                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key.data, key.size),
                                 RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.size),
                                 RD_KAFKA_V_HEADERS(list), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)tag),
                                 RD_KAFKA_V_END);
    if (!code)
        return PRODUCE_SENT;
    /* The list is librdkafka's only when the message was taken. */
    rd_kafka_headers_destroy(list);
    return send_failed(rkt, code, failure);
}

/*
 * consume.c - the group's messages out of Kafka, its offsets back; see consume.h.
 *
 *      rows and control events --> consumer_poll()
 *
 * Offsets are consume_commit.c's, the schema topic is consume_schemas.c's, where partitions begin is
 * consume_assign.c's, questions to the brokers are consume_lag.c's.
 */
#include "agent/consume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/consume_internal.h"
#include "agent/kafka_config.h"
#include "extension/common/event.h"
#include "lib/clock.h"
#include "lib/log.h"

#define FETCH_BYTES_MAX           52428800LL /* librdkafka's own defaults */
#define PARTITION_FETCH_BYTES_MAX 1048576LL
#define PARTITION_FETCH_BYTES_MIN 65536LL
#define TOPICS_MAX                10000
#define SUBSCRIBE_PAUSE_MS        200

/* ---- callbacks of librdkafka, all called from consumer_poll() and consumer_close() ---- */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    Consumer *consumer = opaque;

    (void)rk;
    /* Said again with every try to connect, and worth one line. */
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        if (!atomic_exchange(&consumer->metrics->kafka_reachable, false))
            return;
        metrics_set_error(consumer->metrics, reason);
    }
    log_warning("Kafka: %s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

/* ---- opening and closing ---- */

static bool set_group_id(Consumer *consumer, rd_kafka_conf_t *conf, Error *error)
{
    char group[256];

    config_group(consumer->config, group, sizeof group);
    return kafka_conf_set(conf, "group.id", group, error);
}

/* What is fetched of a partition is compressed, and decompressed at once, into as much as 255 times its size.
 */
static long long partition_fetch_bytes(long long queue_bytes)
{
    long long bytes = queue_bytes / 32;

    if (bytes < PARTITION_FETCH_BYTES_MIN)
        return PARTITION_FETCH_BYTES_MIN;
    return bytes < PARTITION_FETCH_BYTES_MAX ? bytes : PARTITION_FETCH_BYTES_MAX;
}

static bool configure_group(Consumer *consumer, rd_kafka_conf_t *conf, Error *error)
{
    char kbytes[32], bytes[32], partition_bytes[32];
    const Config *config = consumer->config;
    long long fetch_bytes = config->kafka_queue_kbytes * 1024LL;

    (void)snprintf(partition_bytes, sizeof partition_bytes, "%lld", partition_fetch_bytes(fetch_bytes));
    /* What one broker sends at once comes on top of the queue; a message that is larger comes alone. */
    (void)snprintf(bytes, sizeof bytes, "%lld",
                   fetch_bytes < FETCH_BYTES_MAX ? fetch_bytes : FETCH_BYTES_MAX);
    (void)snprintf(kbytes, sizeof kbytes, "%lld", (long long)config->kafka_queue_kbytes);
    rd_kafka_conf_set_rebalance_cb(conf, consumer_on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, consumer_on_commit);
    rd_kafka_conf_set_opaque(conf, consumer);
    return set_group_id(consumer, conf, error) &&
           kafka_conf_set(conf, "partition.assignment.strategy", "cooperative-sticky", error) &&
           kafka_conf_set(conf, "enable.auto.commit", "false", error) &&
           kafka_conf_set(conf, "enable.auto.offset.store", "false", error) &&
           /* A gap is reported, not skipped. */
           kafka_conf_set(conf, "auto.offset.reset", "error", error) &&
           kafka_conf_set(conf, "allow.auto.create.topics", "false", error) &&
           /* A killed agent's partitions are another's, or its own again, after this time. */
           kafka_conf_set(conf, "session.timeout.ms", "6000", error) &&
           kafka_conf_set(conf, "heartbeat.interval.ms", "1500", error) &&
           kafka_conf_set(conf, "topic.metadata.refresh.interval.ms", "10000", error) &&
           kafka_conf_set(conf, "fetch.wait.max.ms", "100", error) &&
           kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", error) &&
           kafka_conf_set(conf, "queued.min.messages", "30000", error) &&
           kafka_conf_set(conf, "fetch.max.bytes", bytes, error) &&
           kafka_conf_set(conf, "max.partition.fetch.bytes", partition_bytes, error) &&
           kafka_conf_set(conf, "queued.max.messages.kbytes", kbytes, error);
}

typedef enum HandleKind { HANDLE_GROUP, HANDLE_SCHEMAS, HANDLE_ASKING } HandleKind;

static rd_kafka_t *open_handle(Consumer *consumer, HandleKind kind, Error *error)
{
    rd_kafka_conf_t *conf = kafka_conf_new(consumer->config, error);
    rd_kafka_t *rk;
    char reason[256];
    bool ok;

    if (conf == NULL)
        return NULL;
    if (kind == HANDLE_GROUP) {
        rd_kafka_conf_set_error_cb(conf, on_error);
        ok = configure_group(consumer, conf, error);
    } else if (kind == HANDLE_ASKING) {
        /* It asks about the group without being a member. */
        ok =
            set_group_id(consumer, conf, error) && kafka_conf_set(conf, "enable.auto.commit", "false", error);
    } else {
        /* Assigned by hand, never committed; the name is only for the brokers' logs. */
        ok = kafka_conf_set(conf, "group.id", "walhouse-agent-schemas", error) &&
             kafka_conf_set(conf, "enable.auto.commit", "false", error) &&
             kafka_conf_set(conf, "enable.partition.eof", "true", error) &&
             kafka_conf_set(conf, "fetch.wait.max.ms", "100", error) &&
             kafka_conf_set(conf, "queued.max.messages.kbytes", "4096", error) &&
             kafka_conf_set(conf, "auto.offset.reset", "earliest", error);
    }
    if (!ok) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)status_fail(error, STATUS_FATAL, "cannot make a Kafka consumer: %s", reason);
        return NULL;
    }
    (void)rd_kafka_poll_set_consumer(rk);
    return rk;
}

Consumer *consumer_open(const Config *config, Metrics *metrics, const ConsumerEvents *events, Error *error)
{
    Consumer *consumer = calloc(1, sizeof *consumer);

    if (consumer == NULL || pthread_mutex_init(&consumer->lock, NULL) != 0) {
        free(consumer);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    consumer->config = config;
    consumer->metrics = metrics;
    consumer->events = *events;
    atomic_store(&consumer->schema_position, -1);
    (void)snprintf(consumer->dlq_topic, sizeof consumer->dlq_topic, "%.200s.__dlq",
                   config->kafka_topic_prefix);
    (void)snprintf(consumer->control_topic, sizeof consumer->control_topic, "%.200s.__control",
                   config->kafka_topic_prefix);
    (void)snprintf(consumer->schema_topic, sizeof consumer->schema_topic, "%.200s.__schema",
                   config->kafka_topic_prefix);
    consumer->group = open_handle(consumer, HANDLE_GROUP, error);
    consumer->schemas = consumer->group ? open_handle(consumer, HANDLE_SCHEMAS, error) : NULL;
    consumer->asking = consumer->schemas ? open_handle(consumer, HANDLE_ASKING, error) : NULL;
    if (consumer->asking == NULL) {
        consumer_close(consumer);
        return NULL;
    }
    consumer->queue = rd_kafka_queue_get_consumer(consumer->group);
    return consumer;
}

void consumer_close(Consumer *consumer)
{
    if (consumer == NULL)
        return;
    if (consumer->queue)
        rd_kafka_queue_destroy(consumer->queue);
    if (consumer->group) {
        (void)rd_kafka_consumer_close(consumer->group);
        rd_kafka_destroy(consumer->group);
    }
    if (consumer->schemas)
        rd_kafka_destroy(consumer->schemas);
    if (consumer->asking)
        rd_kafka_destroy(consumer->asking);
    for (size_t i = 0; i < consumer->topic_count; i++)
        free(consumer->topics[i]);
    for (size_t i = 0; i < consumer->commit_count; i++)
        free(consumer->commits[i].topic);
    free(consumer->topics);
    free(consumer->commits);
    (void)pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

/* ---- messages ---- */

/* The header walhouse.partitions; only events of a whole table have it, and headers are not looked for in all
 * the others.
 */
static int32_t read_partitions(const Message *message)
{
    const uint8_t *value = message->payload;
    rd_kafka_headers_t *headers;
    const void *text;
    size_t size;
    long partitions;

    if (message->len < 2 || !wh_op_is_of_table((char)value[1]) ||
        rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, "walhouse.partitions", &text, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    partitions = strtol(text, NULL, 10); /* librdkafka puts a zero behind it */
    return partitions > 0 && partitions < INT32_MAX ? (int32_t)partitions : 0;
}

static int64_t read_time(const Message *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t time = rd_kafka_message_timestamp(message, &type);

    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? 0 : time;
}

MessageView message_view(const Message *message)
{
    return (MessageView){.topic = rd_kafka_topic_name(message->rkt),
                         .partition = message->partition,
                         .offset = message->offset,
                         .time_ms = read_time(message),
                         .key = {message->key, message->key_len},
                         .value = {message->payload, message->len},
                         .partitions = read_partitions(message)};
}

bool message_pack_headers(const Message *message, WhSlice *packed)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size, room = 0;
    uint8_t *data;
    WhWriter w;

    *packed = (WhSlice){0};
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++)
        room += strlen(name) + size + 2 * WH_VARINT_BYTES_MAX;
    data = malloc(room + 1);
    if (data == NULL)
        return false;
    w = wh_writer(data, room);
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        wh_put_str(&w, name, strlen(name));
        wh_put_str(&w, value ? value : "", size);
    }
    *packed = (WhSlice){data, w.length};
    return true;
}

void message_release(Message *message)
{
    rd_kafka_message_destroy(message);
}

size_t consumer_poll(Consumer *consumer, Message **messages, size_t max, int timeout_ms)
{
    size_t count = 0;
    size_t kept = 0;
    ssize_t more;

    /* The batch call waits for a full batch, so the first message is waited for alone. */
    messages[0] = rd_kafka_consumer_poll(consumer->group, timeout_ms);
    if (messages[0] == NULL)
        return 0;
    count = 1;
    more = max > 1 ? rd_kafka_consume_batch_queue(consumer->queue, 0, messages + 1, max - 1) : 0;
    if (more > 0)
        count += (size_t)more;
    for (size_t i = 0; i < count; i++) {
        if (messages[i]->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
            consumer->events.lost_place(consumer->events.context, rd_kafka_topic_name(messages[i]->rkt),
                                        messages[i]->partition);
            rd_kafka_message_destroy(messages[i]);
        } else if (messages[i]->err) {
            log_warning("Kafka: %s", rd_kafka_message_errstr(messages[i]));
            rd_kafka_message_destroy(messages[i]);
        } else {
            messages[kept++] = messages[i];
        }
    }
    if (kept > 0)
        atomic_store(&consumer->metrics->kafka_reachable, true);
    return kept;
}

void consumer_wake(Consumer *consumer)
{
    rd_kafka_queue_yield(consumer->queue);
}

/* ---- topics ---- */

Status consumer_add_topic(Consumer *consumer, const char *topic, Error *error)
{
    Status status = STATUS_OK;
    char **grown;

    (void)pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->topic_count; i++) {
        if (strcmp(consumer->topics[i], topic) == 0) {
            (void)pthread_mutex_unlock(&consumer->lock);
            return STATUS_OK;
        }
    }
    grown = consumer->topic_count < TOPICS_MAX
                ? realloc(consumer->topics, (consumer->topic_count + 1) * sizeof *grown)
                : NULL;
    if (grown)
        consumer->topics = grown;
    if (grown == NULL || (grown[consumer->topic_count] = strdup(topic)) == NULL)
        status = status_fail(error, STATUS_FATAL, "out of memory for topics");
    else
        consumer->topic_count++;
    (void)pthread_mutex_unlock(&consumer->lock);
    return status;
}

rd_kafka_topic_partition_list_t *consumer_list_topics(Consumer *consumer, bool with_own)
{
    rd_kafka_topic_partition_list_t *list;

    (void)pthread_mutex_lock(&consumer->lock);
    list = rd_kafka_topic_partition_list_new((int)consumer->topic_count + CONSUMER_OWN_TOPICS);
    for (size_t i = 0; i < consumer->topic_count; i++)
        (void)rd_kafka_topic_partition_list_add(list, consumer->topics[i], RD_KAFKA_PARTITION_UA);
    (void)pthread_mutex_unlock(&consumer->lock);
    if (with_own) {
        (void)rd_kafka_topic_partition_list_add(list, consumer->control_topic, RD_KAFKA_PARTITION_UA);
        (void)rd_kafka_topic_partition_list_add(list, consumer->dlq_topic, RD_KAFKA_PARTITION_UA);
    }
    return list;
}

static void subscribe(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = consumer_list_topics(consumer, true);
    rd_kafka_resp_err_t result = rd_kafka_subscribe(consumer->group, list);

    if (result == RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumer->subscribed = true;
        consumer->subscribed_count = (size_t)list->cnt - CONSUMER_OWN_TOPICS;
        log_info("subscribed to %d topics", list->cnt);
    } else {
        log_warning("Kafka: cannot subscribe: %s", rd_kafka_err2str(result));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- what is due ---- */

void consumer_tick(Consumer *consumer)
{
    int64_t now = clock_ms();
    bool changed;

    (void)pthread_mutex_lock(&consumer->lock);
    changed = !consumer->subscribed || consumer->subscribed_count != consumer->topic_count;
    (void)pthread_mutex_unlock(&consumer->lock);
    if (changed && now >= consumer->subscribe_at_ms) {
        /* Many tables may come one after the other, and each subscription is a rebalance. */
        consumer->subscribe_at_ms = now + SUBSCRIBE_PAUSE_MS;
        subscribe(consumer);
    }
    consumer_commit_again(consumer, now);
}

/* ---- pausing ---- */

rd_kafka_topic_partition_list_t *consumer_list_one(const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    return list;
}

void consumer_pause(Consumer *consumer, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = consumer_list_one(topic, partition, offset);
    rd_kafka_error_t *error;

    _Static_assert(CONSUMER_BEGINNING == RD_KAFKA_OFFSET_BEGINNING, "consume.h");

    (void)rd_kafka_pause_partitions(consumer->group, list);
    list->elems[0].offset = offset;
    error = rd_kafka_seek_partitions(consumer->group, list, 5000);
    if (error) {
        log_warning("Kafka: cannot go back to offset %lld of %s [%d]: %s", (long long)offset, topic,
                    (int)partition, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_resume(Consumer *consumer, const char *topic, int32_t partition)
{
    rd_kafka_topic_partition_list_t *list = consumer_list_one(topic, partition, RD_KAFKA_OFFSET_INVALID);

    (void)rd_kafka_resume_partitions(consumer->group, list);
    rd_kafka_topic_partition_list_destroy(list);
}

bool consumer_pause_as_all(Consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t code = consumer->all_paused ? rd_kafka_pause_partitions(consumer->group, list)
                                                    : rd_kafka_resume_partitions(consumer->group, list);

    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void consumer_pause_all(Consumer *consumer, bool pause)
{
    rd_kafka_topic_partition_list_t *assigned = NULL;

    consumer->all_paused = pause;
    if (rd_kafka_assignment(consumer->group, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    (void)consumer_pause_as_all(consumer, assigned);
    rd_kafka_topic_partition_list_destroy(assigned);
}

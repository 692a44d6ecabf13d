/*
 * consume.c - messages out of Kafka, offsets back; see consume.h.
 *
 *      group consumer:   rows and control events --> consumer_poll()      offsets --> consumer_commit()
 * --acknowledged--> acked schema consumer:  __schema from its beginning --> consumer_read_schemas()
 */
#include "agent/consume.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/kafka_config.h"
#include "extension/common/schema.h"
#include "lib/log.h"

#define TOPICS_MAX         10000
#define SUBSCRIBE_PAUSE_MS 200
#define RECOMMIT_MS        1000
#define SCHEMA_RETRY_MS    500
#define LOADED_POLL_MS     50
#define QUESTION_MS        5000
#define COMMIT_WAIT_MS     10000

/* How far a partition's offsets are wanted committed, and are. */
typedef struct CommitState {
    char *topic;
    int32_t partition;
    int64_t wanted;
    int64_t acked;
} CommitState;

struct Consumer {
    const Config *config;
    Metrics *metrics;
    ConsumerRevoke revoke;
    void *revoke_context;
    rd_kafka_t *group;
    rd_kafka_queue_t *queue;
    rd_kafka_t *schemas;
    char control_topic[WH_TOPIC_BYTES_MAX + 1];
    char schema_topic[WH_TOPIC_BYTES_MAX + 1];
    bool schemas_assigned;
    int64_t schemas_retry_at_ms;
    atomic_int_fast64_t schema_position; /* the next offset of the schema topic; -1: it is not there yet */

    CommitState *commits;
    size_t commit_count;
    int64_t recommit_at_ms;

    pthread_mutex_t lock; /* of topics */
    char **topics;
    size_t topic_count;
    size_t subscribed_count; /* topics[0 .. subscribed_count) are subscribed */
    bool subscribed;
    int64_t subscribe_at_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

static CommitState *find_commit(Consumer *consumer, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < consumer->commit_count; i++) {
        CommitState *state = &consumer->commits[i];

        if (state->partition == partition && strcmp(state->topic, topic) == 0)
            return state;
    }
    return NULL;
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t result, rd_kafka_topic_partition_list_t *offsets,
                      void *opaque)
{
    Consumer *consumer = opaque;

    (void)rk;
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR && result != RD_KAFKA_RESP_ERR__NO_OFFSET)
        log_warning("Kafka did not take offsets, they will be committed again: %s", rd_kafka_err2str(result));
    for (int i = 0; offsets && i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &offsets->elems[i];
        CommitState *state = find_commit(consumer, p->topic, p->partition);

        if (state && result == RD_KAFKA_RESP_ERR_NO_ERROR && p->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
            p->offset > state->acked)
            state->acked = p->offset;
    }
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        atomic_fetch_add(&consumer->metrics->commits, 1);
}

/* What is no longer ours must not be committed by us again. */
static void forget_commits(Consumer *consumer, const rd_kafka_topic_partition_list_t *partitions)
{
    for (int i = 0; i < partitions->cnt; i++) {
        CommitState *state =
            find_commit(consumer, partitions->elems[i].topic, partitions->elems[i].partition);

        if (state)
            state->wanted = state->acked = -1;
    }
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    Consumer *consumer = opaque;
    rd_kafka_error_t *error;

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        log_info("%d partitions assigned", partitions->cnt);
        error = rd_kafka_incremental_assign(rk, partitions);
    } else {
        bool lost = rd_kafka_assignment_lost(rk);

        log_info("%d partitions %s", partitions->cnt, lost ? "lost" : "revoked");
        if (!lost)
            consumer->revoke(consumer->revoke_context);
        forget_commits(consumer, partitions);
        error = rd_kafka_incremental_unassign(rk, partitions);
    }
    if (error) {
        log_error("Kafka: rebalance: %s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

/* ---- opening and closing ---- */

static bool configure_group(Consumer *consumer, rd_kafka_conf_t *conf, Error *error)
{
    char group[256];
    char kbytes[32];
    const Config *config = consumer->config;

    (void)snprintf(group, sizeof group, "%s%s",
                   config->kafka_group[0] ? config->kafka_group : "walhouse-agent-",
                   config->kafka_group[0] ? "" : config->kafka_topic_prefix);
    (void)snprintf(kbytes, sizeof kbytes, "%lld", (long long)config->kafka_queue_kbytes);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_opaque(conf, consumer);
    return kafka_conf_set(conf, "group.id", group, error) &&
           kafka_conf_set(conf, "partition.assignment.strategy", "cooperative-sticky", error) &&
           kafka_conf_set(conf, "enable.auto.commit", "false", error) &&
           kafka_conf_set(conf, "enable.auto.offset.store", "false", error) &&
           kafka_conf_set(conf, "auto.offset.reset", "earliest", error) &&
           kafka_conf_set(conf, "allow.auto.create.topics", "false", error) &&
           /* A killed agent's partitions are another's, or its own again, after this time. */
           kafka_conf_set(conf, "session.timeout.ms", "6000", error) &&
           kafka_conf_set(conf, "heartbeat.interval.ms", "1500", error) &&
           kafka_conf_set(conf, "topic.metadata.refresh.interval.ms", "10000", error) &&
           kafka_conf_set(conf, "fetch.wait.max.ms", "100", error) &&
           kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", error) &&
           kafka_conf_set(conf, "queued.min.messages", "30000", error) &&
           kafka_conf_set(conf, "queued.max.messages.kbytes", kbytes, error);
}

static rd_kafka_t *open_handle(Consumer *consumer, bool group, Error *error)
{
    rd_kafka_conf_t *conf = kafka_conf_new(consumer->config, error);
    rd_kafka_t *rk;
    char reason[256];
    bool ok;

    if (conf == NULL)
        return NULL;
    if (group) {
        rd_kafka_conf_set_error_cb(conf, on_error);
        ok = configure_group(consumer, conf, error);
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

Consumer *consumer_open(const Config *config, Metrics *metrics, ConsumerRevoke revoke, void *context,
                        Error *error)
{
    Consumer *consumer = calloc(1, sizeof *consumer);

    if (consumer == NULL || pthread_mutex_init(&consumer->lock, NULL) != 0) {
        free(consumer);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    consumer->config = config;
    consumer->metrics = metrics;
    consumer->revoke = revoke;
    consumer->revoke_context = context;
    atomic_store(&consumer->schema_position, -1);
    (void)snprintf(consumer->control_topic, sizeof consumer->control_topic, "%.200s.__control",
                   config->kafka_topic_prefix);
    (void)snprintf(consumer->schema_topic, sizeof consumer->schema_topic, "%.200s.__schema",
                   config->kafka_topic_prefix);
    consumer->group = open_handle(consumer, true, error);
    consumer->schemas = consumer->group ? open_handle(consumer, false, error) : NULL;
    if (consumer->schemas == NULL) {
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

MessageView message_view(const Message *message)
{
    return (MessageView){.topic = rd_kafka_topic_name(message->rkt),
                         .partition = message->partition,
                         .offset = message->offset,
                         .key = {message->key, message->key_len},
                         .value = {message->payload, message->len}};
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
        if (messages[i]->err) {
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

/* The topics as a list of librdkafka's, partition -1 each; the control topic last if it is wanted. */
static rd_kafka_topic_partition_list_t *list_topics(Consumer *consumer, bool with_control)
{
    rd_kafka_topic_partition_list_t *list;

    (void)pthread_mutex_lock(&consumer->lock);
    list = rd_kafka_topic_partition_list_new((int)consumer->topic_count + 1);
    for (size_t i = 0; i < consumer->topic_count; i++)
        (void)rd_kafka_topic_partition_list_add(list, consumer->topics[i], RD_KAFKA_PARTITION_UA);
    (void)pthread_mutex_unlock(&consumer->lock);
    if (with_control)
        (void)rd_kafka_topic_partition_list_add(list, consumer->control_topic, RD_KAFKA_PARTITION_UA);
    return list;
}

static void subscribe(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = list_topics(consumer, true);
    rd_kafka_resp_err_t result = rd_kafka_subscribe(consumer->group, list);

    if (result == RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumer->subscribed = true;
        consumer->subscribed_count = (size_t)list->cnt - 1;
        log_info("subscribed to %d topics", list->cnt);
    } else {
        log_warning("Kafka: cannot subscribe: %s", rd_kafka_err2str(result));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- commits ---- */

static CommitState *claim_commit(Consumer *consumer, const char *topic, int32_t partition)
{
    CommitState *state = find_commit(consumer, topic, partition);
    CommitState *grown;

    if (state)
        return state;
    grown = realloc(consumer->commits, (consumer->commit_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    consumer->commits = grown;
    state = &grown[consumer->commit_count];
    *state = (CommitState){.topic = strdup(topic), .partition = partition, .wanted = -1, .acked = -1};
    if (state->topic == NULL)
        return NULL;
    consumer->commit_count++;
    return state;
}

/* Those that are wanted, not acknowledged, and of partitions that are ours. */
static rd_kafka_topic_partition_list_t *list_commits(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)consumer->commit_count + 1);
    rd_kafka_topic_partition_list_t *assigned = NULL;

    if (rd_kafka_assignment(consumer->group, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return list;
    for (size_t i = 0; i < consumer->commit_count; i++) {
        const CommitState *state = &consumer->commits[i];

        if (state->wanted > state->acked &&
            rd_kafka_topic_partition_list_find(assigned, state->topic, state->partition))
            rd_kafka_topic_partition_list_add(list, state->topic, state->partition)->offset = state->wanted;
    }
    rd_kafka_topic_partition_list_destroy(assigned);
    return list;
}

static void commit_wanted(Consumer *consumer, bool wait)
{
    rd_kafka_topic_partition_list_t *list = list_commits(consumer);

    if (list->cnt > 0) {
        rd_kafka_resp_err_t result = rd_kafka_commit(consumer->group, list, !wait);

        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            log_warning("Kafka: cannot commit offsets: %s", rd_kafka_err2str(result));
        else if (wait)
            on_commit(consumer->group, result, list, consumer);
    }
    consumer->recommit_at_ms = now_ms() + RECOMMIT_MS;
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_commit(Consumer *consumer, const PartitionOffset *offsets, size_t count, bool wait)
{
    for (size_t i = 0; i < count; i++) {
        CommitState *state = claim_commit(consumer, offsets[i].topic, offsets[i].partition);

        if (state && offsets[i].offset > state->wanted)
            state->wanted = offsets[i].offset;
    }
    commit_wanted(consumer, wait);
}

void consumer_tick(Consumer *consumer)
{
    int64_t now = now_ms();
    bool changed;

    (void)pthread_mutex_lock(&consumer->lock);
    changed = !consumer->subscribed || consumer->subscribed_count != consumer->topic_count;
    (void)pthread_mutex_unlock(&consumer->lock);
    if (changed && now >= consumer->subscribe_at_ms) {
        /* Many tables may come one after the other, and each subscription is a rebalance. */
        consumer->subscribe_at_ms = now + SUBSCRIBE_PAUSE_MS;
        subscribe(consumer);
    }
    if (now >= consumer->recommit_at_ms)
        commit_wanted(consumer, false);
}

/* ---- pausing ---- */

static rd_kafka_topic_partition_list_t *list_one(const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    return list;
}

void consumer_pause(Consumer *consumer, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = list_one(topic, partition, offset);
    rd_kafka_error_t *error;

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
    rd_kafka_topic_partition_list_t *list = list_one(topic, partition, RD_KAFKA_OFFSET_INVALID);

    (void)rd_kafka_resume_partitions(consumer->group, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_pause_all(Consumer *consumer, bool pause)
{
    rd_kafka_topic_partition_list_t *assigned = NULL;

    if (rd_kafka_assignment(consumer->group, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (pause)
        (void)rd_kafka_pause_partitions(consumer->group, assigned);
    else
        (void)rd_kafka_resume_partitions(consumer->group, assigned);
    rd_kafka_topic_partition_list_destroy(assigned);
}

/* ---- the schema topic ---- */

/* The end of the schema topic, 0 where it does not exist yet; -1: Kafka did not answer. */
static int64_t schema_end(Consumer *consumer, int timeout_ms)
{
    int64_t low = 0, high = 0;
    rd_kafka_resp_err_t result = rd_kafka_query_watermark_offsets(consumer->schemas, consumer->schema_topic,
                                                                  0, &low, &high, timeout_ms);

    if (result == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || result == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        result == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return 0;
    return result == RD_KAFKA_RESP_ERR_NO_ERROR ? high : -1;
}

/* Assigns the schema topic once it exists. */
static bool assign_schemas(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list;
    int64_t low = 0, high = 0;

    if (consumer->schemas_assigned)
        return true;
    if (now_ms() < consumer->schemas_retry_at_ms)
        return false;
    consumer->schemas_retry_at_ms = now_ms() + SCHEMA_RETRY_MS;
    if (rd_kafka_query_watermark_offsets(consumer->schemas, consumer->schema_topic, 0, &low, &high, 1000) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    list = list_one(consumer->schema_topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    consumer->schemas_assigned = rd_kafka_assign(consumer->schemas, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    if (consumer->schemas_assigned)
        atomic_store(&consumer->schema_position, low);
    return consumer->schemas_assigned;
}

Status consumer_read_schemas(Consumer *consumer, int timeout_ms,
                             void (*take)(void *context, const MessageView *message), void *context,
                             Error *error)
{
    int64_t until = now_ms() + timeout_ms;
    int64_t end = timeout_ms > 0 ? schema_end(consumer, timeout_ms) : 0;
    bool assigned = assign_schemas(consumer);

    if (end < 0)
        return status_fail(error, STATUS_RETRY, "Kafka at %s does not answer",
                           consumer->config->kafka_brokers);
    if (timeout_ms > 0)
        atomic_store(&consumer->metrics->kafka_reachable, true);
    if (!assigned)
        return end == 0 ? STATUS_OK
                        : status_fail(error, STATUS_RETRY, "cannot read %s yet", consumer->schema_topic);
    for (;;) {
        int64_t left = until - now_ms();
        bool at_end = atomic_load(&consumer->schema_position) >= end;
        Message *message = rd_kafka_consumer_poll(consumer->schemas, at_end || left < 0 ? 0
                                                                     : left > 100       ? 100
                                                                                        : (int)left);

        if (message == NULL && (at_end || left <= 0))
            return at_end ? STATUS_OK
                          : status_fail(error, STATUS_RETRY, "%s was not read to its end in time",
                                        consumer->schema_topic);
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            MessageView view = message_view(message);

            take(context, &view);
            atomic_store(&consumer->schema_position, message->offset + 1);
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            atomic_store(&consumer->schema_position, message->offset);
        } else {
            log_warning("Kafka: %s: %s", consumer->schema_topic, rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
}

/* ---- lag ---- */

/* For one question to the brokers; never long, so that a thread that is told to stop does. */
static int left_ms(int64_t until)
{
    int64_t left = until - now_ms();

    return left < 1 ? 1 : left > QUESTION_MS ? QUESTION_MS : (int)left;
}

/* stop may be NULL. */
static Status wait_for_schemas(Consumer *consumer, int64_t until, const atomic_bool *stop, Error *error)
{
    int64_t end = schema_end(consumer, left_ms(until));

    while (end > 0 && atomic_load(&consumer->schema_position) < end) {
        struct timespec pause = {.tv_nsec = 5000000};

        if (now_ms() >= until || (stop && atomic_load(stop)))
            return status_fail(error, STATUS_RETRY, "the schema topic has not been read to its end yet");
        (void)nanosleep(&pause, NULL);
    }
    return end < 0 ? status_fail(error, STATUS_RETRY, "Kafka does not answer") : STATUS_OK;
}

/* Every partition of the tables' topics, with its end as offset and its beginning as opaque. */
static Status list_ends(Consumer *consumer, int64_t until, rd_kafka_topic_partition_list_t **ends,
                        Error *error)
{
    rd_kafka_topic_partition_list_t *topics = list_topics(consumer, false);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(consumer->group, 1, NULL, &metadata, left_ms(until));

    *ends = rd_kafka_topic_partition_list_new(16);
    for (int t = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && t < metadata->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[t];

        if (!rd_kafka_topic_partition_list_find(topics, topic->topic, RD_KAFKA_PARTITION_UA))
            continue;
        for (int p = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && p < topic->partition_cnt; p++) {
            int64_t low = 0, high = 0;
            rd_kafka_topic_partition_t *end;

            result = rd_kafka_query_watermark_offsets(consumer->group, topic->topic, topic->partitions[p].id,
                                                      &low, &high, left_ms(until));
            end = rd_kafka_topic_partition_list_add(*ends, topic->topic, topic->partitions[p].id);
            end->offset = high;
            end->opaque = (void *)(intptr_t)low;
        }
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_destroy(topics);
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
    rd_kafka_resp_err_t result = rd_kafka_committed(consumer->group, committed, left_ms(until));

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
    int64_t until = now_ms() + timeout_ms;
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
    int64_t until = now_ms() + timeout_ms;
    rd_kafka_topic_partition_list_t *ends = NULL;
    int64_t messages = 1;
    Status status = wait_for_schemas(consumer, until, stop, error);

    if (status == STATUS_OK)
        status = list_ends(consumer, until, &ends, error);
    while (status == STATUS_OK && messages > 0) {
        status = measure_lag(consumer, ends, until, NULL, NULL, &messages, error);
        if (status == STATUS_OK && messages > 0) {
            struct timespec pause = {.tv_nsec = LOADED_POLL_MS * 1000000L};

            if (now_ms() >= until || atomic_load(stop))
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
    rd_kafka_resp_err_t result = rd_kafka_metadata(consumer->group, 0, NULL, &metadata, timeout_ms);

    atomic_store(&consumer->metrics->kafka_reachable, result == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    return result == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : status_fail(error, STATUS_RETRY, "Kafka at %s does not answer: %s",
                             consumer->config->kafka_brokers, rd_kafka_err2str(result));
}

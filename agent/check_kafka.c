/*
 * check_kafka.c - the Kafka half of `walhouse-agent check`; see check.h.
 *
 *      brokers answer? --> the pipeline's topics there? --> group may be read? --> schemas may be read, and
 * fit the rules? (check_rules.c)
 *
 * What cannot be asked because an earlier answer is missing is not asked.
 */
#include <inttypes.h>
#include <string.h>

#include "agent/check.h"
#include "agent/kafka_config.h"
#include "agent/schema_scan.h"
#include "extension/common/schema.h"

#define ASK_MS 10000

#define AWAY_TO_DO                                                                                           \
    "compare [kafka] brokers with what the brokers advertise; TLS and SASL settings belong in "              \
    "properties_file"
#define DENIED_TO_DO                                                                                         \
    "let the agent's user read and describe the topics <prefix>.* and the group, and write to "              \
    "<prefix>.__dlq "                                                                                        \
    "and <prefix>.__requests"

typedef struct KafkaCheck {
    Check *check;
    const Config *config;
    rd_kafka_t *handle;
    char group[256];
    char last_error[256]; /* what the handle's connections met */
} KafkaCheck;

static void on_error(rd_kafka_t *handle, int error, const char *reason, void *context)
{
    KafkaCheck *k = context;

    (void)handle;
    (void)error;
    (void)snprintf(k->last_error, sizeof k->last_error, "%s", reason);
}

static bool open_handle(KafkaCheck *k)
{
    Error error = {""};
    char reason[256] = "";
    rd_kafka_conf_t *conf = kafka_conf_new(k->config, &error);

    (void)snprintf(k->group, sizeof k->group, "%s%s",
                   k->config->kafka_group[0] ? k->config->kafka_group : "walhouse-agent-",
                   k->config->kafka_group[0] ? "" : k->config->kafka_topic_prefix);
    if (conf) {
        rd_kafka_conf_set_error_cb(conf, on_error);
        rd_kafka_conf_set_opaque(conf, k);
        if (kafka_conf_set(conf, "group.id", k->group, &error) &&
            kafka_conf_set(conf, "enable.auto.commit", "false", &error))
            k->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
        if (k->handle == NULL)
            rd_kafka_conf_destroy(conf);
    }
    if (k->handle == NULL)
        check_wrong(k->check, "mend the Kafka settings, most likely those of properties_file",
                    "Kafka settings: %s", reason[0] ? reason : error.text);
    return k->handle != NULL;
}

/* ---- topics ---- */

typedef struct Topics {
    int tables;
    int denied;
    bool schema;
} Topics;

static Topics look_at_topics(const KafkaCheck *k, const struct rd_kafka_metadata *metadata)
{
    const char *prefix = k->config->kafka_topic_prefix;
    size_t size = strlen(prefix);
    Topics found = {0};

    for (int i = 0; i < metadata->topic_cnt; i++) {
        const char *name = metadata->topics[i].topic;

        if (strncmp(name, prefix, size) != 0 || name[size] != '.')
            continue;
        if (metadata->topics[i].err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            found.denied++;
        if (strcmp(name + size, ".__schema") == 0)
            found.schema = true;
        else if (strncmp(name + size, ".__", 3) != 0)
            found.tables++;
    }
    return found;
}

/* false: there is nothing to be read. */
static bool check_topics(KafkaCheck *k)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t result = rd_kafka_metadata(k->handle, 1, NULL, &metadata, ASK_MS);
    Topics found;

    if (result != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)rd_kafka_poll(k->handle, 0); /* for on_error() */
        check_wrong(k->check, AWAY_TO_DO, "Kafka at %s does not answer: %s%s%s", k->config->kafka_brokers,
                    rd_kafka_err2str(result), k->last_error[0] ? ": " : "", k->last_error);
        return false;
    }
    check_right(k->check, "Kafka at %s answers: %d brokers", k->config->kafka_brokers, metadata->broker_cnt);
    found = look_at_topics(k, metadata);
    rd_kafka_metadata_destroy(metadata);
    if (found.denied > 0)
        check_wrong(k->check, DENIED_TO_DO, "%d topics %s.* may not be described", found.denied,
                    k->config->kafka_topic_prefix);
    if (found.schema)
        check_right(k->check, "topics %s.*: %d of tables", k->config->kafka_topic_prefix, found.tables);
    else
        check_wrong(
            k->check,
            "compare [kafka] topic_prefix with topic_prefix in walhouse.status; the publisher makes the "
            "topic when the pipeline first runs",
            "there is no topic %s.__schema (%d of tables)", k->config->kafka_topic_prefix, found.tables);
    return found.schema;
}

/* ---- reading ---- */

static void check_group(KafkaCheck *k)
{
    char topic[WH_TOPIC_BYTES_MAX + 1];
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t result;

    (void)snprintf(topic, sizeof topic, "%.200s.__schema", k->config->kafka_topic_prefix);
    (void)rd_kafka_topic_partition_list_add(offsets, topic, 0);
    result = rd_kafka_committed(k->handle, offsets, ASK_MS);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR && offsets->elems[0].err)
        result = offsets->elems[0].err;
    rd_kafka_topic_partition_list_destroy(offsets);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        check_right(k->check, "group %s may be read", k->group);
    else
        check_wrong(k->check, DENIED_TO_DO, "group %s cannot be read: %s", k->group,
                    rd_kafka_err2str(result));
}

/* To describe a topic and to read it are two rights. */
static void check_schemas(KafkaCheck *k)
{
    Error error = {""};
    bool exists;
    Registry *registry = schema_scan(k->config, &exists, NULL, NULL, &error);

    if (registry == NULL) {
        check_wrong(k->check, DENIED_TO_DO, "the schema topic cannot be read: %s", error.text);
        return;
    }
    check_right(k->check, "the schema topic may be read");
    check_rules(k->check, k->config, registry);
    registry_free(registry);
}

void check_kafka(Check *check, const Config *config)
{
    KafkaCheck k = {.check = check, .config = config};

    if (!open_handle(&k))
        return;
    (void)rd_kafka_poll_set_consumer(k.handle);
    if (check_topics(&k)) {
        check_group(&k);
        check_schemas(&k);
    }
    (void)rd_kafka_consumer_close(k.handle);
    rd_kafka_destroy(k.handle);
}

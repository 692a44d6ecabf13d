/*
 * schema_scan.c - the schema topic into a registry; see schema_scan.h.
 */
#include "agent/schema_scan.h"

#include "agent/topic_scan.h"
#include "extension/common/lease.h"

typedef struct Reading {
    Registry *registry;
    SchemaRefused refused;
    void *context;
} Reading;

static Status take_schema(void *context, const MessageView *message, Error *error)
{
    const Reading *reading = context;
    const TableSchema *added;
    Status status;

    if (wh_lease_is_key(message->key))
        return STATUS_OK;
    status = registry_add(reading->registry, message->value.data, message->value.size, &added, error);
    if (status != STATUS_REJECT)
        return status;
    if (reading->refused)
        reading->refused(reading->context, message->offset, error);
    return STATUS_OK;
}

Registry *schema_scan(const Config *config, bool *exists, SchemaRefused refused, void *context, Error *error)
{
    Reading reading = {.registry = registry_new(config), .refused = refused, .context = context};
    char topic[WH_TOPIC_BYTES_MAX + 1];

    if (reading.registry == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    (void)snprintf(topic, sizeof topic, "%.200s.__schema", config->kafka_topic_prefix);
    if (topic_scan(config, topic, exists, take_schema, &reading, error) == STATUS_OK)
        return reading.registry;
    registry_free(reading.registry);
    return NULL;
}

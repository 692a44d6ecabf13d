/*
 * request.c - requests as JSON, into partition 0 of their topic; see request.h.
 */
#include "agent/request.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/producer.h"
#include "lib/clock.h"
#include "lib/log.h"

struct Requests {
    const Config *config;
    pthread_mutex_t lock;
    Producer *producer; /* NULL: nothing was asked for yet */
    char topic[WH_TOPIC_BYTES_MAX + 1];
};

Requests *requests_open(const Config *config, Error *error)
{
    Requests *requests = calloc(1, sizeof *requests);

    if (requests == NULL || pthread_mutex_init(&requests->lock, NULL) != 0) {
        free(requests);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    requests->config = config;
    (void)snprintf(requests->topic, sizeof requests->topic, "%.200s.__requests", config->kafka_topic_prefix);
    return requests;
}

void requests_close(Requests *requests)
{
    if (requests == NULL)
        return;
    producer_close(requests->producer);
    (void)pthread_mutex_destroy(&requests->lock);
    free(requests);
}

static json_t *slice_json(WhSlice slice)
{
    return json_stringn((const char *)slice.data, slice.size);
}

static json_t *hex_json(WhSlice bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = malloc(2 * bytes.size + 1);
    json_t *json;

    if (hex == NULL)
        return NULL;
    for (size_t i = 0; i < bytes.size; i++) {
        hex[2 * i] = digits[bytes.data[i] >> 4];
        hex[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    json = json_stringn(hex, 2 * bytes.size);
    free(hex);
    return json;
}

/* What every request has. NULL: out of memory, or a name is no UTF-8. */
static json_t *begin_request(const char *kind, const TableSchema *table, const char *reason)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:s, s:I}", "kind", kind, "relation",
                     (json_int_t)table->schema.relation_oid, "schema", slice_json(table->schema.schema_name),
                     "table", slice_json(table->schema.table_name), "reason", reason, "sent_at",
                     (json_int_t)clock_wall_us());
}

static Status send_text(Requests *requests, const TableSchema *table, const char *text, Error *error)
{
    WhSlice schema_name = table->schema.schema_name;
    WhSlice table_name = table->schema.table_name;
    char key[2 * WH_NAME_BYTES_MAX + 2];
    Parcel parcel = {.topic = requests->topic,
                     .key = {(const uint8_t *)key, 0},
                     .value = {(const uint8_t *)text, strlen(text)}};
    Receipt receipt;
    Status status;

    if (requests->producer == NULL)
        requests->producer = producer_open(requests->config, error);
    if (requests->producer == NULL)
        return STATUS_RETRY;
    (void)snprintf(key, sizeof key, "%.*s.%.*s", (int)schema_name.size, (const char *)schema_name.data,
                   (int)table_name.size, (const char *)table_name.data);
    parcel.key.size = strlen(key);
    status = producer_send(requests->producer, &parcel, &receipt, error);
    if (status == STATUS_OK)
        status = producer_flush(requests->producer, error);
    if (status == STATUS_OK && !receipt.acknowledged)
        status = status_fail(error, STATUS_RETRY, "Kafka did not take a request to %s: %s", requests->topic,
                             receipt.failure);
    return status;
}

/* Until it is acknowledged. Takes ownership of request. */
static Status send_request(Requests *requests, const TableSchema *table, json_t *request, Error *error)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    Status status;

    json_decref(request);
    if (text == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory for a request for table %s",
                           table->target.view_name);
    status = send_text(requests, table, text, error);
    free(text);
    return status;
}

static void say(const TableSchema *table, const char *what, const char *reason)
{
    log_info("asked the source for %s of table %s: %s", what, table->target.view_name, reason);
}

Status requests_snapshot(Requests *requests, const TableSchema *table, uint64_t after_lsn, const char *reason,
                         Error *error)
{
    char lsn[24];
    json_t *request = begin_request("snapshot", table, reason);
    Status status;

    (void)snprintf(lsn, sizeof lsn, "%" PRIX32 "/%" PRIX32, (uint32_t)(after_lsn >> 32), (uint32_t)after_lsn);
    if (request && json_object_set_new(request, "after", json_string(lsn)) != 0) {
        json_decref(request);
        request = NULL;
    }
    (void)pthread_mutex_lock(&requests->lock);
    status = send_request(requests, table, request, error);
    if (status == STATUS_OK)
        say(table, "all", reason);
    (void)pthread_mutex_unlock(&requests->lock);
    return status;
}

/* How many of the keys go into one message, at least one. */
static size_t keys_of_one(const WhSlice *keys, size_t count)
{
    size_t bytes = keys[0].size;
    size_t n = 1;

    while (n < count && n < REQUEST_KEYS_MAX && bytes + keys[n].size <= REQUEST_KEY_BYTES_MAX)
        bytes += keys[n++].size;
    return n;
}

/* What the keys are read with: attribute number and type of each of their columns. */
static json_t *key_json(const WhSchema *schema)
{
    json_t *list = json_array();
    bool ok = list != NULL;

    for (uint32_t i = 0; i < schema->key_column_count && ok; i++) {
        WhSlice type = schema->columns[i].clickhouse_type;

        ok = json_array_append_new(list, json_sprintf("%" PRIu32 " %.*s", schema->columns[i].attribute_number,
                                                      (int)type.size, (const char *)type.data)) == 0;
    }
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *rows_request(const TableSchema *table, const WhSlice *keys, size_t count, const char *reason)
{
    json_t *request = begin_request("rows", table, reason);
    json_t *list = json_array();
    char fingerprint[WH_FINGERPRINT_HEX_SIZE];
    bool ok = request && list;

    wh_fingerprint_hex(table->fingerprint, fingerprint);
    for (size_t i = 0; i < count && ok; i++)
        ok = json_array_append_new(list, hex_json(keys[i])) == 0;
    ok = ok && json_object_set_new(request, "key", key_json(&table->schema)) == 0;
    ok = ok && json_object_set_new(request, "fingerprint", json_string(fingerprint)) == 0;
    if (ok && json_object_set(request, "keys", list) == 0) {
        json_decref(list);
        return request;
    }
    json_decref(list);
    json_decref(request);
    return NULL;
}

static bool may_ask_for_rows(const TableSchema *table, const WhSlice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].size > REQUEST_KEY_BYTES_MAX)
            return false;
    return table->schema.key_column_count > 0;
}

Status requests_rows(Requests *requests, const TableSchema *table, const WhSlice *keys, size_t count,
                     const char *reason, Error *error)
{
    char what[64];
    Status status = STATUS_OK;
    size_t n;

    if (count == 0)
        return STATUS_OK;
    if (!may_ask_for_rows(table, keys, count))
        return requests_snapshot(requests, table, REQUEST_AFTER_NOW, reason, error);
    (void)snprintf(what, sizeof what, "%zu rows", count);
    (void)pthread_mutex_lock(&requests->lock);
    for (size_t i = 0; i < count && status == STATUS_OK; i += n) {
        n = keys_of_one(keys + i, count - i);
        status = send_request(requests, table, rows_request(table, keys + i, n, reason), error);
    }
    if (status == STATUS_OK)
        say(table, what, reason);
    (void)pthread_mutex_unlock(&requests->lock);
    return status;
}

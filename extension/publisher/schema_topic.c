/*
 * schema_topic.c - creates topics and publishes schemas, one at a time; see schema_topic.h.
 *
 *      chunk's schema --> schema_topic_offer() --> create <prefix>.<schema>.<table> --> produce to
 * <prefix>.__schema producer's events --> schema_topic_handle() --> known --> chunk goes on
 */
#include "schema_topic.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Slots of the open-addressed table: a power of two, at most half full. */
#define SLOTS (2 * SCHEMA_KNOWN_MAX)

#define RETRY_DELAY_MS   1000
#define LEADERS_DELAY_MS 10
/* Room for the message's head and topic before the schema's bytes. */
#define MESSAGE_HEAD_BYTES (1 + 8 + WH_VARINT_BYTES_MAX + WH_TOPIC_BYTES_MAX)

typedef enum TopicState {
    TOPIC_WANTED,
    TOPIC_CREATING,
    TOPIC_CREATED,
    TOPIC_ASKING_LEADERS,
    TOPIC_THERE
} TopicState;

/* A topic that is being made sure of. */
typedef struct WantedTopic {
    char name[WH_TOPIC_BYTES_MAX + 1];
    int partitions;
    bool compacted;
    bool apart; /* it has its second name */
    TopicState state;
    ProduceTopic *handle; /* NULL until Kafka has the topic */
    int64_t retry_at_ms;
} WantedTopic;

typedef enum PendingState { PENDING_NONE, PENDING_TOPIC, PENDING_SENT, PENDING_ACKED } PendingState;

typedef struct KnownSchema {
    uint64_t fingerprint;
    ProduceTopic *topic; /* NULL: the slot is free */
    TableCounter *counter;
} KnownSchema;

struct SchemaTopic {
    const SchemaTopicSettings *settings;
    Producer *producer;
    WantedTopic base[BASE_TOPIC_NUMBERS];
    bool is_ready;
    PendingState pending_state;
    uint64_t pending_fingerprint;
    WantedTopic pending_topic;
    TableCounter *pending_counter;
    Tables tables;
    uint64_t
        topic_number;   /* tags the newest request for a table's topic, so that late answers are told apart */
    KnownSchema *known; /* SLOTS of them */
    uint64_t known_count;
    WhColumn columns[WH_COLUMNS_MAX];
};

static void want_base_topic(SchemaTopic *s, BaseTopic which, const char *suffix, bool compacted)
{
    WantedTopic *topic = &s->base[which];

    (void)snprintf(topic->name, sizeof topic->name, "%s.%s", s->settings->prefix, suffix);
    topic->partitions = 1;
    topic->compacted = compacted;
}

SchemaTopic *schema_topic_open(const SchemaTopicSettings *settings, Producer *producer, Failure *failure)
{
    SchemaTopic *s = calloc(1, sizeof *s);

    if (s)
        s->known = calloc(SLOTS, sizeof *s->known);
    if (s == NULL || s->known == NULL) {
        failure_set(failure, "out of memory");
        schema_topic_close(s);
        return NULL;
    }
    s->settings = settings;
    s->producer = producer;
    s->topic_number = BASE_TOPIC_NUMBERS;
    want_base_topic(s, BASE_TOPIC_SCHEMA, "__schema", true);
    want_base_topic(s, BASE_TOPIC_CONTROL, "__control", false);
    want_base_topic(s, BASE_TOPIC_DLQ, "__dlq", false);
    want_base_topic(s, BASE_TOPIC_POSITION, "__position", true);
    want_base_topic(s, BASE_TOPIC_REQUESTS, "__requests", false);
    want_base_topic(s, BASE_TOPIC_MESSAGE, "__message", false);
    s->base[BASE_TOPIC_MESSAGE].partitions = settings->partitions;
    return s;
}

void schema_topic_close(SchemaTopic *schemas)
{
    if (schemas == NULL)
        return;
    tables_free(&schemas->tables);
    free(schemas->known);
    free(schemas);
}

/* ---- topics ---- */

static bool ask_for_topic(SchemaTopic *s, WantedTopic *topic, uint64_t number, int64_t now_ms,
                          Failure *failure)
{
    uint64_t tag = produce_tag(PRODUCE_TAG_TOPIC, number);

    if (now_ms < topic->retry_at_ms)
        return true;
    if (topic->state == TOPIC_WANTED) {
        if (!producer_create_topic(s->producer, topic->name, topic->partitions,
                                   s->settings->replication_factor, topic->compacted, tag, failure))
            return false;
        topic->state = TOPIC_CREATING;
    } else if (topic->state == TOPIC_CREATED) {
        producer_ask_leaders(s->producer, topic->handle, topic->partitions, tag);
        topic->state = TOPIC_ASKING_LEADERS;
    }
    return true;
}

bool schema_topic_is_ready(const SchemaTopic *s)
{
    return s->is_ready;
}

bool schema_topic_step(SchemaTopic *s, int64_t now_ms, Failure *failure)
{
    int there = 0;

    for (int i = 0; !s->is_ready && i < BASE_TOPIC_COUNT; i++) {
        if (!ask_for_topic(s, &s->base[i], (uint64_t)i, now_ms, failure))
            return false;
        there += s->base[i].state == TOPIC_THERE;
    }
    s->is_ready = s->is_ready || there == BASE_TOPIC_COUNT;
    return true;
}

static int64_t due_ms(const WantedTopic *topic)
{
    return topic->state == TOPIC_CREATED ? topic->retry_at_ms : INT64_MAX;
}

int64_t schema_topic_due_ms(const SchemaTopic *s)
{
    int64_t due = s->pending_state == PENDING_TOPIC ? due_ms(&s->pending_topic) : INT64_MAX;

    for (int i = 0; i < BASE_TOPIC_NUMBERS; i++)
        if (due_ms(&s->base[i]) < due)
            due = due_ms(&s->base[i]);
    return due;
}

static ProduceTopic *base_topic(const SchemaTopic *s, BaseTopic which)
{
    return s->is_ready ? s->base[which].handle : NULL;
}

ProduceTopic *schema_topic_schemas(const SchemaTopic *s)
{
    return base_topic(s, BASE_TOPIC_SCHEMA);
}

ProduceTopic *schema_topic_control(const SchemaTopic *s)
{
    return base_topic(s, BASE_TOPIC_CONTROL);
}

ProduceTopic *schema_topic_position(const SchemaTopic *s)
{
    return base_topic(s, BASE_TOPIC_POSITION);
}

ProduceTopic *schema_topic_dlq(const SchemaTopic *s)
{
    return base_topic(s, BASE_TOPIC_DLQ);
}

const char *schema_topic_requests_name(const SchemaTopic *s)
{
    return s->base[BASE_TOPIC_REQUESTS].name;
}

SchemaStep schema_topic_message(SchemaTopic *s, int64_t now_ms, ProduceTopic **topic, Failure *failure)
{
    WantedTopic *wanted = &s->base[BASE_TOPIC_MESSAGE];

    if (!ask_for_topic(s, wanted, BASE_TOPIC_MESSAGE, now_ms, failure))
        return SCHEMA_REFUSED;
    if (wanted->state != TOPIC_THERE)
        return SCHEMA_WAIT;
    *topic = wanted->handle;
    return SCHEMA_READY;
}

/* ---- known schemas ---- */

/* The slot that holds fingerprint, or the free one where it belongs. At least half of the slots are free. */
static KnownSchema *find_slot(SchemaTopic *s, uint64_t fingerprint)
{
    size_t at = (size_t)fingerprint & (SLOTS - 1);

    while (s->known[at].topic && s->known[at].fingerprint != fingerprint)
        at = (at + 1) & (SLOTS - 1);
    return &s->known[at];
}

ProduceTopic *schema_topic_find(SchemaTopic *s, uint64_t fingerprint)
{
    return find_slot(s, fingerprint)->topic;
}

TableCounter *schema_topic_counter(SchemaTopic *s, uint64_t fingerprint)
{
    return find_slot(s, fingerprint)->counter;
}

Tables *schema_topic_tables(SchemaTopic *s)
{
    return &s->tables;
}

uint64_t schema_topic_count(const SchemaTopic *s)
{
    return s->known_count;
}

static SchemaStep learn(SchemaTopic *s)
{
    KnownSchema *slot = find_slot(s, s->pending_fingerprint);

    assert(slot->topic == NULL && s->known_count < SCHEMA_KNOWN_MAX);
    *slot = (KnownSchema){.fingerprint = s->pending_fingerprint,
                          .topic = s->pending_topic.handle,
                          .counter = s->pending_counter};
    s->known_count++;
    s->pending_state = PENDING_NONE;
    message_log(MESSAGE_DEBUG, "schema %016" PRIx64 " of topic \"%s\" is known to Kafka", slot->fingerprint,
                s->pending_topic.name);
    return SCHEMA_READY;
}

/* ---- the pending schema ---- */

static bool begin(SchemaTopic *s, uint64_t fingerprint, WhSlice bytes, Failure *failure)
{
    WhSchema schema;
    const char *error;
    size_t error_offset;

    if (s->known_count >= SCHEMA_KNOWN_MAX)
        return failure_set(failure, "more than %u schema versions in one session; a new session follows",
                           SCHEMA_KNOWN_MAX);
    if (!wh_schema_get(bytes, &schema, s->columns, WH_COLUMNS_MAX, &error, &error_offset))
        return failure_set(failure, "schema %016" PRIx64 " is damaged: %s at byte %zu", fingerprint, error,
                           error_offset);
    s->pending_topic = (WantedTopic){.partitions = s->settings->partitions};
    if (!wh_topic_name(s->pending_topic.name, s->settings->prefix, schema.schema_name, schema.table_name))
        return failure_set(failure, "topic prefix \"%s\" is too long", s->settings->prefix);
    s->pending_fingerprint = fingerprint;
    s->pending_counter = tables_learn(&s->tables, &schema, fingerprint);
    s->pending_state = PENDING_TOPIC;
    s->topic_number++;
    return true;
}

static SchemaStep send_schema(SchemaTopic *s, WhSlice bytes, Failure *failure)
{
    char key[WH_FINGERPRINT_HEX_SIZE];
    size_t capacity = MESSAGE_HEAD_BYTES + bytes.size;
    uint8_t *message = malloc(capacity);
    WhWriter w = wh_writer(message, capacity);
    WhSlice topic = {(const uint8_t *)s->pending_topic.name, strlen(s->pending_topic.name)};
    ProduceResult result;

    if (message == NULL) {
        failure_set(failure, "out of memory");
        return SCHEMA_REFUSED;
    }
    wh_fingerprint_hex(s->pending_fingerprint, key);
    wh_schema_message_put(&w, s->pending_fingerprint, topic, bytes);
    assert(!w.full);
    result =
        producer_send(s->producer, schema_topic_schemas(s), -1,
                      (WhSlice){(const uint8_t *)key, WH_FINGERPRINT_HEX_SIZE - 1},
                      (WhSlice){w.data, w.length}, produce_tag(PRODUCE_TAG_SCHEMA, s->topic_number), failure);
    free(message);
    if (result == PRODUCE_REFUSED)
        return SCHEMA_REFUSED;
    if (result == PRODUCE_SENT)
        s->pending_state = PENDING_SENT;
    return SCHEMA_WAIT;
}

SchemaStep schema_topic_offer(SchemaTopic *s, uint64_t fingerprint, WhSlice bytes, int64_t now_ms,
                              Failure *failure)
{
    if (find_slot(s, fingerprint)->topic)
        return SCHEMA_READY;
    if (!schema_topic_is_ready(s))
        return SCHEMA_WAIT;
    if (s->pending_state == PENDING_NONE && !begin(s, fingerprint, bytes, failure))
        return SCHEMA_REFUSED;
    assert(s->pending_fingerprint == fingerprint);
    if (s->pending_state == PENDING_ACKED)
        return learn(s);
    if (s->pending_state == PENDING_SENT)
        return SCHEMA_WAIT;
    if (!ask_for_topic(s, &s->pending_topic, s->topic_number, now_ms, failure))
        return SCHEMA_REFUSED;
    return s->pending_topic.state == TOPIC_THERE ? send_schema(s, bytes, failure) : SCHEMA_WAIT;
}

static bool handle_topic(SchemaTopic *s, const ProducerEvent *event, int64_t now_ms, Failure *failure)
{
    uint64_t number = produce_tag_number(event->tag);
    WantedTopic *topic = number < BASE_TOPIC_NUMBERS ? &s->base[number]
                         : number == s->topic_number ? &s->pending_topic
                                                     : NULL;

    if (topic == NULL || (topic->state != TOPIC_CREATING && topic->state != TOPIC_ASKING_LEADERS))
        return true;
    if (event->kind == PRODUCER_TOPIC_READY || event->kind == PRODUCER_TOPIC_CREATED) {
        topic->state = event->kind == PRODUCER_TOPIC_READY ? TOPIC_THERE : TOPIC_CREATED;
        topic->handle = topic->handle ? topic->handle : producer_topic(s->producer, topic->name, failure);
        return topic->handle != NULL;
    }
    if (event->kind == PRODUCER_TOPIC_LEADERLESS) {
        topic->state = TOPIC_CREATED;
        topic->retry_at_ms = now_ms + LEADERS_DELAY_MS;
        return true;
    }
    if (event->name_is_taken && topic == &s->pending_topic && !topic->apart) {
        message_log(MESSAGE_INFO, "topic \"%s\" gets another name: %s", topic->name, event->text);
        wh_topic_name_apart(topic->name);
        topic->apart = true;
        topic->state = TOPIC_WANTED;
        s->topic_number++;
        return true;
    }
    if (!event->retriable)
        return failure_set(failure, "%s (topic \"%s\")", event->text, topic->name);
    topic->retry_at_ms = now_ms + RETRY_DELAY_MS;
    topic->state = TOPIC_WANTED;
    return true;
}

bool schema_topic_handle(SchemaTopic *s, const ProducerEvent *event, int64_t now_ms, Failure *failure)
{
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_TOPIC)
        return handle_topic(s, event, now_ms, failure);
    if (event->kind == PRODUCER_DELIVERED && s->pending_state == PENDING_SENT &&
        produce_tag_number(event->tag) == s->topic_number)
        s->pending_state = PENDING_ACKED;
    return true;
}

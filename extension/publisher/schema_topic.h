/*
 * schema_topic.h - which schemas Kafka has, and how a new one gets there.
 *
 * A schema passes through these states; an event that names it waits until it is known:
 *
 *      unknown --> creating topic --> waiting for its leaders --> sending schema --> known
 *                    ^    |           ^    |                      (its acknowledgement)
 *                    +----+ retry     +----+ retry
 *
 * One schema is on its way at a time, its bytes borrowed from the chunk that waits for it. The table of known
 * ones is bounded: see SCHEMA_KNOWN_MAX.
 */
#ifndef WALHOUSE_PUBLISHER_SCHEMA_TOPIC_H
#define WALHOUSE_PUBLISHER_SCHEMA_TOPIC_H

#include "extension/common/schema.h"
#include "produce.h"
#include "tables.h"

/*
 * Schema versions one process remembers. The plugin sends a schema once per session, so none may be
 * forgotten; a process that has seen this many fails and is started again, which begins a new session.
 */
#define SCHEMA_KNOWN_MAX 32768u

/* The topics every pipeline has, before its tables', and the one of logical messages, made for the first of
 * them. */
typedef enum BaseTopic {
    BASE_TOPIC_SCHEMA,
    BASE_TOPIC_CONTROL,
    BASE_TOPIC_DLQ,
    BASE_TOPIC_POSITION,
    BASE_TOPIC_REQUESTS,
    BASE_TOPIC_COUNT,
    BASE_TOPIC_MESSAGE = BASE_TOPIC_COUNT,
    BASE_TOPIC_NUMBERS
} BaseTopic;

typedef struct SchemaTopicSettings {
    const char *prefix;
    int partitions; /* of the tables' topics */
    int replication_factor;
} SchemaTopicSettings;

typedef enum SchemaStep {
    SCHEMA_READY,  /* Kafka has it */
    SCHEMA_WAIT,   /* on its way; offer it again after the next poll */
    SCHEMA_REFUSED /* failure says why */
} SchemaStep;

typedef struct SchemaTopic SchemaTopic;

/* settings and producer must outlive it. NULL with *failure set. To be closed with schema_topic_close(). */
SchemaTopic *schema_topic_open(const SchemaTopicSettings *settings, Producer *producer, Failure *failure);
/* NULL is allowed. */
void schema_topic_close(SchemaTopic *schemas);

/* Creates what must be there and is not asked for yet; call it at every turn of the loop. now_ms is
 * monotonic. */
bool schema_topic_step(SchemaTopic *schemas, int64_t now_ms, Failure *failure);
/* When schema_topic_step() or schema_topic_offer() has something to ask again, in monotonic ms; INT64_MAX:
 * only when an answer has come. */
int64_t schema_topic_due_ms(const SchemaTopic *schemas);
/* Do the base topics exist? */
bool schema_topic_is_ready(const SchemaTopic *schemas);
/* NULL until the base topics exist. */
ProduceTopic *schema_topic_schemas(const SchemaTopic *schemas);
ProduceTopic *schema_topic_control(const SchemaTopic *schemas);
ProduceTopic *schema_topic_dlq(const SchemaTopic *schemas);
ProduceTopic *schema_topic_position(const SchemaTopic *schemas);
/* What agents ask for; read, never written. */
const char *schema_topic_requests_name(const SchemaTopic *schemas);
/* Sees to it that the topic of logical messages exists. To be called until it is READY; *topic is set then.
 */
SchemaStep schema_topic_message(SchemaTopic *schemas, int64_t now_ms, ProduceTopic **topic, Failure *failure);

/* Takes the producer's events whose tags are PRODUCE_TAG_SCHEMA and PRODUCE_TAG_TOPIC. false: a failure for
 * good. */
bool schema_topic_handle(SchemaTopic *schemas, const ProducerEvent *event, int64_t now_ms, Failure *failure);

/* Sees to it that Kafka has the schema. To be called with the same one until it is READY. */
SchemaStep schema_topic_offer(SchemaTopic *schemas, uint64_t fingerprint, WhSlice schema, int64_t now_ms,
                              Failure *failure);
/* The topic of the table; NULL when no schema with this fingerprint is known. */
ProduceTopic *schema_topic_find(SchemaTopic *schemas, uint64_t fingerprint);
/* Its counter; NULL when the table is not counted. */
TableCounter *schema_topic_counter(SchemaTopic *schemas, uint64_t fingerprint);
Tables *schema_topic_tables(SchemaTopic *schemas);
/* Schemas acknowledged by Kafka. */
uint64_t schema_topic_count(const SchemaTopic *schemas);

#endif

/*
 * pipeline_internal.h - the agent's line, as pipeline.c and the other pipeline_*.c share it. All of it
 * belongs to the main thread.
 */
#ifndef WALHOUSE_AGENT_PIPELINE_INTERNAL_H
#define WALHOUSE_AGENT_PIPELINE_INTERNAL_H

#include "agent/batch.h"
#include "agent/budget.h"
#include "agent/lease.h"
#include "agent/load.h"
#include "agent/pipeline.h"
#include "agent/recover.h"
#include "agent/statistics.h"
#include "agent/stopped.h"

struct Pipeline {
    const Config *config;
    Metrics *metrics;
    Registry *registry;
    Consumer *consumer;
    Statistics *statistics;
    Loader *loader;
    Recovery *recovery;
    Batch batches[2];
    Batch *filling;
    Budgets budgets;
    Message **messages; /* of one poll */
    bool drained;       /* the last poll took all that was there */
    /* How the schema topic was read since the last poll: to its end, and from its beginning. */
    enum { SCHEMAS_NOT_READ, SCHEMAS_READ_ON, SCHEMAS_READ_AGAIN } schemas_read;
    WhLease lease; /* the newest one */
    int64_t blocked_since_ms;
    bool paused_all;
    Stopped stopped;
    Rules *rules;              /* of the settings that were read again; NULL: those of config */
    bool reshape;              /* the rules are to be applied again, to what is known of tables now */
    Text letter_key;           /* scratch */
    const char *checked_topic; /* the last (topic, schema) that were seen to belong together */
    const TableSchema *checked_schema;
    bool abandoned; /* stopped in the middle of a message: what is being filled is not whole */
    Status status;  /* STATUS_FATAL ends it */
    Error error;
};

void pipeline_pause(int64_t ms);
/* The line ends; the first reason is the one that is told. */
void pipeline_fail(Pipeline *p, const Error *error);
/* The rules in force. */
const Rules *pipeline_rules(const Pipeline *p);

/* Before the first row: the schema topic to its end, for as long as it takes. */
void pipeline_read_all_schemas(Pipeline *p, const atomic_bool *stop);
/* Takes what has come in the schema topic. */
void pipeline_look_for_schemas(Pipeline *p);
/* Puts a message into the batch that is being filled. */
void pipeline_take_message(Pipeline *p, const Message *message, const atomic_bool *stop);

/* Both with empty batches, so that no row is shaped by the old rules and loaded by the new: the settings'
 * file is read again; what the rules make of tables is made anew. */
void pipeline_reload(Pipeline *p);
void pipeline_reshape(Pipeline *p);

#endif

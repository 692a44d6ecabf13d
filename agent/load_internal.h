/*
 * load_internal.h - what the loader's files share: load.c is the thread, load_tables.c what it does with
 * tables, load_resolve.c with rows that lack values, load_notes.c with notes about keys.
 */
#ifndef WALHOUSE_AGENT_LOAD_INTERNAL_H
#define WALHOUSE_AGENT_LOAD_INTERNAL_H

#include <pthread.h>

#include "agent/breaker.h"
#include "agent/clickhouse.h"
#include "agent/dlq.h"
#include "agent/evolve.h"
#include "agent/load.h"
#include "agent/request.h"

struct Loader {
    const Config *config;
    Metrics *metrics;
    Consumer *consumer; /* to be woken; belongs to the pipeline */
    ClickHouse *client;
    Dlq *dlq;
    Requests *requests;
    Breaker breaker;
    Evolve *evolve;
    bool system_ready; /* the agent's own tables are there */
    bool failed;       /* a request, since the server was asked when it started */
    int64_t ask_at_ms;
    unsigned random; /* for jitter */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Batch *given;
    Batch *done;
    bool give_up;
    bool stop;
};

/* Does a step again, with backoff, while it says STATUS_RETRY. STATUS_RETRY: the batch is given up. */
typedef Status (*LoaderStep)(Loader *loader, void *context, Error *error);
Status loader_persist(Loader *loader, LoaderStep step, void *context, Error *error);

/*
 * Brings the rows of a batch into their tables, and then carries out its truncates. A table that cannot take
 * them is marked stopped, and the others go on. Rows that ClickHouse refuses become letters of the batch.
 * STATUS_RETRY: given up.
 */
Status load_tables(Loader *loader, Batch *batch, Error *error);

/* Asks the server when it started, where that is due, and tells it the batch's offsets. STATUS_RETRY: given
 * up. */
Status load_offsets(Loader *loader, Batch *batch, Error *error);

/* Brings a buffer's rows into its table; those that ClickHouse refuses become letters of the batch. */
Status load_insert(Loader *loader, Batch *batch, TableBuffer *buffer, Error *error);

/*
 * Adds to a buffer the rows of its table that were kept aside, with the values that their events leave out.
 * The source is asked for those whose values are not to be had. STATUS_RETRY: given up. STATUS_STOP: the
 * table does not fit.
 */
Status load_resolve(Loader *loader, Batch *batch, TableBuffer *buffer, Error *error);

/* When a sweep of this version was applied: asks the source for the rows above it whose unchanged values are
 * from below it. */
Status load_ask_swept(Loader *loader, const TableSchema *table, Version version, Error *error);

/* Notes that the events of the batch's letters, and those too large for Kafka, are not loaded. */
Status load_note_gaps(Loader *loader, const Batch *batch, Error *error);

#endif

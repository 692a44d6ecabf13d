/*
 * dashboard_internal.h - what the files of the dashboard share: dashboard.c makes and keeps the answer,
 * dashboard_figures.c asks for its own figures, dashboard_queries.c runs the queries of a folder.
 */
#ifndef WALHOUSE_AGENT_DASHBOARD_INTERNAL_H
#define WALHOUSE_AGENT_DASHBOARD_INTERNAL_H

#include <jansson.h>
#include <pthread.h>

#include "agent/clickhouse.h"
#include "agent/dashboard.h"
#include "agent/text.h"

/* A connection with an answer that is kept for a while. */
typedef struct Asker {
    ClickHouse *client;
    pthread_mutex_t lock;
    int64_t asked_at_ms; /* monotonic; 0: never */
} Asker;

struct Dashboard {
    Config config; /* the agent's, with a shorter timeout; its strings are the agent's */
    Lag *lag;
    Registry *registry;
    Metrics *metrics;
    Asker summary; /* its client is the maker's; its lock is of the answer */
    pthread_cond_t made;
    bool making; /* a thread is asking for a new answer */
    char *json;  /* the last answer, of the summary's asker */
    size_t json_size;
    Status json_status;
    Asker probe;
    Status probe_status;
    Error probe_error;
};

/* Rows of a statement that ends in FORMAT JSONEachRow; json_decref() them. */
Status dashboard_ask(Dashboard *d, Text *sql, json_t **rows, Error *error);

/* The summary's own figures; a table that is not there yet has no rows. */
Status dashboard_tables(Dashboard *d, json_t **tables, Error *error);
Status dashboard_latency(Dashboard *d, json_t **latency, Error *error);
Status dashboard_dead_letters(Dashboard *d, json_t **dlq, Error *error);

/* The rows of every query in the folder; what failed goes into errors. */
void dashboard_run_queries(Dashboard *d, json_t *queries, json_t *errors);

#endif

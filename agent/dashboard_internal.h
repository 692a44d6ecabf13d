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

/* Times are in microseconds: what interpolation adds beyond them would let equal percentiles differ. */
#define DASHBOARD_PERCENTILES                                                                                \
    "round(quantile(0.5)(ms), 3) AS p50, round(quantile(0.95)(ms), 3) AS p95, "                              \
    "round(quantile(0.99)(ms), 3) AS p99"

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
    Replay *replay;
    Asker summary; /* its client is the maker's; its lock is of the answer */
    pthread_cond_t made;
    bool making; /* a thread is asking for a new answer */
    char *json;  /* the last answer, of the summary's asker */
    size_t json_size;
    Status json_status;
    json_t *history; /* the maker's: what is asked less often; NULL: not yet */
    int64_t history_at_ms;
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

/* The line's own words: the source, Kafka's lag, what the agent has done. Asks no warehouse. */
json_t *dashboard_line(Dashboard *d);

/*
 * What changes slowly or costs more, kept for a few seconds: latencies minute by minute, schema changes. A
 * part that the warehouse does not answer is null.
 */
Status dashboard_history(Dashboard *d, json_t **history, Error *error);
/* The newest letters that wait. */
Status dashboard_letters(Dashboard *d, json_t **letters, Error *error);

/* A statement for the summary's own figures: a table that is not there yet has no rows. */
Status dashboard_ask_own(Dashboard *d, Text *sql, json_t **rows, Error *error);
Status dashboard_ask_own_text(Dashboard *d, const char *statement, json_t **rows, Error *error);

/* The storage tables that have the two times of a row. */
Status dashboard_storages(Dashboard *d, json_t **storages, Error *error);
/*
 * A subquery of them: ms, from commit in Postgres to loaded, and minute, of the rows loaded in the last
 * window_s seconds.
 */
void dashboard_append_latencies(Text *sql, const Config *config, const json_t *storages, int window_s);

/* The rows of every query in the folder; what failed goes into errors. */
void dashboard_run_queries(Dashboard *d, json_t *queries, json_t *errors);

#endif

/*
 * metrics.h - what the agent counts; written by its threads, read by /metrics, /api/summary and /api/status.
 * docs/metrics.md says what each is for.
 */
#ifndef WALHOUSE_AGENT_METRICS_H
#define WALHOUSE_AGENT_METRICS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/labels.h"
#include "agent/lag_times.h"
#include "agent/source_news.h"
#include "agent/table_state.h"

/* Why a message became a dead letter; the codes are those of docs/wire-format.md. */
typedef enum Reason {
    REASON_UNDECODABLE,
    REASON_UNKNOWN_SCHEMA,
    REASON_VALUE_OUT_OF_RANGE,
    REASON_REJECTED,
    REASON_IMPLAUSIBLE_VERSION,
    REASON_TOO_LARGE, /* the publisher's */
    REASON_COUNT
} Reason;

const char *reason_code(Reason reason);

#define METRICS_BUCKETS 13

/* Upper bounds of the buckets, and how many of what is observed make one of the unit that is shown. */
typedef struct HistogramShape {
    double bounds[METRICS_BUCKETS];
    double scale;
} HistogramShape;

typedef struct Histogram {
    const HistogramShape *shape;
    atomic_uint_fast64_t buckets[METRICS_BUCKETS + 1]; /* the last one is +Inf */
    atomic_uint_fast64_t sum;
} Histogram;

typedef struct Metrics {
    atomic_uint_fast64_t messages_consumed;
    atomic_uint_fast64_t rows_loaded;
    atomic_uint_fast64_t bytes_loaded;
    atomic_uint_fast64_t truncates;
    atomic_uint_fast64_t late_rows;
    atomic_uint_fast64_t rows_adjusted;  /* by the pipeline's policy for values out of range */
    atomic_uint_fast64_t rows_resolved;  /* their events left unchanged values out */
    atomic_uint_fast64_t rows_requested; /* of the source, as such a value was not to be had */
    atomic_uint_fast64_t inserts;
    Labels retries;        /* by cause */
    Labels table_inserts;  /* that ClickHouse took, by table */
    Labels schema_changes; /* of tables in ClickHouse, by kind: table_created, column_added, ... */
    atomic_uint_fast64_t commits;
    atomic_uint_fast64_t dead_letters[REASON_COUNT];
    atomic_uint_fast64_t schemas;
    atomic_uint_fast64_t gaps; /* of partitions, in Kafka */
    atomic_uint_fast64_t gap_messages;
    atomic_uint_fast64_t warehouse_restarts;
    atomic_uint_fast64_t rewound_messages;
    atomic_uint_fast64_t batch_rows; /* waiting in the batch being filled */
    Histogram insert_seconds;        /* observed in microseconds, as the other times */
    Histogram insert_rows;
    Histogram insert_bytes;
    Histogram end_to_end_seconds; /* commit in Postgres to loaded, of each batch's oldest row */

    /* states */
    atomic_bool registry_loaded;
    atomic_bool kafka_reachable;
    atomic_bool group_joined; /* partitions were given out, be it none to this agent */
    atomic_bool clickhouse_reachable;
    atomic_bool reload_failed;            /* the file was wrong when the settings were last read again */
    atomic_int_fast64_t blocked_since_ms; /* monotonic: nothing is taken from Kafka since; 0: it is */
    int64_t started_at_ms;                /* Unix time */
    TableStates tables;
    LagTimes lag_times;
    SourceNews source;

    pthread_mutex_t lock; /* of what follows */
    char last_error[512]; /* empty: none */
    int64_t last_error_at_ms;
} Metrics;

/* false: no mutex to be had. */
bool metrics_init(Metrics *metrics);
void metrics_fini(Metrics *metrics);

void metrics_observe(Histogram *histogram, int64_t value);
void metrics_set_error(Metrics *metrics, const char *text);
void metrics_get_error(Metrics *metrics, char *text, size_t size);

/* All metrics in Prometheus's text format, malloc'ed; NULL: out of memory. */
char *metrics_render(Metrics *metrics, size_t *size);

#endif

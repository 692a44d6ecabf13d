/*
 * metrics.c - what the agent counts; see metrics.h. Its form for Prometheus is metrics_render.c's.
 */
#include "agent/metrics.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

const char *reason_code(Reason reason)
{
    static const char *const codes[REASON_COUNT] = {
        [REASON_UNDECODABLE] = "undecodable",
        [REASON_UNKNOWN_SCHEMA] = "unknown_schema",
        [REASON_VALUE_OUT_OF_RANGE] = "value_out_of_range",
        [REASON_REJECTED] = "rejected",
        [REASON_IMPLAUSIBLE_VERSION] = "implausible_version",
        [REASON_TOO_LARGE] = "too_large",
    };

    return codes[reason];
}

static void shape_histograms(Metrics *metrics)
{
    static const HistogramShape seconds = {{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
                                           1e6};
    static const HistogramShape rows = {
        {1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000}, 1};
    static const HistogramShape bytes = {{256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216,
                                          67108864, 134217728, 268435456, 1073741824},
                                         1};

    metrics->insert_seconds.shape = &seconds;
    metrics->end_to_end_seconds.shape = &seconds;
    metrics->insert_rows.shape = &rows;
    metrics->insert_bytes.shape = &bytes;
}

bool metrics_init(Metrics *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    metrics->started_at_ms = clock_wall_us() / 1000;
    shape_histograms(metrics);
    if (!table_states_init(&metrics->tables))
        return false;
    /* A mutex without attributes takes no memory of its own: the first that fails is the last. */
    if (lag_times_init(&metrics->lag_times) && labels_init(&metrics->retries) &&
        labels_init(&metrics->table_inserts) && labels_init(&metrics->schema_changes) &&
        source_news_init(&metrics->source) && pthread_mutex_init(&metrics->lock, NULL) == 0)
        return true;
    table_states_fini(&metrics->tables);
    return false;
}

void metrics_fini(Metrics *metrics)
{
    table_states_fini(&metrics->tables);
    lag_times_fini(&metrics->lag_times);
    labels_fini(&metrics->retries);
    labels_fini(&metrics->table_inserts);
    labels_fini(&metrics->schema_changes);
    source_news_fini(&metrics->source);
    (void)pthread_mutex_destroy(&metrics->lock);
}

void metrics_observe(Histogram *histogram, int64_t value)
{
    int bucket = 0;

    if (value < 0)
        value = 0; /* two clocks */
    while (bucket < METRICS_BUCKETS &&
           (double)value > histogram->shape->bounds[bucket] * histogram->shape->scale)
        bucket++;
    atomic_fetch_add(&histogram->buckets[bucket], 1);
    atomic_fetch_add(&histogram->sum, (uint64_t)value);
}

void metrics_set_error(Metrics *metrics, const char *text)
{
    (void)pthread_mutex_lock(&metrics->lock);
    (void)snprintf(metrics->last_error, sizeof metrics->last_error, "%s", text);
    metrics->last_error_at_ms = clock_wall_us() / 1000;
    (void)pthread_mutex_unlock(&metrics->lock);
}

void metrics_get_error(Metrics *metrics, char *text, size_t size)
{
    (void)pthread_mutex_lock(&metrics->lock);
    (void)snprintf(text, size, "%s", metrics->last_error);
    (void)pthread_mutex_unlock(&metrics->lock);
}

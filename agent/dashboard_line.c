/*
 * dashboard_line.c - the summary's words about the line itself, from the source to here; see dashboard.h.
 *
 *      publisher's heartbeat (source_news.c) --.
 *      lag of the group (lag.c) ---------------+--> "line": shown also while the warehouse is away
 *      what the agent has counted (metrics.h) -'
 */

#include "agent/dashboard_internal.h"
#include "lib/clock.h"

/* The oldest message that waits, of all partitions. */
static void see_partition(void *context, const LagPartition *partition)
{
    int64_t *since_ms = context;

    if (partition->since_ms && (*since_ms == 0 || partition->since_ms < *since_ms))
        *since_ms = partition->since_ms;
}

static json_t *make_kafka(Dashboard *d)
{
    int64_t since_ms = 0;
    int64_t messages = lag_read(d->lag, see_partition, &since_ms);

    return json_pack("{s:o, s:o, s:b}", "lag_messages", messages < 0 ? json_null() : json_integer(messages),
                     "waiting_since_ms", since_ms ? json_integer(since_ms) : json_null(), "reachable",
                     atomic_load(&d->metrics->kafka_reachable));
}

/* Counters, and the moment of which they are: the page makes rates of two answers. */
static json_t *make_counters(Metrics *m)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "at_ms", (json_int_t)clock_wall_us() / 1000,
        "started_at_ms", (json_int_t)m->started_at_ms, "messages",
        (json_int_t)atomic_load(&m->messages_consumed), "rows", (json_int_t)atomic_load(&m->rows_loaded),
        "bytes", (json_int_t)atomic_load(&m->bytes_loaded), "inserts", (json_int_t)atomic_load(&m->inserts),
        "batch_rows", (json_int_t)atomic_load(&m->batch_rows), "tables_stopped",
        (int)table_states_count(&m->tables, TABLE_STOPPED));
}

json_t *dashboard_line(Dashboard *d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "source", source_news_source(&d->metrics->source),
                     "snapshots", source_news_snapshots(&d->metrics->source), "kafka", make_kafka(d), "agent",
                     make_counters(d->metrics), "clickhouse_takes_rows",
                     atomic_load(&d->metrics->clickhouse_reachable));
}

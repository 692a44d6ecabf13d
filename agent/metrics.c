/*
 * metrics.c - what the agent counts, and its form for Prometheus; see metrics.h.
 */
#include "agent/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/text.h"

/* Upper bounds of the histograms' buckets. */
static const double bounds_s[METRICS_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                 1,     2.5,  5,     10,   30,  60};

const char *reason_code(Reason reason)
{
    static const char *const codes[REASON_COUNT] = {
        [REASON_UNDECODABLE] = "undecodable",
        [REASON_UNKNOWN_SCHEMA] = "unknown_schema",
        [REASON_VALUE_OUT_OF_RANGE] = "value_out_of_range",
        [REASON_UNCHANGED_VALUE] = "unchanged_value",
        [REASON_REJECTED] = "rejected",
        [REASON_TOO_LARGE] = "too_large",
    };

    return codes[reason];
}

bool metrics_init(Metrics *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    if (!table_states_init(&metrics->tables))
        return false;
    if (pthread_mutex_init(&metrics->lock, NULL) == 0)
        return true;
    table_states_fini(&metrics->tables);
    return false;
}

void metrics_fini(Metrics *metrics)
{
    table_states_fini(&metrics->tables);
    (void)pthread_mutex_destroy(&metrics->lock);
}

void metrics_observe(Histogram *histogram, int64_t us)
{
    int bucket = 0;

    if (us < 0)
        us = 0; /* two clocks */
    while (bucket < METRICS_BUCKETS && (double)us > bounds_s[bucket] * 1e6)
        bucket++;
    atomic_fetch_add(&histogram->buckets[bucket], 1);
    atomic_fetch_add(&histogram->sum_us, (uint64_t)us);
}

void metrics_set_error(Metrics *metrics, const char *text)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)pthread_mutex_lock(&metrics->lock);
    (void)snprintf(metrics->last_error, sizeof metrics->last_error, "%s", text);
    metrics->last_error_at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    (void)pthread_mutex_unlock(&metrics->lock);
}

void metrics_get_error(Metrics *metrics, char *text, size_t size)
{
    (void)pthread_mutex_lock(&metrics->lock);
    (void)snprintf(text, size, "%s", metrics->last_error);
    (void)pthread_mutex_unlock(&metrics->lock);
}

static void put_help(Text *text, const char *name, const char *type, const char *help)
{
    text_appendf(text, "# HELP walhouse_agent_%s %s\n# TYPE walhouse_agent_%s %s\n", name, help, name, type);
}

static void put_number(Text *text, const char *name, const char *type, const char *help, uint64_t value)
{
    put_help(text, name, type, help);
    text_appendf(text, "walhouse_agent_%s %" PRIu64 "\n", name, value);
}

static void put_histogram(Text *text, const char *name, const char *help, Histogram *histogram)
{
    uint64_t count = 0;

    put_help(text, name, "histogram", help);
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        count += atomic_load(&histogram->buckets[i]);
        text_appendf(text, "walhouse_agent_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds_s[i], count);
    }
    count += atomic_load(&histogram->buckets[METRICS_BUCKETS]);
    text_appendf(text, "walhouse_agent_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    text_appendf(text, "walhouse_agent_%s_sum %.6f\n", name, (double)atomic_load(&histogram->sum_us) / 1e6);
    text_appendf(text, "walhouse_agent_%s_count %" PRIu64 "\n", name, count);
}

static void put_dead_letters(Text *text, Metrics *metrics)
{
    put_help(text, "dead_letters_total", "counter", "Messages sent to the dead-letter queue, by reason.");
    for (int i = 0; i < REASON_COUNT; i++)
        text_appendf(text, "walhouse_agent_dead_letters_total{reason=\"%s\"} %" PRIu64 "\n",
                     reason_code((Reason)i), (uint64_t)atomic_load(&metrics->dead_letters[i]));
}

/* A label's value, escaped. */
static void append_label(Text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            text_append(text, "\\n", 2);
        else
            text_appendf(text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
}

static void put_state(void *context, const TableState *state)
{
    Text *text = context;

    text_appendf(text, "walhouse_agent_table_state{table=\"");
    append_label(text, state->table);
    text_appendf(text, "\",state=\"%s\",code=\"", table_state_name(state->kind));
    append_label(text, state->code);
    text_appendf(text, "\"} 1\n");
}

static void put_tables(Text *text, TableStates *tables)
{
    put_number(text, "tables_stopped", "gauge",
               "Tables whose rows wait in Kafka because they cannot be loaded.",
               table_states_count(tables, TABLE_STOPPED));
    put_number(text, "tables_filling", "gauge", "Tables that are not whole until a snapshot has passed.",
               table_states_count(tables, TABLE_FILLING));
    put_help(text, "table_state", "gauge", "1 for each state of a table that does not simply load.");
    table_states_each(tables, put_state, text);
}

static void put_memory(Text *text)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return;
    if (fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    text_appendf(text,
                 "# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
                 "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lld\n",
                 (long long)pages * sysconf(_SC_PAGESIZE));
}

char *metrics_render(Metrics *m, size_t *size)
{
    Text text = {0};

    put_number(&text, "messages_consumed_total", "counter", "Messages taken from Kafka.",
               atomic_load(&m->messages_consumed));
    put_number(&text, "rows_loaded_total", "counter", "Row versions written to ClickHouse.",
               atomic_load(&m->rows_loaded));
    put_number(&text, "bytes_loaded_total", "counter", "RowBinary bytes written to ClickHouse.",
               atomic_load(&m->bytes_loaded));
    put_number(&text, "truncates_total", "counter", "Truncates and sweeps that were carried out.",
               atomic_load(&m->truncates));
    put_number(&text, "late_rows_total", "counter",
               "Rows that a truncate or a sweep had taken away before they came.",
               atomic_load(&m->late_rows));
    put_number(&text, "rows_adjusted_total", "counter",
               "Row versions with a value that its type cannot hold, loaded as the pipeline's policy says.",
               atomic_load(&m->rows_adjusted));
    put_number(&text, "inserts_total", "counter", "INSERT requests, tries included.",
               atomic_load(&m->inserts));
    put_number(&text, "retries_total", "counter",
               "Steps that failed for a passing reason and were tried again.",
               atomic_load(&m->insert_retries));
    put_number(&text, "offset_commits_total", "counter", "Offset commits that Kafka acknowledged.",
               atomic_load(&m->commits));
    put_number(&text, "schemas_total", "counter", "Schema versions read from the schema topic.",
               atomic_load(&m->schemas));
    put_number(&text, "batch_rows", "gauge", "Rows in the batch being filled.", atomic_load(&m->batch_rows));
    put_tables(&text, &m->tables);
    put_number(&text, "kafka_up", "gauge", "1 while Kafka answers.", atomic_load(&m->kafka_reachable));
    put_number(&text, "clickhouse_up", "gauge", "1 while ClickHouse answers.",
               atomic_load(&m->clickhouse_reachable));
    put_dead_letters(&text, m);
    put_histogram(&text, "insert_duration_seconds", "Duration of INSERT requests.", &m->insert_seconds);
    put_histogram(&text, "end_to_end_seconds",
                  "From commit in Postgres to loaded, of the oldest row of each insert.",
                  &m->end_to_end_seconds);
    put_memory(&text);
    if (text.failed) {
        text_free(&text);
        return NULL;
    }
    *size = text.size;
    return text.data;
}

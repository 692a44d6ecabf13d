/*
 * metrics_render.c - the agent's metrics in Prometheus's text format; see metrics.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/metrics.h"
#include "agent/text.h"
#include "lib/clock.h"

static void put_help(Text *text, const char *name, const char *type, const char *help)
{
    text_appendf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(Text *text, const char *name, const char *type, const char *help, uint64_t value)
{
    put_help(text, name, type, help);
    text_appendf(text, "%s %" PRIu64 "\n", name, value);
}

static void put_seconds(Text *text, const char *name, const char *type, const char *help, double value)
{
    put_help(text, name, type, help);
    text_appendf(text, "%s %.3f\n", name, value);
}

static void append_label(Text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            text_append(text, "\\n", 2);
        else
            text_appendf(text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
}

/* ---- kinds of metrics ---- */

static void put_histogram(Text *text, const char *name, const char *help, Histogram *histogram)
{
    uint64_t count = 0;

    put_help(text, name, "histogram", help);
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        count += atomic_load(&histogram->buckets[i]);
        text_appendf(text, "%s_bucket{le=\"%.10g\"} %" PRIu64 "\n", name, histogram->shape->bounds[i], count);
    }
    count += atomic_load(&histogram->buckets[METRICS_BUCKETS]);
    text_appendf(text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    text_appendf(text, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
                 (double)atomic_load(&histogram->sum) / histogram->shape->scale, name, count);
}

typedef struct LabelledText {
    Text *text;
    const char *name;
    const char *label;
} LabelledText;

static void put_label(void *context, const Label *label)
{
    const LabelledText *to = context;

    text_appendf(to->text, "%s{%s=\"", to->name, to->label);
    append_label(to->text, label->value);
    text_appendf(to->text, "\"} %" PRIu64 "\n", label->count);
}

static void put_labels(Text *text, const char *name, const char *label, const char *help, Labels *labels)
{
    LabelledText to = {text, name, label};

    put_help(text, name, "counter", help);
    labels_each(labels, put_label, &to);
}

static void put_dead_letters(Text *text, Metrics *metrics)
{
    put_help(text, "walhouse_agent_dead_letters_total", "counter",
             "Messages sent to the dead-letter queue, by reason.");
    for (int i = 0; i < REASON_COUNT; i++)
        text_appendf(text, "walhouse_agent_dead_letters_total{reason=\"%s\"} %" PRIu64 "\n",
                     reason_code((Reason)i), (uint64_t)atomic_load(&metrics->dead_letters[i]));
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

/* ---- groups of metrics ---- */

static void put_flow(Text *text, Metrics *m)
{
    put_number(text, "walhouse_agent_messages_consumed_total", "counter", "Messages taken from Kafka.",
               atomic_load(&m->messages_consumed));
    put_number(text, "walhouse_agent_rows_loaded_total", "counter", "Row versions written to ClickHouse.",
               atomic_load(&m->rows_loaded));
    put_number(text, "walhouse_agent_bytes_loaded_total", "counter", "RowBinary bytes written to ClickHouse.",
               atomic_load(&m->bytes_loaded));
    put_number(text, "walhouse_agent_truncates_total", "counter",
               "Truncates and sweeps that were carried out.", atomic_load(&m->truncates));
    put_number(text, "walhouse_agent_gaps_total", "counter",
               "Times that what a partition should give next was not in Kafka any more.",
               atomic_load(&m->gaps));
    put_number(text, "walhouse_agent_gap_messages_total", "counter",
               "Messages that were lost in gaps, as far as it is known.", atomic_load(&m->gap_messages));
    put_number(text, "walhouse_agent_warehouse_restarts_total", "counter",
               "Restarts of ClickHouse that were noticed, after which the last messages are read again.",
               atomic_load(&m->warehouse_restarts));
    put_number(text, "walhouse_agent_rewound_messages_total", "counter",
               "Messages that were read again after such restarts.", atomic_load(&m->rewound_messages));
    put_number(text, "walhouse_agent_late_rows_total", "counter",
               "Rows that a truncate or a sweep had taken away before they came.",
               atomic_load(&m->late_rows));
    put_number(text, "walhouse_agent_rows_adjusted_total", "counter",
               "Row versions with a value that its type cannot hold, loaded as the pipeline's policy says.",
               atomic_load(&m->rows_adjusted));
    put_number(text, "walhouse_agent_rows_resolved_total", "counter",
               "Row versions whose event left unchanged values out, loaded with those of the row before.",
               atomic_load(&m->rows_resolved));
    put_number(text, "walhouse_agent_rows_requested_total", "counter",
               "Rows asked of the source because an unchanged value is in no earlier row.",
               atomic_load(&m->rows_requested));
    put_number(text, "walhouse_agent_offset_commits_total", "counter",
               "Offset commits that Kafka acknowledged.", atomic_load(&m->commits));
    put_number(text, "walhouse_agent_batch_rows", "gauge", "Rows in the batch being filled.",
               atomic_load(&m->batch_rows));
    put_dead_letters(text, m);
    put_histogram(text, "walhouse_agent_end_to_end_seconds",
                  "From commit in Postgres to loaded, of the oldest row of each insert.",
                  &m->end_to_end_seconds);
}

static void put_inserts(Text *text, Metrics *m)
{
    put_number(text, "walhouse_agent_inserts_total", "counter", "INSERT requests, tries included.",
               atomic_load(&m->inserts));
    put_labels(text, "walhouse_agent_table_inserts_total", "table",
               "INSERT requests that ClickHouse took, by table: each is a new part, or several.",
               &m->table_inserts);
    put_labels(text, "walhouse_agent_retries_total", "cause",
               "Steps that failed for a passing reason and were tried again, by cause.", &m->retries);
    put_histogram(text, "walhouse_agent_insert_duration_seconds", "Duration of INSERT requests.",
                  &m->insert_seconds);
    put_histogram(text, "walhouse_agent_insert_rows", "Rows of INSERT requests.", &m->insert_rows);
    put_histogram(text, "walhouse_agent_insert_bytes", "RowBinary bytes of INSERT requests.",
                  &m->insert_bytes);
}

static void put_tables(Text *text, Metrics *m)
{
    put_number(text, "walhouse_agent_schemas_total", "counter", "Schema versions read from the schema topic.",
               atomic_load(&m->schemas));
    put_labels(text, "walhouse_agent_schema_changes_total", "kind",
               "Changes made to tables and views in ClickHouse, by kind.", &m->schema_changes);
    put_number(text, "walhouse_agent_tables_stopped", "gauge",
               "Tables whose rows wait in Kafka because they cannot be loaded.",
               table_states_count(&m->tables, TABLE_STOPPED));
    put_number(text, "walhouse_agent_tables_filling", "gauge",
               "Tables that are not whole until a snapshot has passed.",
               table_states_count(&m->tables, TABLE_FILLING));
    put_help(text, "walhouse_agent_table_state", "gauge",
             "1 for each state of a table that does not simply load.");
    table_states_each(&m->tables, put_state, text);
}

static double blocked_seconds(Metrics *m)
{
    int64_t since = atomic_load(&m->blocked_since_ms);

    return since ? (double)(clock_ms() - since) / 1000 : 0;
}

static void put_state_of_agent(Text *text, Metrics *m)
{
    put_number(text, "walhouse_agent_kafka_up", "gauge", "1 while Kafka answers.",
               atomic_load(&m->kafka_reachable));
    put_number(text, "walhouse_agent_clickhouse_up", "gauge", "1 while ClickHouse answers.",
               atomic_load(&m->clickhouse_reachable));
    put_seconds(text, "walhouse_agent_blocked_seconds", "gauge",
                "How long nothing has been taken from Kafka because ClickHouse does not keep up.",
                blocked_seconds(m));
    put_number(text, "walhouse_agent_config_last_reload_successful", "gauge",
               "0 when the settings could not be read again and the old ones are in force.",
               !atomic_load(&m->reload_failed));
    put_help(text, "walhouse_agent_build_info", "gauge", "1, with the version as a label.");
    text_appendf(text, "walhouse_agent_build_info{version=\"%s\"} 1\n", AGENT_VERSION);
}

/* As every Prometheus client has them. */
static void put_process(Text *text, const Metrics *m)
{
    struct rusage usage;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%*d %ld", &pages) == 1)
        put_number(text, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                   (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
    if (file)
        (void)fclose(file);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put_seconds(text, "process_cpu_seconds_total", "counter", "User and system CPU time in seconds.",
                    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    put_seconds(text, "process_start_time_seconds", "gauge", "Start time of the process in Unix seconds.",
                (double)m->started_at_ms / 1000);
}

char *metrics_render(Metrics *m, size_t *size)
{
    Text text = {0};

    put_flow(&text, m);
    put_inserts(&text, m);
    put_tables(&text, m);
    put_state_of_agent(&text, m);
    put_process(&text, m);
    if (text.failed) {
        text_free(&text);
        return NULL;
    }
    *size = text.size;
    return text.data;
}

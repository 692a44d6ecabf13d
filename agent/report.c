/*
 * report.c - the answer of /api/status; see report.h.
 *
 *      tables announced by the schema topic --.
 *      lag of each partition (lag.c) ---------+--> one object a table, the one that needs somebody first
 *      states of tables (table_state.c) ------'
 */
#include "agent/report.h"

#include <string.h>

#include "agent/command.h"
#include "lib/clock.h"

json_t *report_text(const char *text)
{
    json_t *value = json_string(text);
    char ascii[sizeof(Error)];
    size_t i;

    if (value)
        return value;
    for (i = 0; text[i] && i < sizeof ascii - 1; i++)
        ascii[i] = text[i] > 0 ? text[i] : '?';
    ascii[i] = '\0';
    return json_string(ascii);
}

static void add_state(void *context, const TableState *state)
{
    (void)json_array_append_new(
        context,
        json_pack("{s:o, s:s, s:s, s:o, s:o, s:I}", "table", report_text(state->table), "state",
                  table_state_name(state->kind), "code", state->code, "reason", report_text(state->reason),
                  "way_out", report_text(state->way_out), "since_ms", (json_int_t)state->since_ms));
}

json_t *report_table_states(TableStates *states)
{
    json_t *list = json_array();

    table_states_each(states, add_state, list);
    return list;
}

/* ---- tables ---- */

/* A table that loads; the others have states. */
static void add_table(void *context, const TableSchema *table)
{
    (void)json_object_set_new(context, table->topic,
                              json_pack("{s:s, s:s, s:s, s:n, s:n, s:[]}", "table", table->target.view_name,
                                        "topic", table->topic, "state", table_state_name(TABLE_LOADING),
                                        "lag_messages", "lag_since_ms", "states"));
}

static void add_lag(void *context, const LagPartition *partition)
{
    json_t *table = json_object_get(context, partition->topic);
    const json_t *since = json_object_get(table, "lag_since_ms");
    json_int_t messages = json_integer_value(json_object_get(table, "lag_messages"));

    if (table == NULL)
        return;
    (void)json_object_set_new(table, "lag_messages", json_integer(messages + partition->messages));
    if (partition->since_ms && (json_is_null(since) || partition->since_ms < json_integer_value(since)))
        (void)json_object_set_new(table, "lag_since_ms", json_integer(partition->since_ms));
}

/* To the table of its name; to one of its own where the schema topic does not have it. */
static void give_state(json_t *tables, json_t *state)
{
    const char *name = json_string_value(json_object_get(state, "table"));
    const char *topic;
    json_t *table;
    json_t *found = NULL;

    json_object_foreach(tables, topic, table) if (name && found == NULL &&
                                                  strcmp(json_string_value(json_object_get(table, "table")),
                                                         name) == 0) found = table;
    if (found == NULL && name) {
        found = json_pack("{s:s, s:n, s:s, s:n, s:n, s:[]}", "table", name, "topic", "state",
                          table_state_name(TABLE_LOADING), "lag_messages", "lag_since_ms", "states");
        (void)json_object_set_new(tables, name, found);
    }
    /* The gravest comes first. */
    if (json_array_size(json_object_get(found, "states")) == 0)
        (void)json_object_set(found, "state", json_object_get(state, "state"));
    (void)json_array_append(json_object_get(found, "states"), state);
}

static json_t *make_tables(Lag *lag, Registry *registry, Metrics *metrics, int64_t *lag_messages)
{
    json_t *tables = json_object(); /* by topic */
    json_t *states = report_table_states(&metrics->tables);
    json_t *list = json_array();
    const char *topic;
    json_t *value;
    size_t i;

    registry_each_table(registry, add_table, tables);
    *lag_messages = lag_read(lag, add_lag, tables);
    json_array_foreach(states, i, value) give_state(tables, value);
    json_object_foreach(tables, topic, value)(void) json_array_append(list, value);
    json_decref(states);
    json_decref(tables);
    return list;
}

/* ---- the whole ---- */

static json_t *make_error(Metrics *metrics)
{
    json_t *error;

    (void)pthread_mutex_lock(&metrics->lock);
    error = metrics->last_error[0] ? json_pack("{s:o, s:I}", "text", report_text(metrics->last_error),
                                               "at_ms", (json_int_t)metrics->last_error_at_ms)
                                   : json_null();
    (void)pthread_mutex_unlock(&metrics->lock);
    return error;
}

json_t *report_make(const Config *config, const char *state, json_t *reasons, Lag *lag, Registry *registry,
                    Metrics *metrics)
{
    int64_t messages;
    json_t *tables = make_tables(lag, registry, metrics, &messages);
    json_t *report =
        json_pack("{s:I, s:s, s:I, s:s, s:b, s:o, s:o, s:o, s:I}", "generated_at_ms",
                  (json_int_t)clock_wall_us() / 1000, "version", AGENT_VERSION, "started_at_ms",
                  (json_int_t)metrics->started_at_ms, "state", state, "ready", json_array_size(reasons) == 0,
                  "reasons", reasons, "tables", tables, "last_error", make_error(metrics), "rows_loaded",
                  (json_int_t)atomic_load(&metrics->rows_loaded));

    (void)json_object_set_new(report, "lag_messages", messages < 0 ? json_null() : json_integer(messages));
    (void)json_object_set_new(report, "kafka",
                              json_pack("{s:s, s:s}", "brokers", config->kafka_brokers, "topic_prefix",
                                        config->kafka_topic_prefix));
    (void)json_object_set_new(
        report, "clickhouse",
        json_pack("{s:s, s:s}", "url", config->clickhouse_url, "database", config->clickhouse_database));
    return report;
}

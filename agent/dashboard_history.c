/*
 * dashboard_history.c - the summary's figures over time: latencies minute by minute, schema changes; and the
 * letters that wait; see dashboard.h.
 *
 * They cost more than the figures of now, or change more slowly: they are asked every few seconds.
 */
#include <string.h>

#include "agent/dashboard_internal.h"
#include "lib/clock.h"

#define HISTORY_KEPT_MS    5000
#define HISTORY_S          3600
#define HISTORY_TIME_S     2
#define LETTERS_MAX        20
#define SCHEMA_CHANGES_MAX 30

/* ---- latency ---- */

static const int bounds_ms[] = {5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10000, 60000};
#define BOUNDS (sizeof bounds_ms / sizeof bounds_ms[0])

/* Rows above a bound and up to the next one; the last bucket has no end. */
static void append_buckets(Text *sql)
{
    text_appendf(sql, "[countIf(ms <= %d)", bounds_ms[0]);
    for (size_t i = 1; i < BOUNDS; i++)
        text_appendf(sql, ", countIf(ms > %d AND ms <= %d)", bounds_ms[i - 1], bounds_ms[i]);
    text_appendf(sql, ", countIf(ms > %d)] AS buckets", bounds_ms[BOUNDS - 1]);
}

static Status ask_minutes(Dashboard *d, json_t **minutes, Error *error)
{
    json_t *storages = NULL;
    Text sql = {0};
    Status status = dashboard_storages(d, &storages, error);

    if (status == STATUS_OK && json_array_size(storages) > 0) {
        text_appendf(
            &sql,
            "SELECT toUnixTimestamp(minute) * 1000 AS minute_ms, count() AS rows, " DASHBOARD_PERCENTILES
            ", ");
        append_buckets(&sql);
        text_appendf(&sql, " FROM ");
        dashboard_append_latencies(&sql, &d->config, storages, HISTORY_S);
        text_appendf(&sql,
                     " GROUP BY minute ORDER BY minute FORMAT JSONEachRow SETTINGS max_execution_time = %d",
                     HISTORY_TIME_S);
        status = dashboard_ask_own(d, &sql, minutes, error);
    } else if (status == STATUS_OK) {
        *minutes = json_array();
    }
    text_free(&sql);
    json_decref(storages);
    return status;
}

static json_t *make_bounds(void)
{
    json_t *bounds = json_array();

    for (size_t i = 0; i < BOUNDS; i++)
        (void)json_array_append_new(bounds, json_integer(bounds_ms[i]));
    return bounds;
}

/* ---- schema changes ---- */

/*
 * A row for each schema that took over a view, with the columns it shows and those that the one before it
 * showed: empty for the first.
 */
static Status ask_schema_changes(Dashboard *d, json_t **changes, Error *error)
{
    static const char sql[] =
        "SELECT database, view, fingerprint, time_ms, columns, previous FROM ("
        "SELECT database, view, fingerprint, toUnixTimestamp64Milli(time) AS time_ms, "
        "arrayFilter(c -> c NOT IN ('_version', '_commit_time', '_loaded_time'), "
        "extractAll(definition, ' AS `([^`]*)`')) AS columns, "
        "lagInFrame(columns) OVER (PARTITION BY source, relation ORDER BY version, time "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS previous "
        "FROM `_walhouse_tables` FINAL) ORDER BY time_ms DESC, view LIMIT %d FORMAT JSONEachRow "
        "SETTINGS max_execution_time = %d";
    Text text = {0};
    Status status;

    text_appendf(&text, sql, SCHEMA_CHANGES_MAX, HISTORY_TIME_S);
    status = dashboard_ask_own(d, &text, changes, error);
    text_free(&text);
    return status;
}

/* ---- the whole ---- */

/* Did the warehouse answer at all, be it with a refusal? */
static bool has_answered(Dashboard *d, Status status)
{
    return status == STATUS_OK || clickhouse_exception_code(d->summary.client) != 0;
}

Status dashboard_history(Dashboard *d, json_t **history, Error *error)
{
    json_t *minutes = NULL;
    json_t *changes = NULL;
    Status status = STATUS_OK;

    if (d->history == NULL || clock_ms() - d->history_at_ms >= HISTORY_KEPT_MS) {
        status = ask_minutes(d, &minutes, error);
        if (has_answered(d, status))
            status = ask_schema_changes(d, &changes, error);
        if (has_answered(d, status)) {
            json_decref(d->history);
            d->history = json_pack("{s:o, s:o?, s:o?}", "bounds_ms", make_bounds(), "minutes",
                                   json_incref(minutes), "schema_changes", json_incref(changes));
            d->history_at_ms = clock_ms();
            status = STATUS_OK;
        }
        json_decref(minutes);
        json_decref(changes);
    }
    *history = json_incref(d->history);
    return status;
}

Status dashboard_letters(Dashboard *d, json_t **letters, Error *error)
{
    Text sql = {0};
    Status status;

    text_appendf(
        &sql,
        "SELECT topic, partition, offset, reason, error, toUnixTimestamp64Milli(time) AS time_ms, key, "
        "dlq_partition, dlq_offset FROM `_walhouse_dead_letters` FINAL WHERE state = 'waiting' "
        "ORDER BY time DESC, topic, partition, offset LIMIT %d FORMAT JSONEachRow",
        LETTERS_MAX);
    status = dashboard_ask_own(d, &sql, letters, error);
    text_free(&sql);
    return status;
}

/*
 * dashboard.c - the answer of /api/summary; see dashboard.h.
 *
 *      warehouse:  row counts, latencies, dead letters --.
 *      warehouse:  [http] queries/NAME.sql --------------+--> JSON, kept for a second
 *      the line:   source, lag, counters ----------------+
 *      agent:      state, rows loaded, last error -------'
 *
 * Without the warehouse's own figures there is no summary: a zero in their place would pass for one. A query
 * of a file that fails is told beside the others, which still show.
 */
#include "agent/dashboard.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dashboard_internal.h"
#include "agent/report.h"
#include "lib/clock.h"
#include "lib/log.h"

#define SUMMARY_KEPT_MS  1000
#define PROBE_KEPT_MS    1000
#define ANSWER_TIMEOUT_S 10
#define ERROR_SHOWN_MS   600000

/* ---- the whole ---- */

const char *dashboard_state(Metrics *metrics, bool clickhouse_answers)
{
    if (!atomic_load(&metrics->kafka_reachable))
        return "waiting_for_kafka";
    if (!atomic_load(&metrics->registry_loaded))
        return "starting";
    if (!clickhouse_answers || !atomic_load(&metrics->clickhouse_reachable))
        return "waiting_for_clickhouse";
    return table_states_count(&metrics->tables, TABLE_STOPPED) > 0 ? "table_stopped" : "running";
}

static json_t *make_agent(Dashboard *d, bool clickhouse_answers)
{
    Metrics *metrics = d->metrics;
    json_t *agent = json_object();
    int64_t now = clock_wall_us() / 1000;
    bool recent;
    int64_t lag = lag_read(d->lag, NULL, NULL);

    (void)json_object_set_new(agent, "lag_messages", lag < 0 ? json_null() : json_integer(lag));
    (void)json_object_set_new(agent, "state", json_string(dashboard_state(metrics, clickhouse_answers)));
    (void)json_object_set_new(agent, "rows_loaded",
                              json_integer((json_int_t)atomic_load(&metrics->rows_loaded)));
    (void)pthread_mutex_lock(&metrics->lock);
    recent = metrics->last_error[0] && now - metrics->last_error_at_ms < ERROR_SHOWN_MS;
    (void)json_object_set_new(agent, "last_error", recent ? report_text(metrics->last_error) : json_null());
    (void)pthread_mutex_unlock(&metrics->lock);
    (void)json_object_set_new(agent, "table_states", report_table_states(&metrics->tables));
    return agent;
}

/* One of the summary's own figures into it, unless one before it was not to be had. */
typedef Status (*Figure)(Dashboard *d, json_t **value, Error *error);

static void put_figure(Dashboard *d, json_t *figures, const char *name, Figure figure, Status *status,
                       Error *error)
{
    json_t *value = NULL;

    if (*status != STATUS_OK)
        return;
    *status = figure(d, &value, error);
    if (*status == STATUS_OK)
        (void)json_object_set(figures, name, value);
    json_decref(value);
}

/* In both cases *summary is what to answer. */
static Status make_summary(Dashboard *d, json_t **summary)
{
    json_t *figures = json_object();
    json_t *queries = json_object();
    json_t *errors = json_object();
    Error error = {""};
    Status status = STATUS_OK;

    *summary = json_object();
    (void)json_object_set_new(*summary, "generated_at_ms", json_integer(clock_wall_us() / 1000));
    put_figure(d, figures, "tables", dashboard_tables, &status, &error);
    put_figure(d, figures, "latency_ms", dashboard_latency, &status, &error);
    put_figure(d, figures, "dlq", dashboard_dead_letters, &status, &error);
    put_figure(d, figures, "dead_letters", dashboard_letters, &status, &error);
    put_figure(d, figures, "history", dashboard_history, &status, &error);
    if (status == STATUS_OK)
        dashboard_run_queries(d, queries, errors);
    (void)json_object_set_new(*summary, "agent", make_agent(d, status == STATUS_OK));
    (void)json_object_set_new(*summary, "line", dashboard_line(d));
    if (status == STATUS_OK) {
        (void)json_object_update(*summary, figures);
        (void)json_object_set_new(*summary, "replay", replay_state(d->replay));
        (void)json_object_set(*summary, "queries", queries);
        (void)json_object_set(*summary, "queries_errors", errors);
    } else {
        (void)json_object_set_new(
            *summary, "error",
            json_pack("{s:s, s:o}", "code", "warehouse_away", "message", report_text(error.text)));
    }
    json_decref(figures);
    json_decref(queries);
    json_decref(errors);
    return status;
}

/* Makes a new answer, without the lock while it asks. */
static void renew(Dashboard *d)
{
    json_t *summary = NULL;
    Status status;
    char *json;

    d->making = true;
    (void)pthread_mutex_unlock(&d->summary.lock);
    status = make_summary(d, &summary);
    json = json_dumps(summary, JSON_COMPACT);
    json_decref(summary);
    (void)pthread_mutex_lock(&d->summary.lock);
    free(d->json);
    d->json = json;
    d->json_size = json ? strlen(json) : 0;
    d->json_status = status;
    d->summary.asked_at_ms = clock_ms();
    d->making = false;
    (void)pthread_cond_broadcast(&d->made);
}

Status dashboard_summary(Dashboard *d, char **json, size_t *size)
{
    Status status;

    *json = NULL;
    (void)pthread_mutex_lock(&d->summary.lock);
    /* Only the first answer is waited for: a warehouse that hangs must not hang every thread of the server.
     */
    while (d->making && d->json == NULL)
        (void)pthread_cond_wait(&d->made, &d->summary.lock);
    if (!d->making && (d->json == NULL || clock_ms() - d->summary.asked_at_ms >= SUMMARY_KEPT_MS))
        renew(d);
    if (d->json && (*json = malloc(d->json_size + 1)) != NULL) {
        memcpy(*json, d->json, d->json_size + 1);
        *size = d->json_size;
    }
    status = d->json_status;
    (void)pthread_mutex_unlock(&d->summary.lock);
    return status;
}

Status dashboard_probe_clickhouse(Dashboard *d, Error *error)
{
    Status status;

    (void)pthread_mutex_lock(&d->probe.lock);
    if (d->probe.asked_at_ms == 0 || clock_ms() - d->probe.asked_at_ms >= PROBE_KEPT_MS ||
        d->probe_status != STATUS_OK) {
        d->probe_status = clickhouse_query(d->probe.client, "", "SELECT 1", NULL, NULL, &d->probe_error);
        d->probe.asked_at_ms = clock_ms();
    }
    status = d->probe_status;
    *error = d->probe_error;
    (void)pthread_mutex_unlock(&d->probe.lock);
    return status;
}

/* A folder that cannot be read is told once: each summary would only lack its queries. */
static void check_folder(const char *path)
{
    DIR *folder = path[0] ? opendir(path) : NULL;

    if (path[0] && folder == NULL)
        log_warning("[http] queries = %s: %s: the dashboard is without its queries", path, strerror(errno));
    if (folder)
        (void)closedir(folder);
}

static bool open_asker(Asker *asker, const Config *config, Error *error)
{
    *asker = (Asker){.client = clickhouse_open(config, error)};
    if (asker->client == NULL)
        return false;
    if (pthread_mutex_init(&asker->lock, NULL) == 0)
        return true;
    clickhouse_close(asker->client);
    (void)status_fail(error, STATUS_FATAL, "out of memory");
    return false;
}

static void close_asker(Asker *asker)
{
    clickhouse_close(asker->client);
    (void)pthread_mutex_destroy(&asker->lock);
}

Dashboard *dashboard_open(const Config *config, Lag *lag, Registry *registry, Metrics *metrics,
                          Replay *replay, Error *error)
{
    Dashboard *d = calloc(1, sizeof *d);

    if (d == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    d->config = *config;
    if (d->config.clickhouse_timeout_s > ANSWER_TIMEOUT_S)
        d->config.clickhouse_timeout_s = ANSWER_TIMEOUT_S;
    d->lag = lag;
    d->registry = registry;
    d->metrics = metrics;
    d->replay = replay;
    check_folder(config->http_queries);
    if (pthread_cond_init(&d->made, NULL) != 0) {
        free(d);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    if (!open_asker(&d->summary, &d->config, error)) {
        (void)pthread_cond_destroy(&d->made);
        free(d);
        return NULL;
    }
    if (!open_asker(&d->probe, &d->config, error)) {
        close_asker(&d->summary);
        (void)pthread_cond_destroy(&d->made);
        free(d);
        return NULL;
    }
    return d;
}

void dashboard_close(Dashboard *d)
{
    if (d == NULL)
        return;
    close_asker(&d->summary);
    close_asker(&d->probe);
    (void)pthread_cond_destroy(&d->made);
    json_decref(d->history);
    free(d->json);
    free(d);
}

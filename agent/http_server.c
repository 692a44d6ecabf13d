/*
 * http_server.c - health, metrics and the dashboard over HTTP; see http_server.h. Listening, routing and
 * files are lib/httpd's.
 */
#include "agent/http_server.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/dashboard.h"
#include "agent/text.h"
#include "lib/httpd.h"

#define CONNECTIONS_MAX    64
#define THREADS            8 /* an answer may wait for Kafka or ClickHouse, and the others must not wait for it */
#define IDLE_TIMEOUT_S     30
#define BODY_BYTES_MAX     4096
#define LAG_TIMEOUT_MS     10000
#define PROBE_TIMEOUT_MS   5000
#define LAG_METRIC_MS      2000 /* a scrape waits no longer for the brokers */
#define LAG_METRIC_KEPT_MS 5000

struct HttpServer {
    Consumer *consumer;
    Metrics *metrics;
    Dashboard *dashboard;
    Httpd *httpd;
    pthread_mutex_t lag_lock; /* of the two below */
    Text lag_metric;          /* the samples of the last scrape that asked */
    int64_t lag_until_ms;     /* monotonic */
};

/* ---- answers ---- */

/* Takes json over; without memory the response stays empty, which is a 500. */
static void reply_json(HttpdResponse *response, unsigned status, json_t *json)
{
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (body)
        *response = (HttpdResponse){
            .status = status, .content_type = "application/json", .body = body, .body_size = strlen(body)};
}

static void answer_health(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    (void)context;
    (void)request;
    (void)httpd_reply_text(response, 200, "application/json", "{\"status\":\"ok\"}");
}

static void add_reason(json_t *reasons, const char *what, const char *why)
{
    json_t *reason = json_sprintf("%s%s%s", what, why[0] ? ": " : "", why);

    /* A reason that was cut within a character is no JSON text: it still counts. */
    (void)json_array_append_new(reasons, reason ? reason : json_string(what));
}

static void add_stopped(void *context, const TableState *state)
{
    char why[TABLE_NAME_BYTES + TABLE_REASON_BYTES + TABLE_WAY_BYTES + 8];

    if (state->kind != TABLE_STOPPED)
        return;
    (void)snprintf(why, sizeof why, "%s: %s; %s", state->table, state->reason, state->way_out);
    add_reason(context, "a table is stopped", why);
}

static void answer_ready(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;
    Metrics *metrics = server->metrics;
    json_t *reasons = json_array();
    char text[512];
    Error error = {""};
    bool answers;
    bool ready;

    (void)request;
    if (consumer_probe(server->consumer, PROBE_TIMEOUT_MS, &error) != STATUS_OK)
        add_reason(reasons, "Kafka is away", error.text);
    if (!atomic_load(&metrics->registry_loaded))
        add_reason(reasons, "the schema topic has not been read yet", "");
    answers = dashboard_probe_clickhouse(server->dashboard, &error) == STATUS_OK;
    if (!answers) {
        add_reason(reasons, "ClickHouse is away", error.text);
    } else if (atomic_load(&metrics->registry_loaded) && !atomic_load(&metrics->clickhouse_reachable)) {
        metrics_get_error(metrics, text, sizeof text);
        add_reason(reasons, "ClickHouse does not take rows", text);
    }
    table_states_each(&metrics->tables, add_stopped, reasons);
    ready = reasons && json_array_size(reasons) == 0;
    reply_json(response, ready ? 200 : 503,
               json_pack("{s:b, s:s, s:o}", "ready", ready, "state", dashboard_state(metrics, answers),
                         "reasons", reasons));
}

static void add_lag_sample(void *context, const char *topic, int32_t partition, int64_t committed,
                           int64_t end)
{
    /* Kafka's topic names need no escapes. */
    text_appendf(context,
                 "walhouse_agent_consumer_lag_messages{topic=\"%s\",partition=\"%" PRId32 "\"} %" PRId64 "\n",
                 topic, partition, end > committed ? end - committed : 0);
}

/* No samples while the brokers do not tell: a figure that is not known is absent. */
static void append_lag(HttpServer *server, Text *text)
{
    struct timespec now;
    int64_t now_ms;
    int64_t messages;
    Error error;

    text_appendf(text, "# HELP walhouse_agent_consumer_lag_messages Messages that the group has not loaded.\n"
                       "# TYPE walhouse_agent_consumer_lag_messages gauge\n");
    (void)pthread_mutex_lock(&server->lag_lock);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms >= server->lag_until_ms) {
        text_clear(&server->lag_metric);
        if (consumer_lag(server->consumer, LAG_METRIC_MS, add_lag_sample, &server->lag_metric, &messages,
                         &error) != STATUS_OK)
            text_clear(&server->lag_metric);
        server->lag_until_ms = now_ms + LAG_METRIC_KEPT_MS;
    }
    if (server->lag_metric.size > 0)
        text_append(text, server->lag_metric.data, server->lag_metric.size);
    (void)pthread_mutex_unlock(&server->lag_lock);
}

static void answer_metrics(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    HttpServer *server = context;
    size_t size = 0;
    char *metrics = metrics_render(server->metrics, &size);
    Text text = {0};

    (void)request;
    if (metrics)
        text_append(&text, metrics, size);
    else
        text.failed = true;
    free(metrics);
    append_lag(server, &text);
    if (text.failed)
        text_free(&text);
    /* Without a body it is a 500. */
    *response = (HttpdResponse){.status = 200,
                                .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                .body = text.data,
                                .body_size = text.size};
}

static void answer_summary(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;

    (void)request;
    response->content_type = "application/json";
    response->status =
        dashboard_summary(server->dashboard, &response->body, &response->body_size) == STATUS_OK ? 200 : 503;
}

static void add_partition(void *context, const char *topic, int32_t partition, int64_t committed, int64_t end)
{
    (void)json_array_append_new(context,
                                json_pack("{s:s, s:i, s:I, s:I}", "topic", topic, "partition", (int)partition,
                                          "committed", (json_int_t)committed, "end", (json_int_t)end));
}

static void answer_lag(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;
    json_t *partitions = json_array();
    int64_t messages = 0;
    Error error;

    (void)request;
    if (consumer_lag(server->consumer, LAG_TIMEOUT_MS, add_partition, partitions, &messages, &error) ==
        STATUS_OK) {
        reply_json(response, 200,
                   json_pack("{s:I, s:o}", "messages", (json_int_t)messages, "partitions", partitions));
        return;
    }
    json_decref(partitions);
    reply_json(response, 503,
               json_pack("{s:{s:s, s:s}}", "error", "code", "kafka_away", "message", error.text));
}

/* ---- life ---- */

HttpServer *http_server_start(const Config *config, Consumer *consumer, Registry *registry, Metrics *metrics,
                              Error *error)
{
    static const HttpdRoute routes[] = {{"GET", "/healthz", answer_health},
                                        {"GET", "/readyz", answer_ready},
                                        {"GET", "/metrics", answer_metrics},
                                        {"GET", "/api/summary", answer_summary},
                                        {"GET", "/api/lag", answer_lag}};
    HttpServer *server = calloc(1, sizeof *server);
    HttpdSettings settings = {.listen = config->http_listen,
                              .routes = routes,
                              .route_count = sizeof routes / sizeof routes[0],
                              .context = server,
                              .static_directory = config->http_dashboard,
                              .body_bytes_max = BODY_BYTES_MAX,
                              .connections_max = CONNECTIONS_MAX,
                              .threads = THREADS,
                              .timeout_s = IDLE_TIMEOUT_S};
    char problem[400] = "";

    if (server == NULL || pthread_mutex_init(&server->lag_lock, NULL) != 0) {
        free(server);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    server->consumer = consumer;
    server->metrics = metrics;
    server->dashboard = dashboard_open(config, consumer, registry, metrics, error);
    if (server->dashboard) {
        server->httpd = httpd_start(&settings, problem, sizeof problem);
        if (server->httpd)
            return server;
        (void)status_fail(error, STATUS_FATAL, "[http] %s", problem);
    }
    dashboard_close(server->dashboard);
    (void)pthread_mutex_destroy(&server->lag_lock);
    text_free(&server->lag_metric);
    free(server);
    return NULL;
}

void http_server_stop(HttpServer *server)
{
    if (server == NULL)
        return;
    httpd_stop(server->httpd);
    dashboard_close(server->dashboard);
    (void)pthread_mutex_destroy(&server->lag_lock);
    text_free(&server->lag_metric);
    free(server);
}

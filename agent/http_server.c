/*
 * http_server.c - health, metrics and the dashboard over HTTP; see http_server.h. Listening, routing and
 * files are lib/httpd's.
 */
#include "agent/http_server.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dashboard.h"
#include "lib/httpd.h"

#define CONNECTIONS_MAX  64
#define THREADS          8 /* an answer may wait for Kafka or ClickHouse, and the others must not wait for it */
#define IDLE_TIMEOUT_S   30
#define BODY_BYTES_MAX   4096
#define LAG_TIMEOUT_MS   10000
#define PROBE_TIMEOUT_MS 5000

struct HttpServer {
    Consumer *consumer;
    Metrics *metrics;
    Dashboard *dashboard;
    Httpd *httpd;
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

static void answer_ready(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;
    Metrics *metrics = server->metrics;
    json_t *reasons = json_array();
    char text[512];
    Error error = {""};
    bool ready;

    (void)request;
    if (consumer_probe(server->consumer, PROBE_TIMEOUT_MS, &error) != STATUS_OK)
        add_reason(reasons, "Kafka is away", error.text);
    if (!atomic_load(&metrics->registry_loaded))
        add_reason(reasons, "the schema topic has not been read yet", "");
    if (dashboard_probe_clickhouse(server->dashboard, &error) != STATUS_OK) {
        add_reason(reasons, "ClickHouse is away", error.text);
    } else if (atomic_load(&metrics->registry_loaded) && !atomic_load(&metrics->clickhouse_reachable)) {
        metrics_get_error(metrics, text, sizeof text);
        add_reason(reasons, "ClickHouse does not take rows", text);
    }
    if (atomic_load(&metrics->tables_stopped) > 0) {
        metrics_get_stopped(metrics, text, sizeof text);
        add_reason(reasons, "a table is stopped", text);
    }
    ready = reasons && json_array_size(reasons) == 0;
    reply_json(
        response, ready ? 200 : 503,
        json_pack("{s:b, s:s, s:o}", "ready", ready, "state", dashboard_state(metrics), "reasons", reasons));
}

static void answer_metrics(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;

    (void)request;
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    response->body = metrics_render(server->metrics, &response->body_size);
}

static void answer_summary(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;

    (void)request;
    response->status = 200;
    response->content_type = "application/json";
    response->body = dashboard_summary(server->dashboard, &response->body_size);
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

    if (server == NULL) {
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
    free(server);
    return NULL;
}

void http_server_stop(HttpServer *server)
{
    if (server == NULL)
        return;
    httpd_stop(server->httpd);
    dashboard_close(server->dashboard);
    free(server);
}

/*
 * http_server.c - health, metrics and the dashboard over HTTP; see http_server.h. Listening, routing and
 * files are lib/httpd's.
 */
#include "agent/http_server.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dashboard.h"
#include "agent/dashboard_events.h"
#include "agent/lag.h"
#include "agent/report.h"
#include "agent/text.h"
#include "lib/clock.h"
#include "lib/httpd.h"

#define CONNECTIONS_MAX  64
#define VIEWERS_MAX      32
#define THREADS          8 /* an answer may wait for Kafka or ClickHouse, and the others must not wait for it */
#define IDLE_TIMEOUT_S   30
#define BODY_BYTES_MAX   4096
#define LAG_TIMEOUT_MS   10000
#define PROBE_TIMEOUT_MS 5000

struct HttpServer {
    const Config *config;
    Consumer *consumer;
    Registry *registry;
    Metrics *metrics;
    Lag *lag;
    Replay *replay;
    Dashboard *dashboard;
    Httpd *httpd;
    DashboardEvents *events;
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

/* Asks both ends. The reasons for which it is not ready, none when it is; *state is what it does in one word.
 */
static json_t *find_reasons(const HttpServer *server, const char **state)
{
    Metrics *metrics = server->metrics;
    json_t *reasons = json_array();
    char text[512];
    Error error = {""};
    bool answers;

    if (consumer_probe(server->consumer, PROBE_TIMEOUT_MS, &error) != STATUS_OK)
        add_reason(reasons, "Kafka is away", error.text);
    if (!atomic_load(&metrics->registry_loaded))
        add_reason(reasons, "the schema topic has not been read yet", "");
    else if (!atomic_load(&metrics->group_joined) && atomic_load(&metrics->schemas) > 0)
        add_reason(reasons, "the consumer group has given out no partitions yet", "");
    answers = dashboard_probe_clickhouse(server->dashboard, &error) == STATUS_OK;
    if (!answers) {
        add_reason(reasons, "ClickHouse is away", error.text);
    } else if (atomic_load(&metrics->registry_loaded) && !atomic_load(&metrics->clickhouse_reachable)) {
        metrics_get_error(metrics, text, sizeof text);
        add_reason(reasons, "ClickHouse does not take rows", text);
    }
    table_states_each(&metrics->tables, add_stopped, reasons);
    *state = dashboard_state(metrics, answers);
    return reasons;
}

static void answer_ready(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const char *state;
    json_t *reasons = find_reasons(context, &state);
    bool ready = reasons && json_array_size(reasons) == 0;

    (void)request;
    reply_json(response, ready ? 200 : 503,
               json_pack("{s:b, s:s, s:o}", "ready", ready, "state", state, "reasons", reasons));
}

static void answer_status(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;
    const char *state;
    json_t *reasons = find_reasons(server, &state);

    (void)request;
    reply_json(response, 200,
               report_make(server->config, state, reasons, server->lag, server->registry, server->metrics));
}

static void add_lag_messages(void *context, const LagPartition *partition)
{
    /* Kafka's topic names need no escapes. */
    text_appendf(context,
                 "walhouse_agent_consumer_lag_messages{topic=\"%s\",partition=\"%" PRId32 "\"} %" PRId64 "\n",
                 partition->topic, partition->partition, partition->messages);
}

static void add_lag_seconds(void *context, const LagPartition *partition)
{
    double seconds = 0;

    if (partition->since_ms)
        seconds = (double)(clock_wall_us() / 1000 - partition->since_ms) / 1000;
    if (partition->since_ms || partition->messages == 0)
        text_appendf(context,
                     "walhouse_agent_consumer_lag_seconds{topic=\"%s\",partition=\"%" PRId32 "\"} %.3f\n",
                     partition->topic, partition->partition, seconds > 0 ? seconds : 0);
}

/* No samples while the brokers do not tell: a figure that is not known is absent. */
static void append_lag(HttpServer *server, Text *text)
{
    text_appendf(text,
                 "# HELP walhouse_agent_consumer_lag_messages Messages of the group's topics that are not "
                 "committed.\n# TYPE walhouse_agent_consumer_lag_messages gauge\n");
    (void)lag_read(server->lag, add_lag_messages, text);
    text_appendf(text, "# HELP walhouse_agent_consumer_lag_seconds Age of the oldest message that is not "
                       "committed, where this agent reads the partition.\n"
                       "# TYPE walhouse_agent_consumer_lag_seconds gauge\n");
    (void)lag_read(server->lag, add_lag_seconds, text);
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

static void answer_replay(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    const HttpServer *server = context;

    replay_answer(server->replay, request, response);
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
    static const HttpdRoute routes[] = {
        {"GET", "/healthz", answer_health},        {"GET", "/readyz", answer_ready},
        {"GET", "/metrics", answer_metrics},       {"GET", "/api/status", answer_status},
        {"GET", "/api/summary", answer_summary},   {"GET", "/api/lag", answer_lag},
        {"POST", "/api/dlq/replay", answer_replay}};
    HttpServer *server = calloc(1, sizeof *server);
    HttpdSettings settings = {.listen = config->http_listen,
                              .routes = routes,
                              .route_count = sizeof routes / sizeof routes[0],
                              .context = server,
                              .static_directory = config->http_dashboard,
                              .body_bytes_max = BODY_BYTES_MAX,
                              .events_path = "/api/events",
                              .streams_max = VIEWERS_MAX,
                              .connections_max = CONNECTIONS_MAX,
                              .threads = THREADS,
                              .timeout_s = IDLE_TIMEOUT_S};
    char problem[400] = "";

    if (server)
        server->lag = lag_open(consumer, metrics);
    if (server == NULL || server->lag == NULL) {
        free(server);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    server->config = config;
    server->consumer = consumer;
    server->registry = registry;
    server->metrics = metrics;
    server->replay = replay_open(config, error);
    if (server->replay)
        server->dashboard = dashboard_open(config, server->lag, registry, metrics, server->replay, error);
    if (server->dashboard) {
        server->httpd = httpd_start(&settings, problem, sizeof problem);
        if (server->httpd == NULL)
            (void)status_fail(error, STATUS_FATAL, "[http] %s", problem);
        else if ((server->events = dashboard_events_start(server->dashboard, server->httpd, error)) != NULL)
            return server;
    }
    http_server_stop(server);
    return NULL;
}

void http_server_stop(HttpServer *server)
{
    if (server == NULL)
        return;
    dashboard_events_stop(server->events);
    if (server->httpd)
        httpd_stop(server->httpd);
    dashboard_close(server->dashboard);
    replay_close(server->replay);
    lag_close(server->lag);
    free(server);
}

/*
 * http_server.c - health, metrics and the dashboard over HTTP; see http_server.h.
 *
 * A thread a connection: an answer may wait for Kafka or ClickHouse, and the others must not wait for it.
 */
#include "agent/http_server.h"

#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dashboard.h"
#include "agent/static_files.h"
#include "lib/log.h"

#define CONNECTIONS_MAX      64
#define CONNECTION_TIMEOUT_S 30
#define CONNECTION_BYTES     32768
#define THREAD_STACK_BYTES   (512 * 1024)
#define LISTEN_BACKLOG       64
#define LAG_TIMEOUT_MS       10000
#define PROBE_TIMEOUT_MS     5000

struct HttpServer {
    const Config *config;
    Consumer *consumer;
    Metrics *metrics;
    Dashboard *dashboard;
    struct MHD_Daemon *daemon;
};

/* ---- answers ---- */

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Sends the response, which it releases. */
static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
                                     struct MHD_Response *response, const char *type, const char *cache)
{
    enum MHD_Result result = MHD_NO;

    if (response == NULL)
        return MHD_NO;
    if (add_header(response, "Content-Type", type) && add_header(response, "Cache-Control", cache) &&
        add_header(response, "X-Content-Type-Options", "nosniff") &&
        (status != MHD_HTTP_METHOD_NOT_ALLOWED || add_header(response, "Allow", "GET, HEAD")))
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* body is malloc'ed and taken over; NULL closes the connection. */
static enum MHD_Result send_body(struct MHD_Connection *connection, unsigned status, char *body, size_t size,
                                 const char *type)
{
    struct MHD_Response *response =
        body ? MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE) : NULL;

    if (response == NULL)
        free(body);
    return send_response(connection, status, response, type, "no-store");
}

/* Takes json over. */
static enum MHD_Result send_json(struct MHD_Connection *connection, unsigned status, json_t *json)
{
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return send_body(connection, status, body, body ? strlen(body) : 0, "application/json");
}

static enum MHD_Result send_failure(struct MHD_Connection *connection, unsigned status, const char *code,
                                    const char *message)
{
    json_t *text = json_string(message);

    /* A text that was cut within a character is no JSON text: the code must do then. */
    return send_json(
        connection, status,
        json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", text ? text : json_string(code)));
}

/* ---- what is asked ---- */

static enum MHD_Result answer_health(HttpServer *server, struct MHD_Connection *connection)
{
    (void)server;
    return send_json(connection, MHD_HTTP_OK, json_pack("{s:s}", "status", "ok"));
}

static void add_reason(json_t *reasons, const char *what, const char *why)
{
    json_t *reason = json_sprintf("%s%s%s", what, why[0] ? ": " : "", why);

    /* A reason that was cut within a character is no JSON text: it still counts. */
    (void)json_array_append_new(reasons, reason ? reason : json_string(what));
}

static enum MHD_Result answer_ready(HttpServer *server, struct MHD_Connection *connection)
{
    Metrics *metrics = server->metrics;
    json_t *reasons = json_array();
    char text[512];
    Error error = {""};
    bool ready;

    if (consumer_probe(server->consumer, PROBE_TIMEOUT_MS, &error) != STATUS_OK)
        add_reason(reasons, "Kafka is away", error.text);
    if (!atomic_load(&metrics->registry_loaded))
        add_reason(reasons, "the schema topic has not been read yet", "");
    if (dashboard_probe_clickhouse(server->dashboard, &error) != STATUS_OK)
        add_reason(reasons, "ClickHouse is away", error.text);
    else if (atomic_load(&metrics->registry_loaded) && !atomic_load(&metrics->clickhouse_reachable)) {
        metrics_get_error(metrics, text, sizeof text);
        add_reason(reasons, "ClickHouse does not take rows", text);
    }
    if (atomic_load(&metrics->tables_stopped) > 0) {
        metrics_get_stopped(metrics, text, sizeof text);
        add_reason(reasons, "a table is stopped", text);
    }
    ready = reasons && json_array_size(reasons) == 0;
    return send_json(
        connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
        json_pack("{s:b, s:s, s:o}", "ready", ready, "state", dashboard_state(metrics), "reasons", reasons));
}

static enum MHD_Result answer_metrics(HttpServer *server, struct MHD_Connection *connection)
{
    size_t size = 0;
    char *text = metrics_render(server->metrics, &size);

    return send_body(connection, MHD_HTTP_OK, text, size, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result answer_summary(HttpServer *server, struct MHD_Connection *connection)
{
    size_t size = 0;
    char *json = dashboard_summary(server->dashboard, &size);

    return send_body(connection, MHD_HTTP_OK, json, size, "application/json");
}

static void add_partition(void *context, const char *topic, int32_t partition, int64_t committed, int64_t end)
{
    (void)json_array_append_new(context,
                                json_pack("{s:s, s:i, s:I, s:I}", "topic", topic, "partition", (int)partition,
                                          "committed", (json_int_t)committed, "end", (json_int_t)end));
}

static enum MHD_Result answer_lag(HttpServer *server, struct MHD_Connection *connection)
{
    json_t *partitions = json_array();
    int64_t messages = 0;
    Error error;

    if (consumer_lag(server->consumer, LAG_TIMEOUT_MS, add_partition, partitions, &messages, &error) !=
        STATUS_OK) {
        json_decref(partitions);
        return send_failure(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "kafka_away", error.text);
    }
    return send_json(connection, MHD_HTTP_OK,
                     json_pack("{s:I, s:o}", "messages", (json_int_t)messages, "partitions", partitions));
}

static enum MHD_Result answer_file(HttpServer *server, struct MHD_Connection *connection, const char *url)
{
    struct MHD_Response *response;
    StaticFile file;

    if (server->config->http_dashboard[0] == '\0' ||
        !static_file_open(server->config->http_dashboard, url, &file))
        return send_failure(connection, MHD_HTTP_NOT_FOUND, "not_found", "there is nothing here");
    response = MHD_create_response_from_fd(file.size, file.fd);
    if (response == NULL)
        (void)close(file.fd);
    return send_response(connection, MHD_HTTP_OK, response, file.content_type,
                         file.immutable ? "public, max-age=31536000, immutable" : "no-cache");
}

/* libmicrohttpd's callback: first with the headers, then with the body's parts, which nobody wants, then for
 * the answer. */
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *data_size,
                              void **state)
{
    static const struct {
        const char *path;
        enum MHD_Result (*answer)(HttpServer *server, struct MHD_Connection *connection);
    } routes[] = {{"/healthz", answer_health},
                  {"/readyz", answer_ready},
                  {"/metrics", answer_metrics},
                  {"/api/summary", answer_summary},
                  {"/api/lag", answer_lag}};
    static char seen; /* only its address is used */

    (void)version;
    (void)data;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return *state ? MHD_NO
                      : send_failure(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                                     "only GET and HEAD");
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    *data_size = 0;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strcmp(url, routes[i].path) == 0)
            return routes[i].answer(context, connection);
    return answer_file(context, connection, url);
}

/* ---- listening ---- */

/* Splits "127.0.0.1:8080" or "[::1]:8080" and looks the address up. false: *error says what is wrong. */
static bool find_address(const char *listen_on, struct addrinfo **address, Error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(listen_on, ':');
    const char *begin = listen_on;
    const char *end = colon;
    char host[64];
    int failure;

    if (colon && listen_on[0] == '[' && colon > listen_on + 1 && colon[-1] == ']') {
        begin++;
        end--;
    }
    if (colon == NULL || end <= begin || end - begin >= (ptrdiff_t)sizeof host) {
        (void)status_fail(error, STATUS_FATAL, "[http] listen = %s: it takes ADDRESS:PORT", listen_on);
        return false;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    failure = getaddrinfo(host, colon + 1, &hints, address);
    if (failure != 0)
        (void)status_fail(error, STATUS_FATAL, "[http] listen = %s: %s", listen_on, gai_strerror(failure));
    return failure == 0;
}

/* A listening socket; -1: *error says why. */
static int listen_at(const char *listen_on, Error *error)
{
    struct addrinfo *address = NULL;
    int one = 1;
    int fd;

    if (!find_address(listen_on, &address, error))
        return -1;
    fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        (void)status_fail(error, STATUS_FATAL, "cannot listen on [http] listen = %s: %s", listen_on,
                          strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(address);
    return fd;
}

static void log_failure(void *context, const char *format, va_list arguments)
{
    char text[256];

    (void)context;
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_debug("HTTP: %s", text);
}

HttpServer *http_server_start(const Config *config, Consumer *consumer, Registry *registry, Metrics *metrics,
                              Error *error)
{
    HttpServer *server = calloc(1, sizeof *server);
    int fd;

    if (server == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    *server = (HttpServer){.config = config, .consumer = consumer, .metrics = metrics};
    server->dashboard = dashboard_open(config, consumer, registry, metrics, error);
    fd = server->dashboard ? listen_at(config->http_listen, error) : -1;
    if (fd >= 0) {
        server->daemon = MHD_start_daemon(
            MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                MHD_USE_ERROR_LOG,
            0, NULL, NULL, answer, server, MHD_OPTION_EXTERNAL_LOGGER, log_failure, NULL,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)CONNECTION_BYTES, MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES,
            MHD_OPTION_END);
        if (server->daemon)
            return server;
        (void)close(fd);
        (void)status_fail(error, STATUS_FATAL, "cannot start the HTTP server");
    }
    dashboard_close(server->dashboard);
    free(server);
    return NULL;
}

void http_server_stop(HttpServer *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon);
    dashboard_close(server->dashboard);
    free(server);
}

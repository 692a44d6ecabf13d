/*
 * httpd.c - the HTTP server of our plain programs; see httpd.h.
 *
 *      request --> headers --> body, collected up to its limit --> route --> handler --> response
 *                                                             \--> static file (GET and HEAD only)
 */
#include "lib/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/httpd_static.h"
#include "lib/httpd_stream.h"
#include "lib/log.h"

#define CONNECTION_MEMORY_BYTES 32768
#define HOST_BYTES_MAX          64
#define FINISH_MS               10000 /* for the requests that are being answered at the end */

struct Httpd {
    HttpdSettings settings;
    int static_fd;    /* -1: no static files */
    Streams *streams; /* NULL: none */
    struct MHD_Daemon *daemon;
    atomic_bool stopping;
    atomic_uint answering; /* requests whose handler was called and whose answer is not sent yet */
};

/* A request while its body comes in. */
typedef struct Exchange {
    char *body;
    size_t size;
    size_t capacity;
    bool too_large;
    bool out_of_memory;
    bool answering;
} Exchange;

const char *httpd_query(const HttpdRequest *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *httpd_header(const HttpdRequest *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bool httpd_reply_text(HttpdResponse *response, unsigned status, const char *content_type, const char *text)
{
    response->body = strdup(text);
    if (response->body == NULL)
        return false;
    response->status = status;
    response->content_type = content_type;
    response->body_size = strlen(text);
    return true;
}

/* ---- answers ---- */

/* Takes the body over. */
static enum MHD_Result queue(struct MHD_Connection *connection, HttpdResponse *answer)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    if (answer->status == 0 || answer->body == NULL) {
        free(answer->body);
        *answer = (HttpdResponse){0};
        if (!httpd_reply_text(answer, 500, "application/json",
                              "{\"error\": {\"code\": \"internal\", \"message\": \"out of memory\"}}\n"))
            return MHD_NO;
    }
    response = MHD_create_response_from_buffer(answer->body_size, answer->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(answer->body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (answer->allow)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
    static_add_security_headers(response);
    result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result queue_error(struct MHD_Connection *connection, unsigned status, const char *code,
                                   const char *message, const char *allow)
{
    HttpdResponse answer = {.allow = allow};
    char text[256];

    (void)snprintf(text, sizeof text, "{\"error\": {\"code\": \"%s\", \"message\": \"%s\"}}\n", code,
                   message);
    (void)httpd_reply_text(&answer, status, "application/json", text);
    return queue(connection, &answer);
}

/* ---- routing ---- */

/* What follows the route's path in path, NULL when the route is another's. */
static const char *match_route(const HttpdRoute *route, const char *path)
{
    size_t size = strlen(route->path);

    if (size > 0 && route->path[size - 1] == '*')
        return strncmp(path, route->path, size - 1) == 0 && path[size - 1] != '\0' ? path + size - 1 : NULL;
    return strcmp(path, route->path) == 0 ? "" : NULL;
}

static bool method_fits(const char *wanted, const char *method)
{
    return strcmp(wanted, method) == 0 || (strcmp(wanted, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static enum MHD_Result answer_request(Httpd *httpd, HttpdRequest *request)
{
    const char *allowed = NULL;

    if (httpd->streams && strcmp(request->path, httpd->settings.events_path) == 0) {
        if (strcmp(request->method, "GET") == 0)
            return streams_serve(httpd->streams, request->connection);
        return queue_error(request->connection, 405, "method_not_allowed", "Events can only be read.", "GET");
    }
    for (size_t i = 0; i < httpd->settings.route_count; i++) {
        const HttpdRoute *route = &httpd->settings.routes[i];
        HttpdResponse response = {0};

        request->tail = match_route(route, request->path);
        if (request->tail == NULL)
            continue;
        if (!method_fits(route->method, request->method)) {
            allowed = allowed && strcmp(allowed, route->method) != 0 ? "GET, HEAD, POST"
                      : strcmp(route->method, "GET") == 0            ? "GET, HEAD"
                                                                     : route->method;
            continue;
        }
        route->handler(httpd->settings.context, request, &response);
        return queue(request->connection, &response);
    }
    if (allowed)
        return queue_error(request->connection, 405, "method_not_allowed",
                           "This address takes other methods.", allowed);
    if (strncmp(request->path, "/api/", 5) == 0 || httpd->static_fd < 0)
        return queue_error(request->connection, 404, "not_found", "There is nothing at this address.", NULL);
    if (!method_fits("GET", request->method))
        return queue_error(request->connection, 405, "method_not_allowed", "Pages can only be read.",
                           "GET, HEAD");
    return static_serve(httpd->static_fd, request->connection, request->path);
}

/* ---- libmicrohttpd's callbacks ---- */

static void collect(Exchange *exchange, size_t limit, const char *data, size_t size)
{
    size_t capacity = exchange->capacity ? exchange->capacity : 4096;
    char *grown;

    if (size > limit - exchange->size) {
        exchange->too_large = true;
        return;
    }
    while (capacity < exchange->size + size)
        capacity *= 2;
    if (capacity != exchange->capacity) {
        grown = realloc(exchange->body, capacity);
        if (grown == NULL) {
            exchange->out_of_memory = true;
            return;
        }
        exchange->body = grown;
        exchange->capacity = capacity;
    }
    memcpy(exchange->body + exchange->size, data, size);
    exchange->size += size;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *size,
                              void **state)
{
    Httpd *httpd = context;
    Exchange *exchange = *state;
    HttpdRequest request = {.method = method, .path = url, .connection = connection};

    (void)version;
    if (exchange == NULL) {
        if (!atomic_load(&httpd->stopping))
            *state = calloc(1, sizeof(Exchange));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        if (!exchange->too_large && !exchange->out_of_memory)
            collect(exchange, httpd->settings.body_bytes_max, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (exchange->too_large)
        return queue_error(connection, 413, "too_large", "The body of the request is too large.", NULL);
    if (exchange->out_of_memory)
        return MHD_NO;
    exchange->answering = true;
    (void)atomic_fetch_add(&httpd->answering, 1);
    request.body = exchange->body;
    request.body_size = exchange->size;
    return answer_request(httpd, &request);
}

static void finish(void *context, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    Httpd *httpd = context;
    Exchange *exchange = *state;

    (void)connection;
    (void)code;
    if (exchange)
        free(exchange->body);
    if (exchange && exchange->answering)
        (void)atomic_fetch_sub(&httpd->answering, 1);
    free(exchange);
    *state = NULL;
}

static void log_problem(void *context, const char *format, va_list arguments)
{
    char text[256];

    (void)context;
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_debug("libmicrohttpd: %s", text);
}

/* ---- starting ---- */

/* "127.0.0.1:80" or "[::1]:80". */
static bool parse_address(const char *listen, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    const char *colon = strrchr(listen, ':');
    char host[HOST_BYTES_MAX];
    char *end;
    long port;
    size_t size;

    memset(address, 0, sizeof *address);
    if (colon == NULL || colon == listen || (size = (size_t)(colon - listen)) >= sizeof host)
        return false;
    errno = 0;
    port = strtol(colon + 1, &end, 10);
    if (errno || end == colon + 1 || *end || port < 1 || port > 65535)
        return false;
    memcpy(host, listen, size);
    host[size] = '\0';
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static struct MHD_Daemon *start_daemon(Httpd *httpd, const struct sockaddr_storage *address)
{
    const HttpdSettings *s = &httpd->settings;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;

    if (httpd->streams)
        flags |= MHD_ALLOW_SUSPEND_RESUME;
    if (address->ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handle, httpd, MHD_OPTION_EXTERNAL_LOGGER, log_problem, NULL,
        MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)address, MHD_OPTION_NOTIFY_COMPLETED, finish, httpd,
        MHD_OPTION_THREAD_POOL_SIZE, s->threads, MHD_OPTION_CONNECTION_LIMIT, s->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, s->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
}

Httpd *httpd_start(const HttpdSettings *settings, char *error, size_t error_size)
{
    Httpd *httpd = calloc(1, sizeof *httpd);
    struct sockaddr_storage address;
    const char *directory = settings->static_directory;

    if (httpd == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    httpd->settings = *settings;
    httpd->static_fd = -1;
    if (settings->events_path && (httpd->streams = streams_open(settings->streams_max)) == NULL) {
        (void)snprintf(error, error_size, "out of memory");
    } else if (!parse_address(settings->listen, &address)) {
        (void)snprintf(error, error_size,
                       "cannot listen on \"%s\": give an address and a port, such as 127.0.0.1:8080",
                       settings->listen);
    } else if (directory && directory[0] &&
               (httpd->static_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        (void)snprintf(error, error_size, "cannot open the folder of pages \"%s\": %s", directory,
                       strerror(errno));
    } else {
        errno = 0;
        httpd->daemon = start_daemon(httpd, &address);
        if (httpd->daemon)
            return httpd;
        (void)snprintf(error, error_size, "cannot listen on %s: %s; is something else using the port?",
                       settings->listen, errno ? strerror(errno) : "libmicrohttpd refused");
    }
    if (httpd->static_fd >= 0)
        (void)close(httpd->static_fd);
    streams_free(httpd->streams);
    free(httpd);
    return NULL;
}

void httpd_broadcast(Httpd *httpd, const char *line, size_t size)
{
    streams_send(httpd->streams, line, size);
}

size_t httpd_viewers(Httpd *httpd)
{
    return streams_count(httpd->streams);
}

/* libmicrohttpd lets handlers return, and then closes connections without sending what they answered. */
static void finish_answers(Httpd *httpd)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until = clock_ms() + FINISH_MS;
    int listener = MHD_quiesce_daemon(httpd->daemon);

    if (listener >= 0)
        (void)close(listener);
    atomic_store(&httpd->stopping, true);
    while (atomic_load(&httpd->answering) > 0 && clock_ms() < until)
        (void)nanosleep(&pause, NULL);
}

void httpd_stop(Httpd *httpd)
{
    if (httpd == NULL)
        return;
    streams_end(httpd->streams);
    finish_answers(httpd);
    MHD_stop_daemon(httpd->daemon);
    if (httpd->static_fd >= 0)
        (void)close(httpd->static_fd);
    streams_free(httpd->streams);
    free(httpd);
}

/*
 * http.c - the only file that knows libmicrohttpd.
 *
 *     head: answer_head → parameters, user, method  ─► exchange_begin
 *     body: each piece                              ─► exchange_body   (blocks while the engine is behind:
 * that is the end:                                          ─► exchange_run     backpressure the client
 * feels) answer: libmicrohttpd asks for bytes          ─► exchange_read over, or broken off at any point ─►
 * exchange_end
 *
 * One thread per HTTP connection, since the engine's calls block; how many statements run at a time is the
 * engine pool's matter. A request that is refused early still has its body read and dropped, for a client
 * that is sending does not read, and would see a broken connection instead of the reason. The timeout of a
 * connection is off while the engine works for it, so that a slow statement is not taken for a silent client.
 */
#include "warehouse/http.h"

#include "warehouse/exchange.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CONNECTION_MEMORY_BYTES (1024u * 1024) /* longest head of a request; half of it receives the body */
#define DROPPED_BYTES_MAX                                                                                    \
    (4ull << 30) /* of a body that nobody wants, before the connection is broken off                         \
                  */
#define ANSWER_BLOCK_BYTES 65536
#define LOG_LINE_BYTES     400
#define DISPLAY_NAME       "walhouse-warehouse"

enum target { TARGET_SQL, TARGET_OK, TARGET_UNKNOWN };

struct http_server {
    struct MHD_Daemon *daemon;
    struct engine *engine;
    struct http_options options;
    atomic_uint requests; /* under way */
    atomic_bool stopping;
};

/* One request, from its head to its end. */
struct http_request {
    struct http_server *server;
    enum target target;
    struct MHD_Connection *connection;
    struct exchange *exchange; /* NULL for fixed answers */
    uint64_t dropped_bytes;
};

/* One line on stderr. Texts of clients are in it, so nothing in it may end or colour a line. */
static void note(const char *what, const char *detail)
{
    char line[LOG_LINE_BYTES];

    (void)snprintf(line, sizeof line, "%s", detail);
    for (char *p = line; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
    (void)fprintf(stderr, "walhouse-warehouse: %s: %s\n", what, line);
}

static void library_log(void *closure, const char *format, va_list arguments)
{
    char line[512];
    size_t n;

    (void)closure;
    if (vsnprintf(line, sizeof line, format, arguments) < 0)
        return;
    n = strlen(line);
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
    note("http", line);
}

/* The time a client may be silent, counted from now; 0 while it is the engine that keeps it waiting. */
static void set_timeout(struct MHD_Connection *connection, unsigned seconds)
{
    /* A failure leaves the timeout as it was, which is no harm. */
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* Reading the head */

struct gathering {
    struct request *request;
    struct exception *exception;
    bool failed;
};

static enum MHD_Result gather(void *closure, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                              const char *value, size_t value_bytes)
{
    struct gathering *g = closure;

    (void)kind;
    (void)name_bytes;
    if (value == NULL) {
        value = "";
        value_bytes = 0;
    }
    g->failed = !request_add_parameter(g->request, name, value, value_bytes, g->exception);
    return g->failed ? MHD_NO : MHD_YES;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const char *parameter(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool check_user(struct http_server *server, struct MHD_Connection *connection, struct exception *e)
{
    struct auth_claim claim = {
        .authorization = header(connection, "Authorization"),
        .header_user = header(connection, "X-ClickHouse-User"),
        .header_key = header(connection, "X-ClickHouse-Key"),
        .parameter_user = parameter(connection, "user"),
        .parameter_password = parameter(connection, "password"),
    };

    return auth_check(&server->options.user, &claim, e);
}

/* POST needs a length, or chunks: without either its body would be taken for empty. */
static bool check_length(struct MHD_Connection *connection, const char *method, struct exception *e)
{
    if (strcmp(method, "POST") != 0 || header(connection, "Content-Length") != NULL ||
        header(connection, "Transfer-Encoding") != NULL)
        return true;
    exception_raise(
        e, EXCEPTION_HTTP_LENGTH_REQUIRED,
        "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request");
    return false;
}

/* "gzip" among the codings of Accept-Encoding, and not with q=0. */
static bool accepts_gzip(const char *accept)
{
    const char *p = accept == NULL ? NULL : strcasestr(accept, "gzip");

    if (p == NULL)
        return false;
    p += 4;
    while (*p == ' ')
        p++;
    return strncmp(p, ";q=0", 4) != 0 || p[4] == '.';
}

/* ClickHouse's external tables come as multipart bodies; this front does not take them apart. */
static bool check_body_kind(struct MHD_Connection *connection, struct exception *e)
{
    const char *type = header(connection, "Content-Type");

    if (type == NULL || strncasecmp(type, "multipart/form-data", 19) != 0)
        return true;
    exception_raise(e, EXCEPTION_NOT_IMPLEMENTED, "External tables (multipart/form-data) are not supported");
    return false;
}

static bool begin_exchange(struct http_request *r, struct MHD_Connection *connection, const char *method)
{
    struct request request;
    struct exception e = {0};
    struct gathering gathering = {.request = &request, .exception = &e};
    bool good;

    request_init(&request, strcmp(method, "POST") != 0);
    good = check_user(r->server, connection, &e) && check_length(connection, method, &e) &&
           check_body_kind(connection, &e) &&
           request_add_headers(&request, header(connection, "X-ClickHouse-Database"),
                               header(connection, "X-ClickHouse-Format"),
                               header(connection, "X-ClickHouse-Query-Id"), &e);
    if (good) {
        (void)MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, gather, &gathering);
        good = !gathering.failed;
    }
    r->exchange = exchange_begin(r->server->engine, &request, header(connection, "Content-Encoding"),
                                 accepts_gzip(header(connection, "Accept-Encoding")));
    request_free(&request);
    if (r->exchange != NULL && !good)
        exchange_fail(r->exchange, &e);
    return r->exchange != NULL;
}

static enum target target_of(struct MHD_Connection *connection, const char *url, const char *method)
{
    if (strcmp(url, "/ping") == 0 || strcmp(url, "/replicas_status") == 0)
        return TARGET_OK;
    if (strcmp(url, "/") != 0 && strcmp(url, "/query") != 0)
        return TARGET_UNKNOWN;
    /* As a server answers a browser that has nothing to ask. */
    if (strcmp(method, "POST") != 0 && parameter(connection, "query") == NULL)
        return TARGET_OK;
    return TARGET_SQL;
}

/* Answering */

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return value == NULL || MHD_add_response_header(response, name, value) == MHD_YES;
}

static enum MHD_Result send_fixed(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(size_t)text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result sent;

    if (response == NULL)
        return MHD_NO;
    sent = add_header(response, "Content-Type", "text/html; charset=UTF-8") &&
                   add_header(response, "X-ClickHouse-Server-Display-Name", DISPLAY_NAME)
               ? MHD_queue_response(connection, status, response)
               : MHD_NO;
    MHD_destroy_response(response);
    return sent;
}

static ssize_t read_answer(void *closure, uint64_t position, char *out, size_t size)
{
    struct http_request *r = closure;
    ssize_t n;

    (void)position;
    set_timeout(r->connection, 0);
    n = exchange_read(r->exchange, out, size);
    set_timeout(r->connection, r->server->options.receive_timeout_s);
    if (n == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct http_request *r)
{
    struct exchange_answer answer;
    struct MHD_Response *response;
    enum MHD_Result sent = MHD_NO;
    char code[16];

    exchange_run(r->exchange, &answer);
    if (answer.exception_text != NULL)
        note(answer.query_id, answer.exception_text);
    response = MHD_create_response_from_callback(answer.bytes == EXCHANGE_UNKNOWN_BYTES ? MHD_SIZE_UNKNOWN
                                                                                        : answer.bytes,
                                                 ANSWER_BLOCK_BYTES, read_answer, r, NULL);
    if (response == NULL)
        return MHD_NO;
    (void)snprintf(code, sizeof code, "%d", answer.exception_code);
    if (add_header(response, "Content-Type", answer.content_type) &&
        add_header(response, "X-ClickHouse-Server-Display-Name", DISPLAY_NAME) &&
        add_header(response, "X-ClickHouse-Query-Id", answer.query_id) &&
        add_header(response, "X-ClickHouse-Format", answer.format) &&
        add_header(response, "X-ClickHouse-Timezone", engine_timezone(r->server->engine)) &&
        add_header(response, "X-ClickHouse-Exception-Code", answer.exception_code != 0 ? code : NULL) &&
        add_header(response, "X-ClickHouse-Exception-Tag", answer.exception_tag) &&
        add_header(response, "X-ClickHouse-Summary", answer.summary) &&
        add_header(response, "Content-Encoding", answer.gzip ? "gzip" : NULL) &&
        add_header(response, "WWW-Authenticate",
                   answer.status == 401 ? "Basic realm=\"ClickHouse server HTTP API\"" : NULL) &&
        add_header(response, "Retry-After", answer.status == 503 ? "1" : NULL))
        sent = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result finish(struct MHD_Connection *connection, struct http_request *r)
{
    switch (r->target) {
    case TARGET_OK:
        return send_fixed(connection, MHD_HTTP_OK, "Ok.\n");
    case TARGET_UNKNOWN:
        return send_fixed(connection, MHD_HTTP_NOT_FOUND,
                          "There is no such page.\nUse / for queries and /ping for health checks.\n");
    case TARGET_SQL:
        break;
    }
    return send_answer(connection, r);
}

/* libmicrohttpd's callbacks */

static enum MHD_Result begin(struct http_server *server, struct MHD_Connection *connection, const char *url,
                             const char *method, void **state)
{
    struct http_request *r;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "POST") != 0)
        return send_fixed(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Use GET, HEAD or POST.\n");
    if (atomic_load(&server->stopping))
        return send_fixed(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "The warehouse is stopping.\n");
    r = calloc(1, sizeof *r);
    if (r == NULL)
        return MHD_NO;
    r->server = server;
    r->connection = connection;
    r->target = target_of(connection, url, method);
    if (r->target == TARGET_SQL && !begin_exchange(r, connection, method)) {
        free(r);
        return MHD_NO;
    }
    atomic_fetch_add(&server->requests, 1);
    *state = r;
    return MHD_YES;
}

static enum MHD_Result handle(void *closure, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *bytes,
                              void **state)
{
    struct http_server *server = closure;
    struct http_request *r = *state;
    enum MHD_Result result = MHD_YES;

    (void)version;
    if (r == NULL)
        return begin(server, connection, url, method, state);
    set_timeout(connection, 0);
    if (*bytes > 0) {
        if (r->exchange == NULL || !exchange_body(r->exchange, data, *bytes))
            r->dropped_bytes += *bytes;
        if (r->dropped_bytes > DROPPED_BYTES_MAX)
            result = MHD_NO;
        *bytes = 0;
    } else {
        result = finish(connection, r);
    }
    set_timeout(connection, server->options.receive_timeout_s);
    return result;
}

static void ended(void *closure, struct MHD_Connection *connection, void **state,
                  enum MHD_RequestTerminationCode reason)
{
    struct http_request *r = *state;

    (void)closure;
    (void)connection;
    (void)reason;
    if (r == NULL)
        return;
    if (r->exchange != NULL)
        exchange_end(r->exchange);
    atomic_fetch_sub(&r->server->requests, 1);
    free(r);
    *state = NULL;
}

struct http_server *http_start(struct engine *engine, const struct http_options *options, char *error,
                               size_t error_size)
{
    struct http_server *server = calloc(1, sizeof *server);
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                     MHD_USE_ERROR_LOG | MHD_USE_ITC;

    if (server == NULL) {
        (void)snprintf(error, error_size, "no memory");
        return NULL;
    }
    server->engine = engine;
    server->options = *options;
    if (options->address.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    server->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, server, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL,
                         MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&server->options.address,
                         MHD_OPTION_NOTIFY_COMPLETED, ended, server, MHD_OPTION_CONNECTION_LIMIT,
                         options->clients_max, MHD_OPTION_CONNECTION_TIMEOUT, options->receive_timeout_s,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    if (server->daemon == NULL) {
        (void)snprintf(error, error_size, "cannot listen: %m");
        free(server);
        return NULL;
    }
    return server;
}

unsigned http_port(const struct http_server *server)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);

    return info != NULL ? info->port : 0;
}

void http_stop(struct http_server *server, unsigned grace_s)
{
    const struct timespec tick = {.tv_nsec = 20000000};

    atomic_store(&server->stopping, true);
    for (unsigned i = 0; i < grace_s * 50 && atomic_load(&server->requests) > 0; i++)
        (void)nanosleep(&tick, NULL);
    MHD_stop_daemon(server->daemon);
    free(server);
}

/*
 * clickhouse.c - statements and inserts over ClickHouse's HTTP interface; see clickhouse.h.
 */
#include "agent/clickhouse.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/clickhouse_settings.h"
#include "agent/cluster.h"
#include "agent/compress.h"
#include "agent/endpoints.h"
#include "agent/text.h"
#include "lib/clock.h"

#define ANSWER_BYTES_MAX   (64u << 20)
#define ANSWER_KEEP_BYTES  (1u << 20) /* memory of an answer that is kept for the next */
#define CONNECT_TIMEOUT_MS 5000L
#define COMPRESS_BYTES_MIN 4096 /* less is one packet or three */

struct ClickHouse {
    const Config *config;
    Endpoints endpoints;
    CURL *curl;
    struct curl_slist *headers;
    struct curl_slist *encoded; /* the same, with Content-Encoding before them */
    Compression compression;
    Compressor compressor;
    bool without_recent; /* settings: the server is too old for them */
    Text url;
    Text statements[2]; /* what one becomes in a cluster */
    Text answer;
    Fault fault;
    int exception_code;
    atomic_bool cancelled;
    char curl_error[CURL_ERROR_SIZE];
};

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    ClickHouse *client = context;

    if (client->answer.size + size * count > ANSWER_BYTES_MAX)
        return 0;
    text_append(&client->answer, data, size * count);
    return client->answer.failed ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    static const char name[] = "X-ClickHouse-Exception-Code:";
    ClickHouse *client = context;
    char value[16] = {0};

    if (size * count > sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
        size_t length = size * count - (sizeof name - 1);

        memcpy(value, data + sizeof name - 1, length < sizeof value - 1 ? length : sizeof value - 1);
        client->exception_code = (int)strtol(value, NULL, 10);
    }
    return size * count;
}

/* Called by libcurl about once a second; anything but 0 ends the request. */
static int ask_cancelled(void *context, curl_off_t download_size, curl_off_t downloaded,
                         curl_off_t upload_size, curl_off_t uploaded)
{
    ClickHouse *client = context;

    (void)download_size;
    (void)downloaded;
    (void)upload_size;
    (void)uploaded;
    return atomic_load(&client->cancelled);
}

static bool add_header(ClickHouse *client, const char *header)
{
    struct curl_slist *longer = curl_slist_append(client->headers, header);

    if (longer == NULL)
        return false;
    client->headers = longer;
    return true;
}

static Compression encoding_of(Compression configured)
{
    return configured == COMPRESSION_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_LZ4;
}

/* The headers of an encoded body: one more before the others, which it does not own. */
static bool add_encoded(ClickHouse *client)
{
    char header[64];

    (void)snprintf(header, sizeof header, "Content-Encoding: %s",
                   compression_name(encoding_of(client->compression)));
    client->encoded = curl_slist_append(NULL, header);
    if (client->encoded)
        client->encoded->next = client->headers;
    return client->encoded != NULL;
}

/* Credentials go in headers, never in the URL, which servers log. */
static bool add_credentials(ClickHouse *client)
{
    Text header = {0};
    bool ok = true;

    if (client->config->clickhouse_user[0]) {
        text_appendf(&header, "X-ClickHouse-User: %s", client->config->clickhouse_user);
        ok = !header.failed && add_header(client, header.data);
    }
    if (ok && client->config->clickhouse_password) {
        text_clear(&header);
        text_appendf(&header, "X-ClickHouse-Key: %s", client->config->clickhouse_password);
        ok = !header.failed && add_header(client, header.data);
    }
    if (header.data)
        explicit_bzero(header.data, header.capacity);
    text_free(&header);
    return ok;
}

/* Certificates are verified unless the configuration says otherwise. */
static bool set_up_tls(ClickHouse *client)
{
    const Config *config = client->config;
    CURL *curl = client->curl;
    bool verify = strcmp(config->clickhouse_verify, "no") != 0;

    return curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) == CURLE_OK &&
           (config->clickhouse_ca_file[0] == '\0' ||
            curl_easy_setopt(curl, CURLOPT_CAINFO, config->clickhouse_ca_file) == CURLE_OK) &&
           (config->clickhouse_cert_file[0] == '\0' ||
            curl_easy_setopt(curl, CURLOPT_SSLCERT, config->clickhouse_cert_file) == CURLE_OK) &&
           (config->clickhouse_key_file[0] == '\0' ||
            curl_easy_setopt(curl, CURLOPT_SSLKEY, config->clickhouse_key_file) == CURLE_OK);
}

static bool set_up(ClickHouse *client)
{
    CURL *curl = client->curl;

    return set_up_tls(client) && add_header(client, "Expect:") &&
           add_header(client, "Content-Type: application/octet-stream") && add_credentials(client) &&
           add_encoded(client) && curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)client->config->clickhouse_timeout_s) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_error) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, client) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, client) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_cancelled) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client) == CURLE_OK;
}

ClickHouse *clickhouse_open(const Config *config, Error *error)
{
    ClickHouse *client = calloc(1, sizeof *client);

    if (client) {
        client->config = config;
        if (endpoints_parse(&client->endpoints, config->clickhouse_url, error) != STATUS_OK ||
            !compression_parse(config->clickhouse_compression, &client->compression)) {
            free(client);
            return NULL; /* config_check() has said so before */
        }
        client->curl = curl_easy_init();
    }
    if (client == NULL || client->curl == NULL || !set_up(client)) {
        (void)status_fail(error, STATUS_FATAL,
                          "cannot set up an HTTP client: out of memory, or libcurl is too old");
        clickhouse_close(client);
        return NULL;
    }
    return client;
}

void clickhouse_close(ClickHouse *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    if (client->encoded)
        client->encoded->next = NULL;
    curl_slist_free_all(client->encoded);
    curl_slist_free_all(client->headers);
    compressor_fini(&client->compressor);
    text_free(&client->url);
    text_free(&client->statements[0]);
    text_free(&client->statements[1]);
    text_free(&client->answer);
    free(client);
}

void clickhouse_cancel(ClickHouse *client)
{
    atomic_store(&client->cancelled, true);
}

int clickhouse_exception_code(const ClickHouse *client)
{
    return client->exception_code;
}

Fault clickhouse_fault(const ClickHouse *client)
{
    return client->fault;
}

static void append_parameter(ClickHouse *client, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(client->curl, value, 0);

    if (escaped == NULL)
        client->url.failed = true;
    else
        text_appendf(&client->url, "%s=%s&", name, escaped);
    curl_free(escaped);
}

/* A statement, or an insert with its data. */
typedef struct Request {
    const char *database;
    const char *query; /* NULL: the body is the statement */
    const void *body;
    size_t size;
} Request;

static bool build_url(ClickHouse *client, const Request *request)
{
    text_clear(&client->url);
    text_appendf(&client->url, "%s/?", endpoints_current(&client->endpoints)->url);
    clickhouse_settings_append(&client->url, client->config, !client->without_recent);
    if (request->database[0])
        append_parameter(client, "database", request->database);
    if (request->query)
        append_parameter(client, "query", request->query);
    return !client->url.failed;
}

static bool is_to_be_encoded(const ClickHouse *client, const Request *request)
{
    if (request->query == NULL || request->size < COMPRESS_BYTES_MIN)
        return false;
    return client->compression == COMPRESSION_AUTO ? !endpoints_current(&client->endpoints)->is_local
                                                   : client->compression != COMPRESSION_NONE;
}

static bool set_body(ClickHouse *client, const Request *request)
{
    bool encoded = is_to_be_encoded(client, request);
    const void *body = request->body;
    size_t size = request->size;

    if (encoded) {
        if (!compressor_run(&client->compressor, encoding_of(client->compression), body, size))
            return false;
        body = client->compressor.data;
        size = client->compressor.size;
    }
    return curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, encoded ? client->encoded : client->headers) ==
               CURLE_OK &&
           curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size) == CURLE_OK &&
           curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body) == CURLE_OK;
}

/* Of servers before 19 the answer's text alone has the code. */
static void read_code(ClickHouse *client)
{
    static const char prefix[] = "Code: ";

    if (client->exception_code == 0 && strncmp(client->answer.data, prefix, sizeof prefix - 1) == 0)
        client->exception_code = (int)strtol(client->answer.data + sizeof prefix - 1, NULL, 10);
}

/* One request to the current server. */
static Status perform(ClickHouse *client, const Request *request, Error *error)
{
    const char *url = endpoints_current(&client->endpoints)->url;
    CURLcode result;
    long http_status = 0;

    if (client->answer.capacity > ANSWER_KEEP_BYTES)
        text_free(&client->answer);
    text_clear(&client->answer);
    client->fault = FAULT_OTHER;
    client->exception_code = 0;
    client->curl_error[0] = '\0';
    if (!build_url(client, request) || !set_body(client, request) ||
        curl_easy_setopt(client->curl, CURLOPT_URL, client->url.data) != CURLE_OK)
        return status_fail(error, STATUS_RETRY, "out of memory");
    result = curl_easy_perform(client->curl);
    if (result != CURLE_OK) {
        client->fault = FAULT_AWAY;
        return status_fail(error, STATUS_RETRY, "ClickHouse at %s: %s", url,
                           client->curl_error[0] ? client->curl_error : curl_easy_strerror(result));
    }
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
    text_append(&client->answer, "", 0);
    if (client->answer.failed)
        return status_fail(error, STATUS_RETRY, "out of memory");
    if (http_status != 200)
        read_code(client);
    client->fault = fault_of(client->exception_code, http_status, client->answer.data);
    if (client->fault == FAULT_NONE)
        return STATUS_OK;
    client->answer.data[strcspn(client->answer.data, "\n")] = '\0';
    return status_fail(error, fault_status(client->fault, client->exception_code),
                       "ClickHouse at %.100s: HTTP %ld: %.280s%s", url, http_status, client->answer.data,
                       fault_advice(client->fault));
}

/* Asks one server after the other, each once, while it is the server's own fault that it does not answer. */
static Status ask(ClickHouse *client, const Request *request, Error *error)
{
    Status status = STATUS_RETRY;

    for (size_t tries = 0; tries < client->endpoints.count; tries++) {
        status = perform(client, request, error);
        if (clickhouse_settings_unknown(client->exception_code) && !client->without_recent) {
            client->without_recent = true;
            status = perform(client, request, error);
        }
        if (atomic_load(&client->cancelled))
            break;
        if (!fault_is_of_the_server(client->fault, client->exception_code)) {
            endpoints_answered(&client->endpoints);
            break;
        }
        endpoints_failed(&client->endpoints, clock_ms());
    }
    return status;
}

/* The statement, or in a cluster those that it becomes. */
static Status run(ClickHouse *client, const char *database, const char *sql, Error *error)
{
    Request request = {.database = database, .body = sql, .size = strlen(sql)};
    Text *statements = client->statements;
    Status status;

    if (client->config->clickhouse_cluster[0] == '\0')
        return ask(client, &request, error);
    cluster_rewrite(client->config->clickhouse_cluster, sql, &statements[0], &statements[1]);
    if (statements[0].failed || statements[1].failed)
        return status_fail(error, STATUS_RETRY, "out of memory");
    request.body = statements[0].data;
    request.size = statements[0].size;
    status = ask(client, &request, error);
    if (status != STATUS_OK || statements[1].size == 0)
        return status;
    request.body = statements[1].data;
    request.size = statements[1].size;
    return ask(client, &request, error);
}

Status clickhouse_query(ClickHouse *client, const char *database, const char *sql, const char **body,
                        size_t *size, Error *error)
{
    Status status = run(client, database ? database : client->config->clickhouse_database, sql, error);

    if (body)
        *body = status == STATUS_OK ? client->answer.data : "";
    if (size)
        *size = status == STATUS_OK ? client->answer.size : 0;
    return status;
}

Status clickhouse_insert(ClickHouse *client, const char *sql, const void *data, size_t size, Error *error)
{
    Request request = {
        .database = client->config->clickhouse_database, .query = sql, .body = data, .size = size};

    if (client->config->clickhouse_cluster[0]) {
        cluster_rewrite(client->config->clickhouse_cluster, sql, &client->statements[0],
                        &client->statements[1]);
        if (client->statements[0].failed)
            return status_fail(error, STATUS_RETRY, "out of memory");
        request.query = client->statements[0].data;
    }
    return ask(client, &request, error);
}

/*
 * clickhouse.c - statements and inserts over ClickHouse's HTTP interface; see clickhouse.h.
 */
#include "agent/clickhouse.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/text.h"

#define ANSWER_BYTES_MAX   (64u << 20)
#define CONNECT_TIMEOUT_MS 5000L

/*
 * A row counts only when the server has written it (no async inserts), an equal block is not dropped because
 * it was seen before (versions do that), and no value is made up: not from NULL, not for an unknown field,
 * not for an unreadable row.
 */
static const char *const settings =
    "async_insert=0&insert_deduplicate=0&input_format_null_as_default=0&insert_null_as_default=0"
    "&input_format_skip_unknown_fields=0&input_format_with_names_use_header=1&input_format_with_types_use_"
    "header=1"
    "&input_format_defaults_for_omitted_fields=1&input_format_allow_errors_num=0&input_format_allow_errors_"
    "ratio=0"
    "&session_timezone=UTC&output_format_json_quote_64bit_integers=0";

struct ClickHouse {
    const Config *config;
    CURL *curl;
    struct curl_slist *headers;
    Text url;
    Text answer;
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

static bool set_up(ClickHouse *client)
{
    CURL *curl = client->curl;

    return add_header(client, "Expect:") && add_header(client, "Content-Type: application/octet-stream") &&
           add_credentials(client) &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
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
    curl_slist_free_all(client->headers);
    text_free(&client->url);
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

static void append_parameter(ClickHouse *client, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(client->curl, value, 0);

    if (escaped == NULL)
        client->url.failed = true;
    else
        text_appendf(&client->url, "&%s=%s", name, escaped);
    curl_free(escaped);
}

static bool build_url(ClickHouse *client, const char *database, const char *query)
{
    const char *base = client->config->clickhouse_url;
    size_t size = strlen(base);

    while (size > 0 && base[size - 1] == '/')
        size--;
    text_clear(&client->url);
    text_append(&client->url, base, size);
    text_appendf(&client->url, "/?%s", settings);
    if (database == NULL)
        database = client->config->clickhouse_database;
    if (database[0])
        append_parameter(client, "database", database);
    if (query)
        append_parameter(client, "query", query);
    return !client->url.failed;
}

/*
 * ClickHouse's exception codes (src/Common/ErrorCodes.cpp) for data that do not fit, and for statements that
 * do not fit the tables. Everything else is taken for a passing trouble of the server.
 */
static Status classify(int code)
{
    static const int of_the_data[] = {6,   /* CANNOT_PARSE_TEXT */
                                      26,  /* CANNOT_PARSE_QUOTED_STRING */
                                      27,  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
                                      32,  /* ATTEMPT_TO_READ_AFTER_EOF */
                                      33,  /* CANNOT_READ_ALL_DATA */
                                      38,  /* CANNOT_PARSE_DATE */
                                      41,  /* CANNOT_PARSE_DATETIME */
                                      69,  /* ARGUMENT_OUT_OF_BOUND */
                                      72,  /* CANNOT_PARSE_NUMBER */
                                      117, /* INCORRECT_DATA */
                                      131, /* TOO_LARGE_STRING_SIZE */
                                      321, /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
                                      349, /* CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN */
                                      469 /* VIOLATED_CONSTRAINT */};
    static const int of_the_table[] = {8,  /* THERE_IS_NO_COLUMN */
                                       10, /* NOT_FOUND_COLUMN_IN_BLOCK */
                                       16, /* NO_SUCH_COLUMN_IN_TABLE */
                                       44, /* ILLEGAL_COLUMN */
                                       47, /* UNKNOWN_IDENTIFIER */
                                       50, /* UNKNOWN_TYPE */
                                       53, /* TYPE_MISMATCH */
                                       57, /* TABLE_ALREADY_EXISTS */
                                       60, /* UNKNOWN_TABLE */
                                       62, /* SYNTAX_ERROR */
                                       70, /* CANNOT_CONVERT_TYPE */
                                       81, /* UNKNOWN_DATABASE */
                                       524 /* ALTER_OF_COLUMN_IS_FORBIDDEN */};

    for (size_t i = 0; i < sizeof of_the_data / sizeof of_the_data[0]; i++)
        if (code == of_the_data[i])
            return STATUS_REJECT;
    for (size_t i = 0; i < sizeof of_the_table / sizeof of_the_table[0]; i++)
        if (code == of_the_table[i])
            return STATUS_STOP;
    return STATUS_RETRY;
}

static Status perform(ClickHouse *client, const void *data, size_t size, Error *error)
{
    CURLcode result;
    long http_status = 0;

    text_clear(&client->answer);
    client->exception_code = 0;
    client->curl_error[0] = '\0';
    if (curl_easy_setopt(client->curl, CURLOPT_URL, client->url.data) != CURLE_OK ||
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size) != CURLE_OK ||
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, data) != CURLE_OK)
        return status_fail(error, STATUS_RETRY, "out of memory");
    result = curl_easy_perform(client->curl);
    if (result != CURLE_OK)
        return status_fail(error, STATUS_RETRY, "ClickHouse at %s: %s", client->config->clickhouse_url,
                           client->curl_error[0] ? client->curl_error : curl_easy_strerror(result));
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
    text_append(&client->answer, "", 0);
    if (client->answer.failed)
        return status_fail(error, STATUS_RETRY, "out of memory");
    if (http_status == 200 && client->exception_code == 0)
        return STATUS_OK;
    client->answer.data[strcspn(client->answer.data, "\n")] = '\0';
    return status_fail(error, classify(client->exception_code), "ClickHouse at %s: HTTP %ld: %s",
                       client->config->clickhouse_url, http_status, client->answer.data);
}

Status clickhouse_query(ClickHouse *client, const char *database, const char *sql, const char **body,
                        size_t *size, Error *error)
{
    Status status;

    if (!build_url(client, database, NULL))
        return status_fail(error, STATUS_RETRY, "out of memory");
    status = perform(client, sql, strlen(sql), error);
    if (body)
        *body = status == STATUS_OK ? client->answer.data : "";
    if (size)
        *size = status == STATUS_OK ? client->answer.size : 0;
    return status;
}

Status clickhouse_insert(ClickHouse *client, const char *sql, const void *data, size_t size, Error *error)
{
    if (!build_url(client, NULL, sql))
        return status_fail(error, STATUS_RETRY, "out of memory");
    return perform(client, data, size, error);
}

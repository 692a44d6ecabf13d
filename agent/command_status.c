/*
 * command_status.c - `walhouse-agent status`: asks the running agent's /api/status and prints it.
 *
 * It needs nothing but the address: neither Kafka nor ClickHouse is asked by this process.
 */
#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "agent/command.h"
#include "agent/text.h"

#define TIMEOUT_S        20L /* the agent waits for both its ends */
#define ANSWER_BYTES_MAX (16u << 20)

/* ---- asking ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    Text *answer = context;

    if (answer->size + size * count > ANSWER_BYTES_MAX)
        return 0;
    text_append(answer, data, size * count);
    return answer->failed ? 0 : size * count;
}

/* An address to listen on may be every address of the host, which is none to connect to. */
static void append_url(Text *url, const char *listen)
{
    const char *port = strrchr(listen, ':');

    if (port && (strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "*:", 2) == 0 || port == listen))
        text_appendf(url, "http://127.0.0.1%s/api/status", port);
    else if (port && strncmp(listen, "[::]:", 5) == 0)
        text_appendf(url, "http://[::1]%s/api/status", port);
    else
        text_appendf(url, "http://%s/api/status", listen);
}

static Status ask(const char *listen, Text *answer, Error *error)
{
    CURL *curl = curl_easy_init();
    Text url = {0};
    CURLcode result = CURLE_OUT_OF_MEMORY;
    long http_status = 0;

    append_url(&url, listen);
    if (curl && !url.failed && curl_easy_setopt(curl, CURLOPT_URL, url.data) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK) {
        result = curl_easy_perform(curl);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http_status);
    }
    curl_easy_cleanup(curl);
    text_free(&url);
    if (result != CURLE_OK)
        return status_fail(
            error, STATUS_RETRY,
            "the agent at [http] listen = %s does not answer (%s): is it running, with this file?", listen,
            curl_easy_strerror(result));
    if (http_status != 200)
        return status_fail(error, STATUS_RETRY, "what answers at [http] listen = %s is no agent: HTTP %ld",
                           listen, http_status);
    return STATUS_OK;
}

/* ---- printing ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* "-" for what is not known, or not there. */
static void format_count(const json_t *value, char *buffer, size_t size)
{
    if (json_is_integer(value))
        (void)snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        (void)snprintf(buffer, size, "-");
}

/* From one moment to another, in the unit that fits; "-" when there is no first. */
static void format_age(json_int_t from_ms, json_int_t to_ms, char *buffer, size_t size)
{
    json_int_t seconds = (to_ms - from_ms) / 1000;

    if (from_ms == 0)
        (void)snprintf(buffer, size, "-");
    else if (seconds < 120)
        (void)snprintf(buffer, size, "%" JSON_INTEGER_FORMAT " s", seconds < 0 ? 0 : seconds);
    else if (seconds < 120 * 60)
        (void)snprintf(buffer, size, "%" JSON_INTEGER_FORMAT " min", seconds / 60);
    else if (seconds < 48 * 3600)
        (void)snprintf(buffer, size, "%" JSON_INTEGER_FORMAT " h", seconds / 3600);
    else
        (void)snprintf(buffer, size, "%" JSON_INTEGER_FORMAT " d", seconds / 86400);
}

/* What the agent says has been said by Postgres, Kafka and ClickHouse, who are not trusted with a terminal.
 */
static void print_text(const char *text)
{
    text_print(text, strlen(text));
}

static void print_field(const char *before, const char *text, const char *after)
{
    (void)printf("%s", before);
    print_text(text);
    (void)printf("%s", after);
}

static void print_agent(const json_t *report, json_int_t now)
{
    const json_t *kafka = json_object_get(report, "kafka");
    const json_t *clickhouse = json_object_get(report, "clickhouse");
    const json_t *error = json_object_get(report, "last_error");
    const json_t *reasons = json_object_get(report, "reasons");
    char age[32], lag[32];

    format_age(number_of(report, "started_at_ms"), now, age, sizeof age);
    format_count(json_object_get(report, "lag_messages"), lag, sizeof lag);
    print_field("agent       ", text_of(report, "version"), "");
    print_field(" ", text_of(report, "state"), "");
    (void)printf(", %s, up for %s\n", json_is_true(json_object_get(report, "ready")) ? "ready" : "not ready",
                 age);
    print_field("Kafka       ", text_of(kafka, "brokers"), "");
    print_field(", topics ", text_of(kafka, "topic_prefix"), ".*\n");
    print_field("ClickHouse  ", text_of(clickhouse, "url"), "");
    print_field(", database ", text_of(clickhouse, "database"), "\n");
    (void)printf("lag         %s messages; rows loaded since the start: %" JSON_INTEGER_FORMAT "\n", lag,
                 number_of(report, "rows_loaded"));
    if (json_is_object(error)) {
        format_age(number_of(error, "at_ms"), now, age, sizeof age);
        (void)printf("last error  %s ago", age);
        print_field(": ", text_of(error, "text"), "\n");
    }
    for (size_t i = 0; i < json_array_size(reasons); i++) {
        const char *reason = json_string_value(json_array_get(reasons, i));

        print_field("not ready   ", reason ? reason : "", "\n");
    }
}

static void print_states(const json_t *table, json_int_t now)
{
    const json_t *states = json_object_get(table, "states");

    for (size_t i = 0; i < json_array_size(states); i++) {
        const json_t *state = json_array_get(states, i);
        char age[32];

        format_age(number_of(state, "since_ms"), now, age, sizeof age);
        print_field("    ", text_of(state, "state"), "");
        print_field(" (", text_of(state, "code"), "");
        (void)printf(") for %s", age);
        print_field(": ", text_of(state, "reason"), "\n");
        if (text_of(state, "way_out")[0])
            print_field("    what to do: ", text_of(state, "way_out"), "\n");
    }
}

static void print_tables(const json_t *tables, json_int_t now)
{
    int width = 5;

    for (size_t i = 0; i < json_array_size(tables); i++) {
        int length = (int)strlen(text_of(json_array_get(tables, i), "table"));

        width = length > width ? length : width;
    }
    (void)printf("\n%-*s  %-8s %12s  %s\n", width, "TABLE", "STATE", "LAG", "OLDEST");
    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *table = json_array_get(tables, i);
        const char *name = text_of(table, "table");
        char lag[32], age[32];

        format_count(json_object_get(table, "lag_messages"), lag, sizeof lag);
        format_age(number_of(table, "lag_since_ms"), now, age, sizeof age);
        print_text(name);
        (void)printf("%*s  %-8s %12s  %s\n", width - (int)strlen(name), "", text_of(table, "state"), lag,
                     age);
        print_states(table, now);
    }
}

/* The exit status. */
static int print_answer(const Text *answer, bool as_json)
{
    json_t *report = json_loadb(answer->data ? answer->data : "", answer->size, 0, NULL);
    bool ready = json_is_true(json_object_get(report, "ready"));
    json_int_t now = number_of(report, "generated_at_ms");

    if (!json_is_object(report)) {
        json_decref(report);
        (void)fprintf(stderr, "walhouse-agent: what answers is no agent: its answer is no JSON\n");
        return EXIT_TROUBLE;
    }
    if (as_json) {
        (void)json_dumpf(report, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else {
        print_agent(report, now);
        print_tables(json_object_get(report, "tables"), now);
    }
    json_decref(report);
    return ready ? 0 : EXIT_TROUBLE;
}

int command_status(const Config *config, int argc, char **argv)
{
    bool as_json = argc == 2 && strcmp(argv[1], "--json") == 0;
    Text answer = {0};
    Error error = {""};
    int result = EXIT_TROUBLE;

    if (argc > 1 && !as_json) {
        (void)fprintf(stderr, "walhouse-agent: status takes --json and nothing else\n");
        return EXIT_USAGE;
    }
    if (ask(config->http_listen, &answer, &error) == STATUS_OK)
        result = print_answer(&answer, as_json);
    else
        (void)fprintf(stderr, "walhouse-agent: %s\n", error.text);
    text_free(&answer);
    return result;
}

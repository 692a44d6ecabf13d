/*
 * ask_clickhouse.c - one statement through the agent's HTTP client, for tests of the client alone against
 * servers that are too old for the agent's settings: it sends none.
 *
 *      ask_clickhouse URL DATABASE USER PASSWORD-FILE STATEMENT [BYTES]
 *
 * With BYTES the statement is an insert of that many bytes of TabSeparated rows. Prints: status, fault, text.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/clickhouse.h"
#include "agent/clickhouse_settings.h"

void clickhouse_settings_append(Text *url, const Config *config, bool with_recent)
{
    (void)url;
    (void)config;
    (void)with_recent;
}

bool clickhouse_settings_unknown(int code)
{
    (void)code;
    return false;
}

static int fail(const char *text)
{
    (void)fprintf(stderr, "ask_clickhouse: %s\n", text);
    return 2;
}

static char *rows(size_t size)
{
    char *data = malloc(size + 3);

    for (size_t i = 0; data && i < size + 2; i += 2)
        memcpy(data + i, "7\n", 2);
    return data;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"ok", "retry", "reject", "stop", "fatal"};
    char environment[4][400];
    const char *variables[5] = {environment[0], environment[1], environment[2], environment[3], NULL};
    static const char *const settings[] = {"URL", "DATABASE", "USER", "PASSWORD_FILE"};
    Config config;
    Error error = {""};
    ClickHouse *client;
    const char *body = "";
    Status status;

    if (argc < 6)
        return fail("URL DATABASE USER PASSWORD-FILE STATEMENT [BYTES]");
    for (int i = 0; i < 4; i++)
        (void)snprintf(environment[i], sizeof environment[i], CONFIG_ENVIRONMENT "CLICKHOUSE_%s=%s",
                       settings[i], argv[i + 1]);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !config_init(&config))
        return fail("out of memory");
    if (config_read(&config, NULL, variables, &error) != STATUS_OK)
        return fail(error.text);
    client = clickhouse_open(&config, &error);
    if (client == NULL)
        return fail(error.text);
    if (argc > 6) {
        size_t size = (size_t)strtoul(argv[6], NULL, 10) & ~(size_t)1;
        char *data = rows(size);

        status = data ? clickhouse_insert(client, argv[5], data, size, &error) : STATUS_FATAL;
        free(data);
    } else {
        status = clickhouse_query(client, NULL, argv[5], &body, NULL, &error);
    }
    (void)printf("%s %s %s\n", names[status], fault_name(clickhouse_fault(client)),
                 status == STATUS_OK ? body : error.text);
    clickhouse_close(client);
    config_fini(&config);
    curl_global_cleanup();
    return 0;
}

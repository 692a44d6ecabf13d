/*
 * warehouse.c - questions to ClickHouse; see warehouse.h.
 */
#include "storefront/warehouse.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_BYTES_MAX 65536
#define TIMEOUT_MS       2000L

/* ClickHouse's codes for what the agent makes with the first row. */
#define UNKNOWN_TABLE    60
#define UNKNOWN_DATABASE 81

struct Warehouse {
    CURL *curl;
    size_t size;
    int exception_code;
    char why[CURL_ERROR_SIZE];
    char answer[ANSWER_BYTES_MAX + 1];
};

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    Warehouse *warehouse = context;
    size_t bytes = size * count;

    if (bytes > ANSWER_BYTES_MAX - warehouse->size)
        return 0;
    memcpy(warehouse->answer + warehouse->size, data, bytes);
    warehouse->size += bytes;
    return bytes;
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    static const char name[] = "X-ClickHouse-Exception-Code:";
    Warehouse *warehouse = context;
    size_t bytes = size * count;
    char value[16] = {0};

    if (bytes >= sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
        size_t length = bytes - (sizeof name - 1);

        memcpy(value, data + sizeof name - 1, length < sizeof value ? length : sizeof value - 1);
        warehouse->exception_code = (int)strtol(value, NULL, 10);
    }
    return bytes;
}

static bool set_up(Warehouse *warehouse, const WarehouseSettings *settings)
{
    CURL *curl = warehouse->curl;

    return curl && curl_easy_setopt(curl, CURLOPT_URL, settings->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERNAME, settings->user) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PASSWORD, settings->password) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, warehouse->why) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, warehouse) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, warehouse) == CURLE_OK;
}

Warehouse *warehouse_open(const WarehouseSettings *settings)
{
    Warehouse *warehouse = calloc(1, sizeof *warehouse);

    if (warehouse == NULL)
        return NULL;
    warehouse->curl = curl_easy_init();
    if (set_up(warehouse, settings))
        return warehouse;
    warehouse_close(warehouse);
    return NULL;
}

void warehouse_close(Warehouse *warehouse)
{
    if (warehouse == NULL)
        return;
    curl_easy_cleanup(warehouse->curl);
    free(warehouse);
}

const char *warehouse_ask(Warehouse *warehouse, const char *sql, bool *missing, const char **why)
{
    long status = 0;

    warehouse->size = 0;
    warehouse->exception_code = 0;
    warehouse->why[0] = '\0';
    *missing = false;
    *why = warehouse->why;
    if (curl_easy_setopt(warehouse->curl, CURLOPT_COPYPOSTFIELDS, sql) != CURLE_OK ||
        curl_easy_perform(warehouse->curl) != CURLE_OK ||
        curl_easy_getinfo(warehouse->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        return NULL;
    warehouse->answer[warehouse->size] = '\0';
    if (status == 200)
        return warehouse->answer;
    *missing = warehouse->exception_code == UNKNOWN_TABLE || warehouse->exception_code == UNKNOWN_DATABASE;
    if (*missing)
        return "";
    (void)snprintf(warehouse->why, sizeof warehouse->why, "status %ld: %.200s", status, warehouse->answer);
    return NULL;
}

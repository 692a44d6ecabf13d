/*
 * endpoints.c - the ClickHouse servers that the agent may ask; see endpoints.h.
 */
#include "agent/endpoints.h"

#include <string.h>

#define BLANKS " \t"

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* By its name alone: no resolver is asked. */
static bool is_local_host(const char *host)
{
    size_t size = strcspn(host, ":/");

    return starts(host, "[::1]") || starts(host, "127.") ||
           (size == strlen("localhost") && starts(host, "localhost"));
}

static Status add(Endpoints *endpoints, const char *text, size_t size, Error *error)
{
    Endpoint *endpoint = &endpoints->list[endpoints->count];
    const char *host;

    while (size > 0 && strchr(BLANKS "/", text[size - 1]))
        size--;
    if (endpoints->count == ENDPOINTS_MAX)
        return status_fail(error, STATUS_FATAL, "[clickhouse] url: more than %d servers", ENDPOINTS_MAX);
    if (size >= sizeof endpoint->url)
        return status_fail(error, STATUS_FATAL, "[clickhouse] url: an address is longer than %zu bytes",
                           sizeof endpoint->url - 1);
    memcpy(endpoint->url, text, size);
    endpoint->url[size] = '\0';
    host = strstr(endpoint->url, "://");
    if ((!starts(endpoint->url, "http://") && !starts(endpoint->url, "https://")) || host[3] == '\0' ||
        strpbrk(endpoint->url, BLANKS "?#"))
        return status_fail(error, STATUS_FATAL,
                           "[clickhouse] url = %s: it takes http://host:port or https://host:port, several "
                           "separated by commas",
                           endpoint->url);
    endpoint->is_local = is_local_host(host + 3);
    endpoint->failed_at_ms = 0;
    endpoints->count++;
    return STATUS_OK;
}

Status endpoints_parse(Endpoints *endpoints, const char *urls, Error *error)
{
    Status status = STATUS_OK;

    *endpoints = (Endpoints){.count = 0};
    for (;;) {
        size_t size;

        urls += strspn(urls, BLANKS);
        size = strcspn(urls, ",");
        status = add(endpoints, urls, size, error);
        if (status != STATUS_OK || urls[size] == '\0')
            return status;
        urls += size + 1;
    }
}

const Endpoint *endpoints_current(const Endpoints *endpoints)
{
    return &endpoints->list[endpoints->current];
}

void endpoints_answered(Endpoints *endpoints)
{
    endpoints->list[endpoints->current].failed_at_ms = 0;
}

void endpoints_failed(Endpoints *endpoints, int64_t now_ms)
{
    size_t best = endpoints->current;

    endpoints->list[endpoints->current].failed_at_ms = now_ms;
    for (size_t i = 1; i < endpoints->count; i++) {
        size_t candidate = (endpoints->current + i) % endpoints->count;
        int64_t failed_at = endpoints->list[candidate].failed_at_ms;

        if (failed_at == 0 || now_ms - failed_at >= ENDPOINT_REST_MS) {
            endpoints->current = candidate;
            return;
        }
        if (failed_at < endpoints->list[best].failed_at_ms)
            best = candidate;
    }
    endpoints->current = best;
}

/*
 * endpoints.h - the ClickHouse servers of [clickhouse] url, and which of them is asked.
 *
 * The one that answers is kept. One that fails is left alone for a while, the next in the list is asked, and
 * when all have failed the one whose failure is longest ago. Pure: the caller brings the time.
 */
#ifndef WALHOUSE_AGENT_ENDPOINTS_H
#define WALHOUSE_AGENT_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/status.h"

#define ENDPOINTS_MAX      16
#define ENDPOINT_BYTES_MAX 300
#define ENDPOINT_REST_MS   10000 /* one that failed is not asked meanwhile if another may answer */

typedef struct Endpoint {
    char url[ENDPOINT_BYTES_MAX]; /* without a slash at its end */
    bool is_local;                /* on this machine: compressing for it gains nothing */
    int64_t failed_at_ms;         /* 0: it has not, or has answered since */
} Endpoint;

typedef struct Endpoints {
    Endpoint list[ENDPOINTS_MAX];
    size_t count;
    size_t current;
} Endpoints;

/* STATUS_FATAL: urls is no list of http://host:port or https://host:port, separated by commas. */
Status endpoints_parse(Endpoints *endpoints, const char *urls, Error *error);

const Endpoint *endpoints_current(const Endpoints *endpoints);
void endpoints_answered(Endpoints *endpoints);
/* The current one failed: takes the next. now_ms > 0. */
void endpoints_failed(Endpoints *endpoints, int64_t now_ms);

#endif

/*
 * http_server.h - health, metrics and the dashboard over HTTP.
 *
 *      GET /healthz      200: the process lives
 *      GET /readyz       200: Kafka and ClickHouse answer, all schemas are read, no table is stopped;
 *                        else 503 with the reasons
 *      GET /metrics      Prometheus's text format
 *      GET /api/status   the same with every table, its lag and its states
 *      GET /api/summary  what the dashboard shows; 503 while the warehouse does not answer
 *      GET /api/events   the same once a second, as server-sent events, to 32 viewers; 503 to further ones
 *      POST /api/dlq/replay  dead letters once more (dashboard_replay.h)
 *      GET /api/lag      messages that the group has not loaded, asked of the brokers now
 *      GET /...          the dashboard's pages
 */
#ifndef WALHOUSE_AGENT_HTTP_SERVER_H
#define WALHOUSE_AGENT_HTTP_SERVER_H

#include "agent/consume.h"
#include "agent/metrics.h"
#include "agent/registry.h"

typedef struct HttpServer HttpServer;

/* Listens on [http] listen. NULL: *error says why. The arguments outlive the server. */
HttpServer *http_server_start(const Config *config, Consumer *consumer, Registry *registry, Metrics *metrics,
                              Error *error);
/* Waits for the answers that are being made. NULL is fine. */
void http_server_stop(HttpServer *server);

#endif

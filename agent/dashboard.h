/*
 * dashboard.h - the answer of /api/summary: what the dashboard shows, asked of the warehouse.
 */
#ifndef WALHOUSE_AGENT_DASHBOARD_H
#define WALHOUSE_AGENT_DASHBOARD_H

#include "agent/consume.h"
#include "agent/metrics.h"
#include "agent/registry.h"

typedef struct Dashboard Dashboard;

/* NULL: *error says why. The arguments outlive the dashboard. */
Dashboard *dashboard_open(const Config *config, Consumer *consumer, Registry *registry, Metrics *metrics,
                          Error *error);
void dashboard_close(Dashboard *dashboard);

/*
 * The answer as JSON, malloc'ed; NULL: out of memory. It is made at most once a second, so that many viewers
 * cost one. Any thread may call it; several wait for one another.
 */
char *dashboard_summary(Dashboard *dashboard, size_t *size);

/*
 * Does ClickHouse answer a statement now? STATUS_OK, or another status with *error. Asked at most once a
 * second, by a connection of its own. Any thread may call it.
 */
Status dashboard_probe_clickhouse(Dashboard *dashboard, Error *error);

/* In one word: starting, kafka_away, clickhouse_away, table_stopped or running. */
const char *dashboard_state(const Metrics *metrics);

#endif

/*
 * dashboard.h - the answer of /api/summary: what the dashboard shows, asked of the warehouse.
 */
#ifndef WALHOUSE_AGENT_DASHBOARD_H
#define WALHOUSE_AGENT_DASHBOARD_H

#include "agent/dashboard_replay.h"
#include "agent/lag.h"
#include "agent/metrics.h"
#include "agent/registry.h"

typedef struct Dashboard Dashboard;

/* NULL: *error says why. The arguments outlive the dashboard. */
Dashboard *dashboard_open(const Config *config, Lag *lag, Registry *registry, Metrics *metrics,
                          Replay *replay, Error *error);
void dashboard_close(Dashboard *dashboard);

/*
 * The answer as JSON (dashboard/src/contract.ts reads it), malloc'ed; NULL: out of memory. It is made at most
 * once a second, by one of the threads that ask; the others get the last one meanwhile, which its
 * generated_at_ms dates. Any thread may call it.
 *
 * Not STATUS_OK: the warehouse does not answer for its own figures, and the JSON has only generated_at_ms,
 * agent, line and {"error": {"code", "message"}}.
 */
Status dashboard_summary(Dashboard *dashboard, char **json, size_t *size);

/*
 * Does ClickHouse answer a statement now? STATUS_OK, or another status with *error. Asked at most once a
 * second, by a connection of its own. Any thread may call it.
 */
Status dashboard_probe_clickhouse(Dashboard *dashboard, Error *error);

/* In one word: waiting_for_kafka, starting, waiting_for_clickhouse, table_stopped or running. The metrics
 * know of ClickHouse only what inserts meet; clickhouse_answers is what the caller has just seen. */
const char *dashboard_state(Metrics *metrics, bool clickhouse_answers);

#endif

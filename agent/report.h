/*
 * report.h - the answer of /api/status, which `walhouse-agent status` prints, and JSON of what the agent
 * knows of itself. Nothing here asks the warehouse.
 */
#ifndef WALHOUSE_AGENT_REPORT_H
#define WALHOUSE_AGENT_REPORT_H

#include <jansson.h>

#include "agent/lag.h"
#include "agent/metrics.h"
#include "agent/registry.h"

/* A text that may have been cut within a character; one that was is ASCII. NULL: out of memory. */
json_t *report_text(const char *text);

/* [{"table", "state", "code", "reason", "way_out", "since_ms"}], the gravest first. */
json_t *report_table_states(TableStates *states);

/*
 * Everything: the agent, its two ends, and every table with its lag and states. state and reasons are those
 * of /readyz; reasons is taken over.
 */
json_t *report_make(const Config *config, const char *state, json_t *reasons, Lag *lag, Registry *registry,
                    Metrics *metrics);

#endif

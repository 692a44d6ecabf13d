/*
 * pipeline.h - the agent's line, from Kafka to ClickHouse.
 */
#ifndef WALHOUSE_AGENT_PIPELINE_H
#define WALHOUSE_AGENT_PIPELINE_H

#include <stdatomic.h>

#include "agent/consume.h"
#include "agent/registry.h"

typedef struct Pipeline Pipeline;

/* NULL: *error says why. config and metrics outlive the pipeline. */
Pipeline *pipeline_open(const Config *config, Metrics *metrics, Error *error);
void pipeline_close(Pipeline *pipeline);

/* For the HTTP server's threads. */
Consumer *pipeline_consumer(Pipeline *pipeline);
Registry *pipeline_registry(Pipeline *pipeline);

/* What signal handlers ask of the line. */
typedef struct PipelineSignals {
    atomic_bool stop;
    atomic_bool reload; /* the settings are to be read again; the line takes it back */
} PipelineSignals;

/*
 * Runs until stop is set; then what was consumed is loaded and committed, within a bounded time. A reload is
 * done between batches: the log's settings and the tables' rules change, or nothing does when the file is
 * wrong. STATUS_FATAL: it cannot go on.
 */
Status pipeline_run(Pipeline *pipeline, PipelineSignals *signals, Error *error);

#endif

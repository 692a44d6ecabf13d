/*
 * statistics.h - the source's row counts beside the warehouse's.
 *
 * The publisher sends counts with the LSN they were taken at, after everything up to it is in Kafka. When the
 * group has loaded all that was in Kafka when they arrived, the views are counted, and both figures go into
 * _walhouse_statistics.
 */
#ifndef WALHOUSE_AGENT_STATISTICS_H
#define WALHOUSE_AGENT_STATISTICS_H

#include "agent/consume.h"
#include "agent/registry.h"

typedef struct Statistics Statistics;

/* A thread with a mailbox of one. */
Statistics *statistics_start(const Config *config, Consumer *consumer, Registry *registry, Error *error);
void statistics_stop(Statistics *statistics);

/* A control event; the newest source_statistics replaces one that was not looked at yet, other kinds are
 * ignored. Never blocks. */
void statistics_offer(Statistics *statistics, const void *json, size_t size);

#endif

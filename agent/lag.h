/*
 * lag.h - how far the group is behind, asked of the brokers and kept for a short while, for everything that
 * shows it: /metrics, /api/summary, /api/status.
 */
#ifndef WALHOUSE_AGENT_LAG_H
#define WALHOUSE_AGENT_LAG_H

#include "agent/batch.h"
#include "agent/consume.h"
#include "agent/metrics.h"

typedef struct Lag Lag;

typedef struct LagPartition {
    char *topic;
    int32_t partition;
    int64_t messages;
    int64_t since_ms; /* Unix time of the oldest message that waits; 0: none does, or it is another agent's */
} LagPartition;

/* NULL: out of memory. The arguments outlive it. */
Lag *lag_open(Consumer *consumer, Metrics *metrics);
void lag_close(Lag *lag);

/*
 * The sum over all partitions, or -1 while the brokers do not tell. visit (NULL: none) is called for each
 * partition, under a lock. Asks the brokers when what is known is older than two seconds, for two seconds at
 * most. Any thread may call it.
 */
int64_t lag_read(Lag *lag, void (*visit)(void *context, const LagPartition *partition), void *context);

/* ---- what the line notes for the lag in seconds ---- */

/* A batch goes to the loader. */
void lag_note_taken(LagTimes *times, const Batch *batch);
/* These offsets of a loaded batch are committed; filling is what has been taken meanwhile. */
void lag_note_loaded(LagTimes *times, const Batch *loaded, const Batch *filling,
                     const PartitionOffset *offsets, size_t count);

#endif

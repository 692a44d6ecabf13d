/*
 * stopped.h - partitions whose table cannot take rows: they pause at the first message that is not loaded,
 * and are tried again later. Other tables go on.
 */
#ifndef WALHOUSE_AGENT_STOPPED_H
#define WALHOUSE_AGENT_STOPPED_H

#include "agent/batch.h"

/* Nothing of it is committed, and it goes on at offset. */
typedef struct StoppedPartition {
    char *topic;
    int32_t partition;
    int64_t offset;
} StoppedPartition;

/* Zeroed: none. */
typedef struct Stopped {
    StoppedPartition *partitions;
    size_t count;
    int64_t retry_at_ms;
} Stopped;

void stopped_fini(Stopped *stopped);

bool stopped_has(const Stopped *stopped, const char *topic, int32_t partition);

/*
 * Stops what the loader stopped in loaded: every partition goes back to the first message that is in either
 * batch, and the batch that is being filled forgets the topic, so that nothing is loaded and committed before
 * what it follows. STATUS_FATAL: out of memory; then nothing of loaded may be committed.
 */
Status stopped_take(Stopped *stopped, Consumer *consumer, const Batch *loaded, Batch *filling, int64_t now_ms,
                    Error *error);

/* When it is time, all go on where they stopped: somebody may have mended the table. They stop again if not.
 */
void stopped_retry(Stopped *stopped, Consumer *consumer, int64_t now_ms);

/* After all partitions were resumed: these are not. */
void stopped_pause_again(const Stopped *stopped, Consumer *consumer);

#endif

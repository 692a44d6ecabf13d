/*
 * lag_times.h - since when the oldest message of each partition waits, for the consumer lag in seconds;
 * written by the line as batches come and go, never message by message.
 *
 * Times are those of Kafka's messages, in Unix milliseconds. Any thread may call anything here.
 */
#ifndef WALHOUSE_AGENT_LAG_TIMES_H
#define WALHOUSE_AGENT_LAG_TIMES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct LagTime {
    char *topic;
    int32_t partition;
    int64_t waiting_ms; /* of the oldest message that was taken and is not committed; 0: there is none */
    int64_t loaded_ms;  /* of the newest message that is committed; 0: none was */
} LagTime;

/* One a partition that this agent has read. */
typedef struct LagTimes {
    pthread_mutex_t lock;
    LagTime *times;
    size_t count;
    size_t capacity;
} LagTimes;

/* false: no mutex to be had. */
bool lag_times_init(LagTimes *times);
void lag_times_fini(LagTimes *times);

/* A batch that begins with a message of this time is to be loaded; later ones of the partition follow it.
 * Without memory the partition's lag in seconds is not known. */
void lag_times_taken(LagTimes *times, const char *topic, int32_t partition, int64_t first_ms);
/* Everything up to a message of last_ms is committed; next_ms: of the first message that has been taken after
 * it, 0: none. */
void lag_times_loaded(LagTimes *times, const char *topic, int32_t partition, int64_t last_ms,
                      int64_t next_ms);
/* Partitions were taken away: they are somebody else's to know. */
void lag_times_forget(LagTimes *times);

/*
 * Since when the partition's oldest message waits, if one does. Where none has been taken yet it is not older
 * than the last one that was loaded, and that one's time is said. 0: not known.
 */
int64_t lag_times_since(LagTimes *times, const char *topic, int32_t partition);

#endif

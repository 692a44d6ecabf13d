/*
 * lag.c - how far the group is behind; see lag.h.
 */
#include "agent/lag.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

#define KEPT_MS    2000
#define UNKNOWN_MS 5000 /* a broker that is away makes each question wait */
#define ASK_MS     2000

struct Lag {
    Consumer *consumer;
    Metrics *metrics;
    pthread_mutex_t lock;
    int64_t until_ms; /* monotonic: what follows is taken for true until then */
    int64_t messages; /* -1: not known */
    LagPartition *partitions;
    size_t count;
    size_t capacity;
    bool failed; /* while it is asked: out of memory */
};

Lag *lag_open(Consumer *consumer, Metrics *metrics)
{
    Lag *lag = calloc(1, sizeof *lag);

    if (lag == NULL || pthread_mutex_init(&lag->lock, NULL) != 0) {
        free(lag);
        return NULL;
    }
    lag->consumer = consumer;
    lag->metrics = metrics;
    lag->messages = -1;
    return lag;
}

static void forget(Lag *lag)
{
    for (size_t i = 0; i < lag->count; i++)
        free(lag->partitions[i].topic);
    lag->count = 0;
}

void lag_close(Lag *lag)
{
    if (lag == NULL)
        return;
    forget(lag);
    free(lag->partitions);
    (void)pthread_mutex_destroy(&lag->lock);
    free(lag);
}

static void take_partition(void *context, const char *topic, int32_t partition, int64_t committed,
                           int64_t end)
{
    Lag *lag = context;
    int64_t messages = end > committed ? end - committed : 0;
    char *copy = strdup(topic);

    if (copy && lag->count == lag->capacity) {
        size_t capacity = lag->capacity ? 2 * lag->capacity : 16;
        LagPartition *grown = realloc(lag->partitions, capacity * sizeof *grown);

        if (grown) {
            lag->partitions = grown;
            lag->capacity = capacity;
        }
    }
    if (copy == NULL || lag->count == lag->capacity) {
        lag->failed = true;
        free(copy);
        return;
    }
    lag->partitions[lag->count++] =
        (LagPartition){copy, partition, messages,
                       messages > 0 ? lag_times_since(&lag->metrics->lag_times, topic, partition) : 0};
}

static void ask(Lag *lag)
{
    int64_t messages = 0;
    Error error;
    bool known;

    forget(lag);
    lag->failed = false;
    known = consumer_lag(lag->consumer, ASK_MS, take_partition, lag, &messages, &error) == STATUS_OK &&
            !lag->failed;
    if (!known)
        forget(lag);
    lag->messages = known ? messages : -1;
    lag->until_ms = clock_ms() + (known ? KEPT_MS : UNKNOWN_MS);
    if (known)
        atomic_store(&lag->metrics->kafka_reachable, true);
}

int64_t lag_read(Lag *lag, void (*visit)(void *context, const LagPartition *partition), void *context)
{
    int64_t messages;

    (void)pthread_mutex_lock(&lag->lock);
    if (clock_ms() >= lag->until_ms)
        ask(lag);
    for (size_t i = 0; visit && i < lag->count; i++)
        visit(context, &lag->partitions[i]);
    messages = lag->messages;
    (void)pthread_mutex_unlock(&lag->lock);
    return messages;
}

/* ---- what the line notes ---- */

void lag_note_taken(LagTimes *times, const Batch *batch)
{
    for (size_t i = 0; i < batch->partition_count; i++)
        lag_times_taken(times, batch->partitions[i].topic, batch->partitions[i].partition,
                        batch->partitions[i].first_ms);
}

static const PartitionRange *range_of(const Batch *batch, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < batch->partition_count; i++)
        if (batch->partitions[i].partition == partition && strcmp(batch->partitions[i].topic, topic) == 0)
            return &batch->partitions[i];
    return NULL;
}

void lag_note_loaded(LagTimes *times, const Batch *loaded, const Batch *filling,
                     const PartitionOffset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const PartitionRange *range = range_of(loaded, offsets[i].topic, offsets[i].partition);
        const PartitionRange *next = range_of(filling, offsets[i].topic, offsets[i].partition);

        if (range)
            lag_times_loaded(times, range->topic, range->partition, range->last_ms,
                             next ? next->first_ms : 0);
    }
}

/*
 * stopped.c - partitions of stopped tables; see stopped.h.
 *
 *      loader: table stopped --> its partitions paused, back at their first message --> RETRY_MS --> all go
 * on ^                                                  |
 *                                             '----------------- stopped again ------------------'
 */
#include "agent/stopped.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS 10000

static void forget_all(Stopped *stopped)
{
    for (size_t i = 0; i < stopped->count; i++)
        free(stopped->partitions[i].topic);
    stopped->count = 0;
}

void stopped_fini(Stopped *stopped)
{
    forget_all(stopped);
    free(stopped->partitions);
    *stopped = (Stopped){0};
}

bool stopped_has(const Stopped *stopped, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < stopped->count; i++)
        if (stopped->partitions[i].partition == partition && strcmp(stopped->partitions[i].topic, topic) == 0)
            return true;
    return false;
}

static Status stop_partition(Stopped *stopped, Consumer *consumer, const PartitionRange *range, Error *error)
{
    StoppedPartition *grown = realloc(stopped->partitions, (stopped->count + 1) * sizeof *grown);
    char *topic = strdup(range->topic);

    if (grown)
        stopped->partitions = grown;
    if (grown == NULL || topic == NULL) {
        free(topic);
        return status_fail(error, STATUS_FATAL, "out of memory");
    }
    stopped->partitions[stopped->count++] =
        (StoppedPartition){.topic = topic, .partition = range->partition, .offset = range->first};
    consumer_pause(consumer, range->topic, range->partition, range->first);
    return STATUS_OK;
}

static bool topic_was_stopped(const Batch *batch, const char *topic)
{
    for (size_t i = 0; i < batch->table_count; i++)
        if (batch->tables[i].stopped && strcmp(batch->tables[i].table->topic, topic) == 0)
            return true;
    for (size_t i = 0; i < batch->partition_count; i++)
        if (batch->partitions[i].stopped && strcmp(batch->partitions[i].topic, topic) == 0)
            return true;
    return false;
}

static Status stop_partitions_of(Stopped *stopped, Consumer *consumer, const Batch *loaded,
                                 const Batch *batch, Error *error)
{
    Status status = STATUS_OK;

    for (size_t i = 0; i < batch->partition_count && status == STATUS_OK; i++) {
        const PartitionRange *range = &batch->partitions[i];

        if (topic_was_stopped(loaded, range->topic) && !stopped_has(stopped, range->topic, range->partition))
            status = stop_partition(stopped, consumer, range, error);
    }
    return status;
}

Status stopped_take(Stopped *stopped, Consumer *consumer, const Batch *loaded, Batch *filling, int64_t now_ms,
                    Error *error)
{
    size_t before = stopped->count;
    Status status = stop_partitions_of(stopped, consumer, loaded, loaded, error);

    if (status == STATUS_OK)
        status = stop_partitions_of(stopped, consumer, loaded, filling, error);
    if (stopped->count > before)
        stopped->retry_at_ms = now_ms + RETRY_MS;
    for (size_t i = 0; i < loaded->partition_count; i++)
        if (topic_was_stopped(loaded, loaded->partitions[i].topic))
            batch_forget_topic(filling, loaded->partitions[i].topic);
    return status;
}

void stopped_retry(Stopped *stopped, Consumer *consumer, int64_t now_ms)
{
    if (stopped->count == 0 || now_ms < stopped->retry_at_ms)
        return;
    for (size_t i = stopped->count; i-- > 0;) {
        const StoppedPartition *partition = &stopped->partitions[i];

        /* Once more to its place: a partition that was away and came back may have been read, and its
         * messages dropped. */
        consumer_pause(consumer, partition->topic, partition->partition, partition->offset);
        consumer_resume(consumer, partition->topic, partition->partition);
    }
    forget_all(stopped);
}

void stopped_pause_again(const Stopped *stopped, Consumer *consumer)
{
    for (size_t i = 0; i < stopped->count; i++)
        consumer_pause(consumer, stopped->partitions[i].topic, stopped->partitions[i].partition,
                       stopped->partitions[i].offset);
}

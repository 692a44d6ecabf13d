/*
 * lag_times.c - since when the oldest message of each partition waits; see lag_times.h.
 */
#include "agent/lag_times.h"

#include <stdlib.h>
#include <string.h>

bool lag_times_init(LagTimes *times)
{
    *times = (LagTimes){0};
    return pthread_mutex_init(&times->lock, NULL) == 0;
}

static void free_all(LagTimes *times)
{
    for (size_t i = 0; i < times->count; i++)
        free(times->times[i].topic);
    times->count = 0;
}

void lag_times_fini(LagTimes *times)
{
    free_all(times);
    free(times->times);
    (void)pthread_mutex_destroy(&times->lock);
}

static LagTime *find(LagTimes *times, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < times->count; i++)
        if (times->times[i].partition == partition && strcmp(times->times[i].topic, topic) == 0)
            return &times->times[i];
    return NULL;
}

/* NULL: out of memory. */
static LagTime *find_or_add(LagTimes *times, const char *topic, int32_t partition)
{
    LagTime *found = find(times, topic, partition);
    char *copy;

    if (found)
        return found;
    if (times->count == times->capacity) {
        size_t capacity = times->capacity ? 2 * times->capacity : 16;
        LagTime *grown = realloc(times->times, capacity * sizeof *grown);

        if (grown == NULL)
            return NULL;
        times->times = grown;
        times->capacity = capacity;
    }
    copy = strdup(topic);
    if (copy == NULL)
        return NULL;
    times->times[times->count] = (LagTime){.topic = copy, .partition = partition};
    return &times->times[times->count++];
}

void lag_times_taken(LagTimes *times, const char *topic, int32_t partition, int64_t first_ms)
{
    LagTime *time;

    (void)pthread_mutex_lock(&times->lock);
    time = find_or_add(times, topic, partition);
    if (time && time->waiting_ms == 0)
        time->waiting_ms = first_ms;
    (void)pthread_mutex_unlock(&times->lock);
}

void lag_times_loaded(LagTimes *times, const char *topic, int32_t partition, int64_t last_ms, int64_t next_ms)
{
    LagTime *time;

    (void)pthread_mutex_lock(&times->lock);
    time = find_or_add(times, topic, partition);
    if (time) {
        time->loaded_ms = last_ms;
        time->waiting_ms = next_ms;
    }
    (void)pthread_mutex_unlock(&times->lock);
}

void lag_times_forget(LagTimes *times)
{
    (void)pthread_mutex_lock(&times->lock);
    free_all(times);
    (void)pthread_mutex_unlock(&times->lock);
}

int64_t lag_times_since(LagTimes *times, const char *topic, int32_t partition)
{
    const LagTime *time;
    int64_t since = 0;

    (void)pthread_mutex_lock(&times->lock);
    time = find(times, topic, partition);
    if (time)
        since = time->waiting_ms ? time->waiting_ms : time->loaded_ms;
    (void)pthread_mutex_unlock(&times->lock);
    return since;
}

/*
 * clock.h - what time it is: since some moment, for durations, or of the day.
 */
#ifndef WALHOUSE_LIB_CLOCK_H
#define WALHOUSE_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    /* It fails for clocks that do not exist only. */
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* CLOCK_MONOTONIC in milliseconds. */
static inline int64_t clock_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

/* The time of day in microseconds since 1970. */
static inline int64_t clock_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

#endif

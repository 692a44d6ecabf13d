/*
 * condition.h - conditions whose waits end by CLOCK_MONOTONIC: setting the time of day makes none longer.
 */
#ifndef WALHOUSE_LIB_CONDITION_H
#define WALHOUSE_LIB_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* false: it could not be made. pthread_cond_destroy() ends it. */
static inline bool condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    bool ok;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return ok;
}

/* until_us: of clock_us(CLOCK_MONOTONIC). false: that time has come; true: woken, perhaps for nothing. */
static inline bool condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_us)
{
    struct timespec deadline = {.tv_sec = (time_t)(until_us / 1000000),
                                .tv_nsec = (long)(until_us % 1000000 * 1000)};

    return pthread_cond_timedwait(condition, lock, &deadline) == 0;
}

#endif

/*
 * dashboard_events.c - the summary once a second to all who look; see dashboard_events.h.
 *
 * However many look, it is made once; while nobody does, not at all.
 */
#include "agent/dashboard_events.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/condition.h"

#define INTERVAL_MS 1000
#define IDLE_MS     250 /* until somebody who has come is seen */

struct DashboardEvents {
    Dashboard *dashboard;
    Httpd *httpd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
};

static void send_summary(DashboardEvents *events)
{
    char *json = NULL;
    size_t size = 0;

    /* Without the warehouse it says so, which is news as well. */
    (void)dashboard_summary(events->dashboard, &json, &size);
    if (json)
        httpd_broadcast(events->httpd, json, size);
    free(json);
}

static void *run(void *context)
{
    DashboardEvents *events = context;

    (void)pthread_mutex_lock(&events->lock);
    while (!events->stop) {
        bool watched;

        (void)pthread_mutex_unlock(&events->lock);
        watched = httpd_viewers(events->httpd) > 0;
        if (watched)
            send_summary(events);
        (void)pthread_mutex_lock(&events->lock);
        if (!events->stop)
            (void)condition_wait(&events->changed, &events->lock,
                                 (clock_ms() + (watched ? INTERVAL_MS : IDLE_MS)) * 1000);
    }
    (void)pthread_mutex_unlock(&events->lock);
    return NULL;
}

DashboardEvents *dashboard_events_start(Dashboard *dashboard, Httpd *httpd, Error *error)
{
    DashboardEvents *events = calloc(1, sizeof *events);

    if (events == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    events->dashboard = dashboard;
    events->httpd = httpd;
    /* Neither takes memory of its own: the first that fails is the last. */
    if (pthread_mutex_init(&events->lock, NULL) == 0 && condition_init(&events->changed) &&
        pthread_create(&events->thread, NULL, run, events) == 0)
        return events;
    free(events);
    (void)status_fail(error, STATUS_FATAL, "cannot start a thread");
    return NULL;
}

void dashboard_events_stop(DashboardEvents *events)
{
    if (events == NULL)
        return;
    (void)pthread_mutex_lock(&events->lock);
    events->stop = true;
    (void)pthread_cond_broadcast(&events->changed);
    (void)pthread_mutex_unlock(&events->lock);
    (void)pthread_join(events->thread, NULL);
    (void)pthread_cond_destroy(&events->changed);
    (void)pthread_mutex_destroy(&events->lock);
    free(events);
}

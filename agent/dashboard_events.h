/*
 * dashboard_events.h - the summary once a second to all who look at /api/events.
 */
#ifndef WALHOUSE_AGENT_DASHBOARD_EVENTS_H
#define WALHOUSE_AGENT_DASHBOARD_EVENTS_H

#include "agent/dashboard.h"
#include "lib/httpd.h"

typedef struct DashboardEvents DashboardEvents;

/* A thread. NULL: *error says why. The arguments outlive it. */
DashboardEvents *dashboard_events_start(Dashboard *dashboard, Httpd *httpd, Error *error);
/* Waits for the summary that is being made. NULL is fine. */
void dashboard_events_stop(DashboardEvents *events);

#endif

/*
 * clickhouse_fault.h - what a failed request to ClickHouse means: whose fault it is, what follows for the
 * caller, and what a person can do. Pure.
 *
 * The codes are those of ClickHouse's src/Common/ErrorCodes.cpp. One that is not known is taken for a passing
 * trouble of the server: nothing is lost by trying again.
 */
#ifndef WALHOUSE_AGENT_CLICKHOUSE_FAULT_H
#define WALHOUSE_AGENT_CLICKHOUSE_FAULT_H

#include <stdbool.h>

#include "agent/status.h"

typedef enum Fault {
    FAULT_NONE,
    FAULT_AWAY,      /* no answer, shutting down, or something before it that says so */
    FAULT_BUSY,      /* too many parts, no memory, too many queries, too slow, a quota */
    FAULT_READ_ONLY, /* replica without Keeper, a user that may only read */
    FAULT_DISK,      /* full, or failing */
    FAULT_ACCESS,    /* user, password, rights, or settings that it does not let the agent have */
    FAULT_TABLE,     /* the statement does not fit the tables that are there */
    FAULT_DATA,      /* the data do not fit the statement */
    FAULT_OTHER,
    FAULT_COUNT
} Fault;

/* code: ClickHouse's exception code, 0: none came. http_status 0: no answer came. */
Fault fault_of(int code, long http_status, const char *answer);

/* For metrics: lower_case. */
const char *fault_name(Fault fault);
/* What a person can do, or what the agent does; "" where the server's own words say it. */
const char *fault_advice(Fault fault);
/* What follows for the statement: STATUS_RETRY, STATUS_REJECT or STATUS_STOP. */
Status fault_status(Fault fault, int code);
/* May another server of the list be better off? */
bool fault_is_of_the_server(Fault fault, int code);

#endif

/*
 * status.h - how a step of the agent ended, and why.
 *
 * Rooms classify what happened; pipeline.c alone decides what follows: RETRY is tried again with backoff for
 * as long as it takes, REJECT becomes an acknowledged dead letter, FATAL drains and exits.
 */
#ifndef WALHOUSE_AGENT_STATUS_H
#define WALHOUSE_AGENT_STATUS_H

#include <stdarg.h>
#include <stdio.h>

typedef enum Status {
    STATUS_OK,
    STATUS_RETRY,  /* the fault is outside and may pass: try again */
    STATUS_REJECT, /* this row or message cannot be loaded, now or later */
    STATUS_STOP,   /* this table cannot be loaded until somebody changes something */
    STATUS_FATAL   /* the agent cannot go on */
} Status;

/* What failed, on what, and what to do. Always zero-terminated. */
typedef struct Error {
    char text[512];
} Error;

/* Fills *error and returns status, so that a failing step is one line. */
__attribute__((format(printf, 3, 4))) static inline Status status_fail(Error *error, Status status,
                                                                       const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

#endif

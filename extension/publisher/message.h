/*
 * message.h - what the publisher says: log lines for the server's log, and the reason of a failure.
 *
 * Log lines go to stderr as "LEVEL: text", one line each; the supervisor passes them on. A Failure is filled
 * where something goes wrong and travels up to main, which logs it, reports it and exits.
 */
#ifndef WALHOUSE_PUBLISHER_MESSAGE_H
#define WALHOUSE_PUBLISHER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum MessageLevel { MESSAGE_DEBUG, MESSAGE_INFO, MESSAGE_WARNING, MESSAGE_ERROR } MessageLevel;

/* As long as the supervisor's report can carry. text is empty when nothing failed. */
typedef struct Failure {
    char text[512];
} Failure;

/* Lines below level are dropped. The level is the process's only setting of its kind; tests may set it too.
 */
void message_set_level(MessageLevel level);
/* false: no such level. */
bool message_level_parse(const char *name, MessageLevel *level);

void message_log(MessageLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fills failure (the first reason stays) and returns false, so that a function can return it. */
bool failure_set(Failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Microseconds since 1970-01-01 UTC, and milliseconds of a clock that never jumps. */
int64_t clock_wall_us(void);
int64_t clock_monotonic_ms(void);

#endif

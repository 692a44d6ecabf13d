/*
 * log_limit.h - a message that comes again and again is one line in so many seconds, with a count.
 *
 * Messages are of one kind when they differ in numbers only (offsets, ports, durations). Of a kind that comes
 * back within the time, what is held back is counted, and the next line that is let through tells the number.
 */
#ifndef WALHOUSE_LIB_LOG_LIMIT_H
#define WALHOUSE_LIB_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_KINDS 64 /* that are remembered; two that share a place only let more lines through */

typedef struct LogKind {
    uint64_t hash; /* 0: none */
    int64_t said_at_ms;
    uint64_t held; /* since then */
} LogKind;

/* Zeroed: nothing is held back. Not locked. */
typedef struct LogLimit {
    int64_t every_ms;
    LogKind kinds[LOG_KINDS];
} LogLimit;

/* false: hold it back. *held: how many of the kind were, since it was last said. */
bool log_limit_admit(LogLimit *limit, const char *text, int64_t now_ms, uint64_t *held);

#endif

/*
 * log_limit.h - a message that comes again and again is one line in so many seconds, with a count.
 *
 * Messages are of one kind when they differ in numbers only (offsets, ports, durations). Of a kind that comes
 * back within the time, what is held back is counted; the last of them and the number are said when the time
 * is over.
 */
#ifndef WALHOUSE_LIB_LOG_LIMIT_H
#define WALHOUSE_LIB_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_KINDS          64  /* that are remembered; two that share a place only let more lines through */
#define LOG_KIND_BYTES_MAX 512 /* of the text that is kept */

typedef struct LogKind {
    uint64_t hash; /* 0: none */
    int64_t said_at_ms;
    uint64_t held; /* since then */
    int level;
    char text[LOG_KIND_BYTES_MAX]; /* of the last one that was held back */
} LogKind;

/* Zeroed: nothing is held back. Not locked. */
typedef struct LogLimit {
    int64_t every_ms;
    LogKind kinds[LOG_KINDS];
} LogLimit;

/* false: it is held back. *replaced is what was held back of another kind that loses its place, held 0:
 * nothing. */
bool log_limit_admit(LogLimit *limit, int level, const char *text, int64_t now_ms, LogKind *replaced);

/* What has been held back for long enough; call it until it says false. */
bool log_limit_due(LogLimit *limit, int64_t now_ms, LogKind *due);

#endif

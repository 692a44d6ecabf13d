/*
 * log.h - log lines of our plain programs, to standard error.
 *
 *      2026-01-31T12:00:00.123Z WARNING: what happened, on what, and what to do
 *      {"time":"2026-01-31T12:00:00.123Z","level":"warning","message":"what happened, on what, and what to
 * do"}
 *
 * One call is one line, written at once, so that lines of several threads do not mix; bytes that would break
 * a line or a terminal are written as \xHH, or as JSON has it. Any thread may log.
 */
#ifndef WALHOUSE_LIB_LOG_H
#define WALHOUSE_LIB_LOG_H

#include <stdbool.h>

typedef enum LogLevel { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR } LogLevel;

/* "debug", "info", "warning" or "error"; false for anything else. */
bool log_level_parse(const char *name, LogLevel *level);

/* Lines below this level are dropped; info at the start. */
void log_set_level(LogLevel level);

typedef enum LogFormat { LOG_FORMAT_TEXT, LOG_FORMAT_JSON } LogFormat;

/* "text" or "json"; false for anything else. */
bool log_format_parse(const char *name, LogFormat *format);
void log_set_format(LogFormat format);

/* Warnings and errors that differ in numbers only are one line in so many seconds, with a count. 0, as at the
 * start: all are written. What was held back is said by whatever is logged later, or by log_tick(). */
void log_set_limit(int seconds);
/* Says what has been held back for long enough. Cheap: to be called often. */
void log_tick(void);

/* Longer lines are cut. */
__attribute__((format(printf, 2, 3))) void log_line(LogLevel level, const char *format, ...);

#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif

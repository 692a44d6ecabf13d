/*
 * message.c - log lines, failures, clocks; see message.h.
 */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
static MessageLevel lowest_level = MESSAGE_INFO;

void message_set_level(MessageLevel level)
{
    lowest_level = level;
}

bool message_level_parse(const char *name, MessageLevel *level)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *level = (MessageLevel)i;
            return true;
        }
    return false;
}

/* libpq's messages come in several lines: runs of white space become one blank, and none is left at the end.
 */
static void put_on_one_line(char *text)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        bool blank = *in == ' ' || *in == '\n' || *in == '\r' || *in == '\t';

        if (!blank)
            *out++ = *in;
        else if (out > text && out[-1] != ' ')
            *out++ = ' ';
    }
    if (out > text && out[-1] == ' ')
        out--;
    *out = '\0';
}

/* One write a line, so that lines of several processes do not mix in the supervisor's pipe. */
void message_log(MessageLevel level, const char *format, ...)
{
    char line[1024];
    va_list args;
    int head, body;
    size_t length;

    if (level < lowest_level)
        return;
    head = snprintf(line, sizeof line, "%s: ", level_names[level]);
    va_start(args, format);
    body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
    va_end(args);
    if (body < 0)
        return;
    put_on_one_line(line);
    length = strlen(line);
    line[length++] = '\n';
    /* Nobody is left to tell when stderr is gone. */
    if (write(STDERR_FILENO, line, length) < 0)
        return;
}

bool failure_set(Failure *failure, const char *format, ...)
{
    va_list args;

    if (failure->text[0] != '\0')
        return false;
    va_start(args, format);
    if (vsnprintf(failure->text, sizeof failure->text, format, args) < 0)
        failure->text[0] = '?';
    va_end(args);
    put_on_one_line(failure->text);
    return false;
}

int64_t clock_wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

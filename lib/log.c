/*
 * log.c - log lines of our plain programs; see log.h.
 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES_MAX 2048
#define LINE_BYTES_MAX (64 + 4 * TEXT_BYTES_MAX)

static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};

static atomic_int least_level = LOG_LEVEL_INFO; /* log_set_level() sets it again */

bool log_level_parse(const char *name, LogLevel *level)
{
    static const char *const given[] = {"debug", "info", "warning", "error"};

    for (int i = 0; i < (int)(sizeof given / sizeof given[0]); i++) {
        if (strcmp(name, given[i]) == 0) {
            *level = (LogLevel)i;
            return true;
        }
    }
    return false;
}

void log_set_level(LogLevel level)
{
    atomic_store(&least_level, (int)level);
}

/* Appends text without control characters; line has room for four bytes each. */
static size_t append_escaped(char *line, size_t size, const char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c != 0x7f) {
            line[size++] = (char)c;
            continue;
        }
        line[size++] = '\\';
        line[size++] = 'x';
        line[size++] = digits[c >> 4];
        line[size++] = digits[c & 15];
    }
    return size;
}

void log_line(LogLevel level, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    char line[LINE_BYTES_MAX];
    struct timespec now;
    struct tm utc;
    va_list arguments;
    size_t size;
    int saved_errno = errno;

    if ((int)level < atomic_load(&least_level))
        return;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || gmtime_r(&now.tv_sec, &utc) == NULL) {
        now = (struct timespec){0};
        utc = (struct tm){.tm_mday = 1, .tm_year = 70};
    }
    size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf(line + size, sizeof line - size, ".%03ldZ %s: ", now.tv_nsec / 1000000,
                             names[level]);
    size = append_escaped(line, size, text);
    line[size++] = '\n';
    /* Where standard error is gone there is nobody to tell. */
    while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
        ;
    errno = saved_errno;
}

/*
 * log.c - log lines of our plain programs; see log.h.
 */
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log_limit.h"

#define TEXT_BYTES_MAX 2048
#define LINE_BYTES_MAX (160 + 6 * TEXT_BYTES_MAX)

static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
static const char *const given_names[] = {"debug", "info", "warning", "error"};

/* The process has one standard error, and so one of each. */
static atomic_int least_level = LOG_LEVEL_INFO;
static atomic_int line_format = LOG_FORMAT_TEXT;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static LogLimit limit;

bool log_level_parse(const char *name, LogLevel *level)
{
    for (int i = 0; i < (int)(sizeof given_names / sizeof given_names[0]); i++) {
        if (strcmp(name, given_names[i]) == 0) {
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

bool log_format_parse(const char *name, LogFormat *format)
{
    *format = strcmp(name, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    return *format == LOG_FORMAT_JSON || strcmp(name, "text") == 0;
}

void log_set_format(LogFormat format)
{
    atomic_store(&line_format, (int)format);
}

void log_set_limit(int seconds)
{
    (void)pthread_mutex_lock(&limit_lock);
    limit.every_ms = (int64_t)seconds * 1000;
    (void)pthread_mutex_unlock(&limit_lock);
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

/* Bytes of the UTF-8 character that text begins with; 0: it begins with none. */
static size_t character_bytes(const unsigned char *text)
{
    size_t size = text[0] < 0x80   ? 1
                  : text[0] < 0xc2 ? 0
                  : text[0] < 0xe0 ? 2
                  : text[0] < 0xf0 ? 3
                  : text[0] < 0xf5 ? 4
                                   : 0;

    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what is beyond Unicode. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

/* Appends text as the inside of a JSON string; line has room for six bytes each. */
static size_t append_json(char *line, size_t size, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        size_t bytes = character_bytes(at);

        if (bytes == 0) {
            memcpy(line + size, "\\ufffd", 6);
            size += 6;
        } else if (*at < 0x20 || *at == 0x7f) {
            size += (size_t)sprintf(line + size, "\\u%04x", *at);
        } else {
            if (*at == '"' || *at == '\\')
                line[size++] = '\\';
            memcpy(line + size, at, bytes);
            size += bytes;
        }
        at += bytes ? bytes : 1;
    }
    return size;
}

static size_t append_time(char *line, size_t size)
{
    struct timespec now;
    struct tm utc;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || gmtime_r(&now.tv_sec, &utc) == NULL) {
        now = (struct timespec){0};
        utc = (struct tm){.tm_mday = 1, .tm_year = 70};
    }
    size += strftime(line + size, LINE_BYTES_MAX - size, "%Y-%m-%dT%H:%M:%S", &utc);
    return size + (size_t)snprintf(line + size, LINE_BYTES_MAX - size, ".%03ldZ", now.tv_nsec / 1000000);
}

static size_t append_line(char *line, LogLevel level, const char *text, uint64_t held)
{
    size_t size;

    if (atomic_load(&line_format) == LOG_FORMAT_JSON) {
        size = append_time(line, (size_t)sprintf(line, "{\"time\":\""));
        size += (size_t)sprintf(line + size, "\",\"level\":\"%s\",", given_names[level]);
        if (held)
            size += (size_t)sprintf(line + size, "\"held_back\":%" PRIu64 ",", held);
        size += (size_t)sprintf(line + size, "\"message\":\"");
        size = append_json(line, size, text);
        return size + (size_t)sprintf(line + size, "\"}\n");
    }
    size = append_time(line, 0);
    size += (size_t)sprintf(line + size, " %s: ", names[level]);
    size = append_escaped(line, size, text);
    if (held)
        size += (size_t)sprintf(line + size, " (%" PRIu64 " like this were held back)", held);
    line[size++] = '\n';
    return size;
}

/* Where standard error is gone there is nobody to tell. */
static void write_line(LogLevel level, const char *text, uint64_t held)
{
    char line[LINE_BYTES_MAX];
    size_t size = append_line(line, level, text, held);

    while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
        ;
}

/* ---- holding back ---- */

static int64_t now_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool admit(LogLevel level, const char *text)
{
    LogKind replaced;
    bool admitted;

    (void)pthread_mutex_lock(&limit_lock);
    admitted = log_limit_admit(&limit, (int)level, text, now_ms(), &replaced);
    (void)pthread_mutex_unlock(&limit_lock);
    if (replaced.held > 0)
        write_line((LogLevel)replaced.level, replaced.text, replaced.held);
    return admitted;
}

static bool take_due(LogKind *due)
{
    bool found;

    (void)pthread_mutex_lock(&limit_lock);
    found = log_limit_due(&limit, now_ms(), due);
    (void)pthread_mutex_unlock(&limit_lock);
    return found;
}

void log_tick(void)
{
    int saved_errno = errno;
    LogKind due;

    while (take_due(&due))
        write_line((LogLevel)due.level, due.text, due.held);
    errno = saved_errno;
}

void log_line(LogLevel level, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    va_list arguments;
    int saved_errno = errno;

    if ((int)level < atomic_load(&least_level))
        return;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    log_tick();
    if (level < LOG_LEVEL_WARNING || admit(level, text))
        write_line(level, text, 0);
    errno = saved_errno;
}

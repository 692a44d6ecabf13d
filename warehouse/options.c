/* options.c - one table gives the parser, --help and the defaults of the command line. */
#include "warehouse/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef WALHOUSE_VERSION
#define WALHOUSE_VERSION "0.1"
#endif

struct option_row {
    const char *name;
    size_t offset;
    bool is_number;
    const char *text_default;
    long number_default, min, max;
    const char *help;
};

#define TEXT(name, field, value, help)                                                                       \
    {                                                                                                        \
        name, offsetof(struct options, field), false, value, 0, 0, 0, help                                   \
    }
#define NUMBER(name, field, value, min, max, help)                                                           \
    {                                                                                                        \
        name, offsetof(struct options, field), true, NULL, value, min, max, help                             \
    }

static const struct option_row rows[] = {
    TEXT("--listen", listen, "127.0.0.1:8123", "ADDRESS:PORT to serve; port 0 takes a free one"),
    TEXT("--data", data, NULL, "directory of the data (created if missing; required)"),
    TEXT("--user", user, "default", "name of the one user"),
    TEXT("--password-file", password_file, NULL,
         "file whose first line is the password; without it none is asked"),
    TEXT("--engine-arguments", engine_arguments, NULL,
         "file of the engine's own arguments, one a line: --SETTING=VALUE is every statement's default, "
         "--config-file=FILE names clusters and macros"),
    NUMBER("--max-connections", connections_max, 16, 1, 1000, "statements that run at a time"),
    NUMBER("--max-clients", clients_max, 256, 1, 10000, "HTTP connections at a time"),
    NUMBER("--queue-wait", queue_wait_ms, 10000, 0, 600000, "ms a statement may wait for its turn"),
    NUMBER("--receive-timeout", receive_timeout_s, 60, 1, 86400, "seconds a client may be silent"),
    NUMBER("--max-memory", memory_mb_max, 0, 0, 16777216,
           "MB the engine may use; 0 is 90 % of the machine's"),
    NUMBER("--threads", threads_max, 0, 0, 1024, "threads of one statement; 0 is one per processor"),
};

#define ROWS (sizeof rows / sizeof rows[0])

static void *field_of(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static void store_text(struct options *options, const struct option_row *row, const char *value)
{
    *(const char **)field_of(options, row) = value;
}

static void store_number(struct options *options, const struct option_row *row, long value)
{
    *(long *)field_of(options, row) = value;
}

static void print_help(void)
{
    (void)printf("walhouse-warehouse: the ClickHouse engine behind ClickHouse's HTTP interface\n\n"
                 "usage: walhouse-warehouse --data DIRECTORY [--listen ADDRESS:PORT] [option…]\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        (void)printf("  %-19s %s", rows[i].name, rows[i].help);
        if (rows[i].is_number)
            (void)printf(" (%ld; from %ld to %ld)\n", rows[i].number_default, rows[i].min, rows[i].max);
        else if (rows[i].text_default != NULL)
            (void)printf(" (%s)\n", rows[i].text_default);
        else
            (void)printf("\n");
    }
    (void)printf("  %-19s this text\n  %-19s the version\n", "--help", "--version");
}

static bool store(struct options *options, const struct option_row *row, const char *value, char *message,
                  size_t size)
{
    char *end = NULL;
    long number;

    if (!row->is_number) {
        store_text(options, row, value);
        return true;
    }
    errno = 0;
    number = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < row->min || number > row->max) {
        (void)snprintf(message, size, "%s takes a number from %ld to %ld, not \"%s\"", row->name, row->min,
                       row->max, value);
        return false;
    }
    store_number(options, row, number);
    return true;
}

static const struct option_row *find_row(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

enum options_result options_parse(struct options *options, int argc, char **argv, char *message, size_t size)
{
    *options = (struct options){0};
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].is_number)
            store_number(options, &rows[i], rows[i].number_default);
        else
            store_text(options, &rows[i], rows[i].text_default);
    }
    for (int i = 1; i < argc; i++) {
        const struct option_row *row;

        if (strcmp(argv[i], "--help") == 0) {
            print_help();
            return OPTIONS_DONE;
        }
        if (strcmp(argv[i], "--version") == 0) {
            (void)printf("walhouse-warehouse %s\n", WALHOUSE_VERSION);
            return OPTIONS_DONE;
        }
        row = find_row(argv[i]);
        if (row == NULL) {
            (void)snprintf(message, size, "unknown option \"%s\" (--help lists them)", argv[i]);
            return OPTIONS_WRONG;
        }
        if (i + 1 == argc) {
            (void)snprintf(message, size, "%s needs a value", argv[i]);
            return OPTIONS_WRONG;
        }
        if (!store(options, row, argv[++i], message, size))
            return OPTIONS_WRONG;
    }
    if (options->data == NULL) {
        (void)snprintf(message, size, "--data DIRECTORY is required");
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

bool options_parse_address(const char *text, struct sockaddr_storage *address, bool *loopback, char *message,
                           size_t size)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)address;
    const char *colon = strrchr(text, ':');
    char host[64], *end = NULL;
    size_t host_bytes;
    long port;

    if (colon == NULL)
        goto wrong;
    host_bytes = (size_t)(colon - text);
    if (host_bytes >= sizeof host)
        goto wrong;
    memcpy(host, text, host_bytes);
    host[host_bytes] = '\0';
    port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port < 0 || port > 65535)
        goto wrong;
    *address = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *loopback = (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
        return true;
    }
    if (host_bytes > 2 && host[0] == '[' && host[host_bytes - 1] == ']') {
        host[host_bytes - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons((uint16_t)port);
            *loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
            return true;
        }
    }
wrong:
    (void)snprintf(message, size,
                   "--listen takes a numeric ADDRESS:PORT such as 127.0.0.1:8123 or [::1]:8123, not \"%s\"",
                   text);
    return false;
}

bool options_read_password(const char *path, char password[AUTH_NAME_MAX], char *message, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t n;

    if (file == NULL) {
        (void)snprintf(message, size, "cannot read the password file %s: %m", path);
        return false;
    }
    if (fgets(password, AUTH_NAME_MAX, file) == NULL)
        password[0] = '\0';
    (void)fclose(file);
    n = strcspn(password, "\r\n");
    if (n == 0 || n == AUTH_NAME_MAX - 1) {
        (void)snprintf(message, size, "the first line of the password file %s has to have 1 to %d bytes",
                       path, AUTH_NAME_MAX - 2);
        return false;
    }
    password[n] = '\0';
    return true;
}

/* The command line of walhouse-warehouse. */
#ifndef WAREHOUSE_OPTIONS_H
#define WAREHOUSE_OPTIONS_H

#include "warehouse/auth.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
    const char *listen;
    const char *data;
    const char *user;
    const char *password_file;
    const char *engine_arguments; /* file; NULL is none */
    long connections_max;
    long clients_max;
    long queue_wait_ms;
    long receive_timeout_s;
    long memory_mb_max;
    long threads_max;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* --help or --version was answered */
    OPTIONS_WRONG, /* message holds one line that says what is wrong */
};

/* Reads the arguments; strings in `options` point into argv. Prints the answer of --help and --version to
 * stdout. */
enum options_result options_parse(struct options *options, int argc, char **argv, char *message, size_t size);

/* "127.0.0.1:8123", "[::1]:8123" to an address (numeric only). *loopback says whether only this machine
 * reaches it. */
bool options_parse_address(const char *text, struct sockaddr_storage *address, bool *loopback, char *message,
                           size_t size);

/* The first line of a file, without its line end, as the user's password. */
bool options_read_password(const char *path, char password[AUTH_NAME_MAX], char *message, size_t size);

#endif

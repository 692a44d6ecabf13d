/*
 * main.c - walhouse-warehouse: the ClickHouse engine (libchdb) behind ClickHouse's own HTTP interface.
 *
 * For a laptop, the demo and the tests; a client cannot tell it from a small ClickHouse server.
 *
 *      main.c ──────► http.c ───► exchange.c ─────────────► engine.c, statement.c ─► libchdb
 *      options, lock,  sockets,    one request: request.c     pool of connections;
 *      start, stop     headers     (parameters), auth.c,      results and inserts
 *                                  body.c (coded), sql.c      piece by piece
 *                                  (where data begins),
 *                                  result.c (the answer),
 *                                  exception.c (errors)
 *
 * Data is in one directory, which belongs to one process at a time (a lock in it says so). The engine runs
 * SQL with this process's rights, files and network included, so authentication is the only wall: the default
 * address is loopback, and any other one is refused without a password.
 */
#include "warehouse/http.h"
#include "warehouse/options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_GRACE_S 10
#define STOP_LIMIT_S 20 /* after that the process ends as it is; what was acknowledged is in files */

static int fail(int status, const char *message)
{
    (void)fprintf(stderr, "walhouse-warehouse: %s\n", message);
    return status;
}

/* Makes the directory and takes its lock, held until the process ends. */
static bool lock_directory(const char *data, char *message, size_t size)
{
    char path[4096];
    int fd;

    if (mkdir(data, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(message, size, "cannot make the data directory %s: %m", data);
        return false;
    }
    if ((size_t)snprintf(path, sizeof path, "%s/walhouse-warehouse.lock", data) >= sizeof path) {
        (void)snprintf(message, size, "the data directory's name is too long");
        return false;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)snprintf(message, size, "cannot open the lock file in %s: %m", data);
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)snprintf(message, size, "the data directory %s is in use by another walhouse-warehouse", data);
        (void)close(fd);
        return false;
    }
    return true;
}

/* Blocks the signals that stop the server, before any thread is made, so that sigwait gets them. */
static bool block_stop_signals(sigset_t *signals)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    return sigemptyset(signals) == 0 && sigaddset(signals, SIGTERM) == 0 && sigaddset(signals, SIGINT) == 0 &&
           pthread_sigmask(SIG_BLOCK, signals, NULL) == 0 && sigaction(SIGPIPE, &ignore, NULL) == 0;
}

static bool configure(const struct options *options, struct http_options *http, char *message, size_t size)
{
    bool loopback;

    *http = (struct http_options){
        .clients_max = (unsigned)options->clients_max,
        .receive_timeout_s = (unsigned)options->receive_timeout_s,
    };
    if (!options_parse_address(options->listen, &http->address, &loopback, message, size))
        return false;
    if (strlen(options->user) >= sizeof http->user.name || options->user[0] == '\0') {
        (void)snprintf(message, size, "--user takes a name of 1 to %zu bytes", sizeof http->user.name - 1);
        return false;
    }
    memcpy(http->user.name, options->user, strlen(options->user) + 1);
    if (options->password_file != NULL &&
        !options_read_password(options->password_file, http->user.password, message, size))
        return false;
    if (!loopback && http->user.password[0] == '\0') {
        (void)snprintf(
            message, size,
            "%s can be reached from other machines: give a --password-file, or listen on 127.0.0.1",
            options->listen);
        return false;
    }
    return true;
}

static int serve(const struct options *options, const struct http_options *http, sigset_t *signals)
{
    struct engine_options engine_options = {
        .data_directory = options->data,
        .arguments_file = options->engine_arguments,
        .connections_max = (unsigned)options->connections_max,
        .queue_wait_ms = (unsigned)options->queue_wait_ms,
        .memory_bytes_max = (uint64_t)options->memory_mb_max << 20,
        .threads_max = (unsigned)options->threads_max,
    };
    struct exception e;
    struct engine *engine = engine_open(&engine_options, &e);
    struct http_server *server;
    char message[512], shown[128];
    int signal_number = 0;

    if (engine == NULL)
        return fail(1, e.text);
    server = http_start(engine, http, message, sizeof message);
    if (server == NULL) {
        (void)fprintf(stderr, "walhouse-warehouse: %s on %s\n", message, options->listen);
        engine_close(engine);
        return 1;
    }
    (void)snprintf(shown, sizeof shown, "%.*s", (int)(strrchr(options->listen, ':') - options->listen),
                   options->listen);
    (void)printf("listening on %s:%u\n", shown, http_port(server));
    (void)fflush(stdout);
    (void)sigwait(signals, &signal_number);
    /* A statement that does not end must not keep the process: SIGALRM's default action ends it. */
    (void)alarm(STOP_LIMIT_S);
    http_stop(server, STOP_GRACE_S);
    engine_close(engine);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct http_options http;
    sigset_t signals;
    char message[512];

    switch (options_parse(&options, argc, argv, message, sizeof message)) {
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_WRONG:
        return fail(2, message);
    case OPTIONS_RUN:
        break;
    }
    if (!configure(&options, &http, message, sizeof message))
        return fail(2, message);
    if (!lock_directory(options.data, message, sizeof message))
        return fail(1, message);
    if (!block_stop_signals(&signals))
        return fail(1, "cannot set up signals");
    return serve(&options, &http, &signals);
}

/*
 * main.c - walhouse-storefront: the demo's shop. Reads options, opens the pool, serves until it is told to
 * stop.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "storefront/server.h"

#define VERSION      "0.2.0"
#define EXIT_USAGE   2
#define POOL_DEFAULT 8
#define POOL_MAX     64

#define PASSWORD_BYTES_MAX 1000

typedef struct Options {
    const char *listen;
    const char *database;
    const char *password_file;
    const char *web;
    unsigned pool;
} Options;

static void print_help(void)
{
    (void)printf(
        "usage: walhouse-storefront --listen HOST:PORT --database CONNINFO [--web DIR] [--pool N]\n\n"
        "  --listen HOST:PORT   where to serve, such as 127.0.0.1:8000\n"
        "  --database CONNINFO  how to connect to Postgres, as libpq reads it\n"
        "  --password-file FILE its first line is the password for Postgres\n"
        "  --web DIR            folder of the built page; without it only the API is served\n"
        "  --pool N             connections to Postgres, 1 to %d (%d)\n"
        "  --help, --version\n",
        POOL_MAX, POOL_DEFAULT);
}

static bool parse_pool(const char *text, unsigned *pool)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > POOL_MAX)
        return false;
    *pool = (unsigned)value;
    return true;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, Options *options)
{
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"password-file", required_argument, NULL, 'P'},
                                          {"web", required_argument, NULL, 'w'},
                                          {"pool", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options->listen = optarg;
            break;
        case 'd':
            options->database = optarg;
            break;
        case 'P':
            options->password_file = optarg;
            break;
        case 'w':
            options->web = optarg;
            break;
        case 'p':
            if (parse_pool(optarg, &options->pool))
                break;
            (void)fprintf(stderr, "walhouse-storefront: --pool takes 1 to %d\n", POOL_MAX);
            return EXIT_USAGE;
        case 'h':
            print_help();
            return 0;
        case 'v':
            (void)printf("walhouse-storefront %s\n", VERSION);
            return 0;
        default:
            return EXIT_USAGE;
        }
    }
    if (options->listen && options->database && optind == argc)
        return -1;
    (void)fprintf(stderr, "walhouse-storefront: --listen and --database are needed (see --help)\n");
    return EXIT_USAGE;
}

/* Hands the password to libpq. Before any thread is made, as it goes by the environment. */
static bool give_password(const char *path)
{
    char line[PASSWORD_BYTES_MAX + 2]; /* and its end, and a byte more to tell a longer one */
    FILE *file = fopen(path, "r");
    bool ok = file && fgets(line, sizeof line, file) != NULL;

    if (ok) {
        line[strcspn(line, "\r\n")] = '\0';
        ok = line[0] != '\0' && strlen(line) <= PASSWORD_BYTES_MAX && setenv("PGPASSWORD", line, 1) == 0;
    }
    if (file)
        (void)fclose(file);
    if (!ok)
        (void)fprintf(stderr,
                      "walhouse-storefront: --password-file %s: its first line must hold a password of at "
                      "most %d bytes\n",
                      path, PASSWORD_BYTES_MAX);
    return ok;
}

static int serve(const Options *options)
{
    char error[256] = "out of memory";
    Pool *pool = pool_new(options->database, options->pool);
    Server *server = pool ? server_start(options->listen, options->web, pool, error, sizeof error) : NULL;
    sigset_t stop;
    int received;

    if (server == NULL) {
        (void)fprintf(stderr, "walhouse-storefront: %s\n", error);
        pool_free(pool);
        return 1;
    }
    log_info("walhouse-storefront %s at %s", VERSION, options->listen);
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigwait(&stop, &received);
    server_stop(server);
    pool_free(pool);
    return 0;
}

int main(int argc, char **argv)
{
    Options options = {.pool = POOL_DEFAULT};
    int status = parse_options(argc, argv, &options);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t stop;

    if (status >= 0)
        return status;
    /* Blocked before any thread is made, so that sigwait() alone gets them. */
    if (sigemptyset(&stop) != 0 || sigaddset(&stop, SIGTERM) != 0 || sigaddset(&stop, SIGINT) != 0 ||
        sigprocmask(SIG_BLOCK, &stop, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0) {
        (void)fprintf(stderr, "walhouse-storefront: signals: %s\n", strerror(errno));
        return 1;
    }
    if (options.password_file && !give_password(options.password_file))
        return 1;
    return serve(&options);
}

/*
 * main.c - walhouse-storefront: the demo's shop. Reads options, opens the pool, serves until it is told to
 * stop.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/secret_file.h"
#include "storefront/request.h"
#include "storefront/server.h"

#define VERSION      "0.2.0"
#define EXIT_USAGE   2
#define POOL_DEFAULT 8
#define POOL_MAX     64
#define RATE_DEFAULT 50

typedef struct Options {
    JourneySettings journey;
    unsigned rate_max;
    const char *dashboard;
    const char *listen;
    const char *database;
    const char *password_file;
    const char *warehouse_password_file;
    const char *web;
    unsigned pool;
} Options;

static void print_help(void)
{
    (void)printf(
        "usage: walhouse-storefront --listen HOST:PORT --database CONNINFO [OPTION...]\n\n"
        "  --listen HOST:PORT   where to serve, such as 127.0.0.1:8000\n"
        "  --database CONNINFO  how to connect to Postgres, as libpq reads it\n"
        "  --password-file FILE its first line is the password for Postgres\n"
        "  --pipeline NAME      the pipeline that carries the orders, to show when Kafka has them\n"
        "  --warehouse URL      ClickHouse with its database, to show when they are there, such as\n"
        "                       http://127.0.0.1:8123/?database=shop\n"
        "  --warehouse-user NAME\n"
        "  --warehouse-password-file FILE\n"
        "                       user there, and a file whose first line is the password\n"
        "  --dashboard URL      for a link to it\n"
        "  --busy-day N         orders a second that a page may let simulated shoppers place, 0 to %d (%d)\n"
        "  --web DIR            folder of the built page; without it only the API is served\n"
        "  --pool N             connections to Postgres, 1 to %d (%d)\n"
        "  --help, --version\n",
        BUSY_DAY_RATE_MAX, RATE_DEFAULT, POOL_MAX, POOL_DEFAULT);
}

static bool parse_number(const char *text, long min, long max, unsigned *number)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return false;
    *number = (unsigned)value;
    return true;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, Options *options)
{
    static const struct option known[] = {{"pipeline", required_argument, NULL, 'n'},
                                          {"warehouse", required_argument, NULL, 'c'},
                                          {"warehouse-user", required_argument, NULL, 'u'},
                                          {"warehouse-password-file", required_argument, NULL, 'W'},
                                          {"dashboard", required_argument, NULL, 'D'},
                                          {"busy-day", required_argument, NULL, 'b'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"web", required_argument, NULL, 'w'},
                                          {"password-file", required_argument, NULL, 'P'},
                                          {"pool", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            options->journey.pipeline = optarg;
            break;
        case 'c':
            options->journey.warehouse.url = optarg;
            break;
        case 'u':
            options->journey.warehouse.user = optarg;
            break;
        case 'W':
            options->warehouse_password_file = optarg;
            break;
        case 'D':
            options->dashboard = optarg;
            if (strncmp(optarg, "http://", 7) == 0 || strncmp(optarg, "https://", 8) == 0)
                break;
            (void)fprintf(
                stderr,
                "walhouse-storefront: --dashboard takes a URL that begins with http:// or https://\n");
            return EXIT_USAGE;
        case 'b':
            if (parse_number(optarg, 0, BUSY_DAY_RATE_MAX, &options->rate_max))
                break;
            (void)fprintf(stderr, "walhouse-storefront: --busy-day takes 0 to %d\n", BUSY_DAY_RATE_MAX);
            return EXIT_USAGE;
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
            if (parse_number(optarg, 1, POOL_MAX, &options->pool))
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

static bool read_password(const char *option, const char *path, char secret[SECRET_BYTES_MAX + 1])
{
    char problem[128];

    if (secret_file_read(path, 1, secret, problem, sizeof problem))
        return true;
    (void)fprintf(stderr, "walhouse-storefront: %s %s %s\n", option, path, problem);
    return false;
}

/* Hands the password to libpq. Before any thread is made, as it goes by the environment. */
static bool give_password(const char *path)
{
    char secret[SECRET_BYTES_MAX + 1];
    bool ok = read_password("--password-file", path, secret);

    if (ok && setenv("PGPASSWORD", secret, 1) != 0) {
        (void)fprintf(stderr, "walhouse-storefront: the password cannot be set: %s\n", strerror(errno));
        ok = false;
    }
    explicit_bzero(secret, sizeof secret);
    return ok;
}

static void wait_for_signal(void)
{
    sigset_t stop;
    int received;

    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigwait(&stop, &received);
}

/* Parts are closed in the order in which they use each other. */
static int serve(const Options *options)
{
    char error[256] = "out of memory";
    ServerParts parts = {.pool = pool_new(options->database, options->pool), .dashboard = options->dashboard};
    Server *server = NULL;
    int status;

    parts.journey = journey_start(&options->journey);
    parts.busy_day = parts.pool ? busy_day_new(parts.pool, options->rate_max) : NULL;
    if (parts.journey && parts.busy_day)
        server = server_start(options->listen, options->web, &parts, error, sizeof error);
    if (server) {
        log_info("walhouse-storefront %s at %s", VERSION, options->listen);
        wait_for_signal();
    } else {
        (void)fprintf(stderr, "walhouse-storefront: %s\n", error);
    }
    status = server ? 0 : 1;
    server_stop(server);
    busy_day_free(parts.busy_day);
    journey_stop(parts.journey);
    pool_free(parts.pool);
    return status;
}

int main(int argc, char **argv)
{
    Options options = {.pool = POOL_DEFAULT, .rate_max = RATE_DEFAULT};
    int status = parse_options(argc, argv, &options);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    char warehouse_password[SECRET_BYTES_MAX + 1] = "";
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
    if (options.warehouse_password_file &&
        !read_password("--warehouse-password-file", options.warehouse_password_file, warehouse_password))
        return 1;
    if (options.warehouse_password_file)
        options.journey.warehouse.password = warehouse_password;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "walhouse-storefront: libcurl cannot be set up\n");
        return 1;
    }
    options.journey.database = options.database;
    status = serve(&options);
    curl_global_cleanup();
    explicit_bzero(warehouse_password, sizeof warehouse_password);
    return status;
}

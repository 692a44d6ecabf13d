/*
 * main.c - walhouse-agent: reads the configuration, starts the line and the HTTP server, stops them in order.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "agent/http_server.h"
#include "agent/metrics.h"
#include "agent/pipeline.h"
#include "lib/log.h"

#define VERSION    "0.2.0"
#define EXIT_USAGE 2

/* Set by the signal handler; everything else is passed by argument. */
static atomic_bool stop_requested;

static void handle_stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&stop_requested, true);
}

static bool catch_signals(void)
{
    struct sigaction stop = {.sa_handler = handle_stop};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    return sigemptyset(&stop.sa_mask) == 0 && sigemptyset(&ignore.sa_mask) == 0 &&
           sigaction(SIGTERM, &stop, NULL) == 0 && sigaction(SIGINT, &stop, NULL) == 0 &&
           sigaction(SIGPIPE, &ignore, NULL) == 0;
}

static void print_help(void)
{
    (void)printf("usage: walhouse-agent --config FILE\n\n"
                 "Loads change events from Kafka into ClickHouse.\n\n"
                 "  --config FILE   settings, an INI file\n"
                 "  --check         read the settings, say what is wrong with them, and stop\n"
                 "  --help          this text\n"
                 "  --version       the version\n\n"
                 "Settings and their defaults:\n");
    config_print_help(stdout);
}

static Status run(const Config *config, Metrics *metrics, Error *error)
{
    Pipeline *pipeline = pipeline_open(config, metrics, error);
    HttpServer *server;
    Status status = STATUS_FATAL;

    if (pipeline == NULL)
        return STATUS_FATAL;
    server =
        http_server_start(config, pipeline_consumer(pipeline), pipeline_registry(pipeline), metrics, error);
    if (server) {
        log_info("walhouse-agent %s: topics %s.*, ClickHouse at %s, HTTP at %s", VERSION,
                 config->kafka_topic_prefix, config->clickhouse_url, config->http_listen);
        status = pipeline_run(pipeline, &stop_requested, error);
    }
    http_server_stop(server);
    pipeline_close(pipeline);
    return status;
}

static Status start(const char *path, bool check_only, Error *error)
{
    Config config;
    Metrics metrics;
    LogLevel level = LOG_LEVEL_INFO;
    Status status;

    if (!config_init(&config))
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = config_read(&config, path, error);
    if (status == STATUS_OK)
        status = config_check(&config, error);
    if (status == STATUS_OK && !log_level_parse(config.log_level, &level))
        status = status_fail(error, STATUS_FATAL, "[log] level = %s: it takes debug, info, warning or error",
                             config.log_level);
    log_set_level(level);
    if (status == STATUS_OK && !check_only) {
        if (!metrics_init(&metrics)) {
            status = status_fail(error, STATUS_FATAL, "out of memory");
        } else {
            status = run(&config, &metrics, error);
            metrics_fini(&metrics);
        }
    }
    config_fini(&config);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    const char *path = NULL;
    bool check_only = false;
    Error error = {""};
    Status status;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check_only = true;
            break;
        case 'h':
            print_help();
            return 0;
        case 'v':
            (void)printf("walhouse-agent %s\n", VERSION);
            return 0;
        default:
            return EXIT_USAGE;
        }
    }
    if (path == NULL || optind != argc) {
        (void)fprintf(stderr, "usage: walhouse-agent --config FILE (see --help)\n");
        return EXIT_USAGE;
    }
    if (!catch_signals() || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "walhouse-agent: cannot start: %s\n", strerror(errno));
        return 1;
    }
    status = start(path, check_only, &error);
    curl_global_cleanup();
    if (status == STATUS_OK)
        return 0;
    (void)fprintf(stderr, "walhouse-agent: %s\n", error.text);
    return 1;
}

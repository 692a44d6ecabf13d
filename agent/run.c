/*
 * run.c - `walhouse-agent run`: starts the line and the HTTP server, stops them in order.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/command.h"
#include "agent/http_server.h"
#include "agent/metrics.h"
#include "agent/pipeline.h"
#include "lib/log.h"

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

    return sigemptyset(&stop.sa_mask) == 0 && sigaction(SIGTERM, &stop, NULL) == 0 &&
           sigaction(SIGINT, &stop, NULL) == 0;
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
        log_info("walhouse-agent %s: topics %s.*, ClickHouse at %s, HTTP at %s", AGENT_VERSION,
                 config->kafka_topic_prefix, config->clickhouse_url, config->http_listen);
        status = pipeline_run(pipeline, &stop_requested, error);
    }
    http_server_stop(server);
    pipeline_close(pipeline);
    return status;
}

int command_run(const Config *config, int argc, char **argv)
{
    Metrics metrics;
    Error error = {""};
    Status status;

    if (argc > 1) {
        (void)fprintf(stderr, "walhouse-agent: run takes no %s (see --help)\n", argv[1]);
        return EXIT_USAGE;
    }
    if (!catch_signals()) {
        (void)fprintf(stderr, "walhouse-agent: cannot set signal handlers\n");
        return EXIT_TROUBLE;
    }
    if (!metrics_init(&metrics)) {
        (void)fprintf(stderr, "walhouse-agent: out of memory\n");
        return EXIT_TROUBLE;
    }
    status = run(config, &metrics, &error);
    metrics_fini(&metrics);
    if (status == STATUS_OK)
        return 0;
    (void)fprintf(stderr, "walhouse-agent: %s\n", error.text);
    return EXIT_TROUBLE;
}

/*
 * run.c - `walhouse-agent run`: starts the line and the HTTP server, stops them in order. SIGTERM and SIGINT
 * stop it, SIGHUP makes it read its settings again.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/command.h"
#include "agent/http_server.h"
#include "agent/metrics.h"
#include "agent/pipeline.h"
#include "lib/log.h"

/* Set by the signal handlers; everything else is passed by argument. */
static PipelineSignals signals;

static void handle_signal(int signal_number)
{
    atomic_store(signal_number == SIGHUP ? &signals.reload : &signals.stop, true);
}

static bool catch_signals(void)
{
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = SA_RESTART};

    return sigemptyset(&action.sa_mask) == 0 && sigaction(SIGTERM, &action, NULL) == 0 &&
           sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGHUP, &action, NULL) == 0;
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
        status = pipeline_run(pipeline, &signals, error);
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
    log_error("%s", error.text);
    return EXIT_TROUBLE;
}

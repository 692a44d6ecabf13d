/*
 * main.c - walhouse-publisher: options, signals, and the loop around one poll(2).
 *
 * Postgres's background worker starts it. It reads the pipeline's slot over a replication connection and
 * publishes to Kafka; see pipeline.c for what flows through. SIGTERM: what is in flight is waited for,
 * confirmed, and the process exits 0. Anything that cannot be gone on from ends it with 1 and a reason; the
 * supervisor starts another, which goes on from the slot.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "pipeline.h"
#include "report.h"

#ifndef WALHOUSE_VERSION
#define WALHOUSE_VERSION "0.2.0"
#endif

/* Signals are read from a descriptor; librdkafka's threads inherit the mask and never see one. -1: failed. */
static int open_signals(Failure *failure)
{
    sigset_t signals;
    int fd;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_SETMASK, &signals, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        signal(SIGHUP, SIG_IGN) == SIG_ERR) {
        failure_set(failure, "could not set up signals: %s", strerror(errno));
        return -1;
    }
    fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        failure_set(failure, "could not open a signal descriptor: %s", strerror(errno));
    return fd;
}

static bool run(Pipeline *pipeline, int signal_fd, Failure *failure)
{
    struct pollfd fds[PIPELINE_FDS + 1];
    struct signalfd_siginfo info;
    int timeout_ms;

    do {
        timeout_ms = pipeline_prepare(pipeline, fds);
        fds[PIPELINE_FDS] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
        if (poll(fds, PIPELINE_FDS + 1, timeout_ms) < 0) {
            if (errno != EINTR)
                return failure_set(failure, "poll failed: %s", strerror(errno));
            continue;
        }
        if (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            pipeline_stop(pipeline);
        if (!pipeline_step(pipeline, fds, failure))
            return false;
    } while (!pipeline_is_done(pipeline));
    return true;
}

/* A process that failed is not taken apart: that could wait for a broker that does not answer. */
static int fail(const Failure *failure)
{
    message_log(MESSAGE_ERROR, "%s", failure->text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    Failure failure = {""};
    MessageLevel level;
    Pipeline *pipeline;
    Options options;
    int signal_fd;

    switch (options_parse(&options, argc, (const char *const *)argv, &failure)) {
    case OPTIONS_HELP:
        options_print_help(stdout);
        return EXIT_SUCCESS;
    case OPTIONS_VERSION:
        return puts("walhouse-publisher " WALHOUSE_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    case OPTIONS_WRONG:
        (void)fail(&failure);
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (!message_level_parse(options.log_level, &level)) {
        failure_set(&failure, "option --log-level takes debug, info, warning or error, not \"%s\"",
                    options.log_level);
        (void)fail(&failure);
        return 2;
    }
    message_set_level(level);
    signal_fd = open_signals(&failure);
    if (signal_fd < 0)
        return fail(&failure);
    pipeline = pipeline_open(&options, &failure);
    if (pipeline == NULL)
        return fail(&failure);
    if (!run(pipeline, signal_fd, &failure)) {
        int status = pipeline_exit_status(pipeline);

        if (status == WH_EXIT_CHANGED) {
            message_log(MESSAGE_INFO, "%s; starting again with what stands there now", failure.text);
            _exit(status);
        }
        pipeline_report_failure(pipeline, &failure);
        (void)fail(&failure);
        _exit(status);
    }
    pipeline_finish(pipeline);
    pipeline_close(pipeline);
    close(signal_fd);
    return EXIT_SUCCESS;
}

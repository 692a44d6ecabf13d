/*
 * report.c - one place through which the state changes, and the pipe to the supervisor; see report.h.
 */
#include "report_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

static const char *const state_names[] = {"starting", "connecting", "streaming", "waiting_for_kafka",
                                          "failed",   "resyncing",  "slot_lost"};

static bool transition_is_legal(WhPublisherState from, WhPublisherState to)
{
    switch (from) {
    case WH_PUBLISHER_STARTING:
        return to == WH_PUBLISHER_CONNECTING || to == WH_PUBLISHER_FAILED || to == WH_PUBLISHER_SLOT_LOST;
    case WH_PUBLISHER_RESYNCING:
    case WH_PUBLISHER_CONNECTING:
    case WH_PUBLISHER_STREAMING:
    case WH_PUBLISHER_WAITING_FOR_KAFKA:
        return to != WH_PUBLISHER_STARTING;
    case WH_PUBLISHER_FAILED:
    case WH_PUBLISHER_SLOT_LOST:
        return false;
    }
    return false;
}

/* The process is about to exit. */
static bool state_is_final(WhPublisherState state)
{
    return state == WH_PUBLISHER_FAILED || state == WH_PUBLISHER_SLOT_LOST;
}

void report_writer_init(ReportWriter *writer, int fd)
{
    *writer = (ReportWriter){.fd = fd};
    writer->report.magic = WH_REPORT_MAGIC;
    writer->report.size = sizeof writer->report;
    writer->report.state = WH_PUBLISHER_STARTING;
    writer->report.state_since_us = clock_wall_us();
    if (fd >= 0) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
            message_log(MESSAGE_WARNING, "could not make the report pipe non-blocking: %s", strerror(errno));
    }
}

void report_writer_set_state(ReportWriter *writer, WhPublisherState state, const char *message)
{
    WhPublisherReport *report = &writer->report;
    WhPublisherState from = (WhPublisherState)report->state;

    message = message ? message : "";
    if (from == state && strncmp(report->message, message, sizeof report->message - 1) == 0)
        return;
    if (from != state) {
        assert(transition_is_legal(from, state));
        report->state = state;
        report->state_since_us = clock_wall_us();
        /* Why it failed is said once, by main. */
        message_log(state == WH_PUBLISHER_WAITING_FOR_KAFKA ? MESSAGE_WARNING : MESSAGE_INFO, "%s -> %s%s%s",
                    state_names[from], state_names[state], *message && !state_is_final(state) ? ": " : "",
                    state_is_final(state) ? "" : message);
    }
    (void)snprintf(report->message, sizeof report->message, "%s", message);
    (void)report_writer_send(writer);
}

static ssize_t write_message(const ReportWriter *writer, const void *message, size_t size)
{
    ssize_t written;

    do
        written = write(writer->fd, message, size);
    while (written < 0 && errno == EINTR);
    return written;
}

bool report_writer_send(ReportWriter *writer)
{
    /* A full pipe drops the report; the next one says more. */
    return writer->fd < 0 || write_message(writer, &writer->report, sizeof writer->report) >= 0 ||
           errno == EAGAIN || errno == EWOULDBLOCK;
}

bool report_writer_send_table(const ReportWriter *writer, const WhTableReport *report)
{
    return writer->fd < 0 || write_message(writer, report, sizeof *report) >= 0;
}

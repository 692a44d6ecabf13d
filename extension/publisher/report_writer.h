/*
 * report_writer.h - the publisher's state, and the reports to its supervisor (report.h has their layout).
 */
#ifndef WALHOUSE_PUBLISHER_REPORT_WRITER_H
#define WALHOUSE_PUBLISHER_REPORT_WRITER_H

#include <stdbool.h>

#include "report.h"

typedef struct ReportWriter {
    int fd; /* -1: nobody listens */
    WhPublisherReport report;
} ReportWriter;

/* fd stays the caller's; it is made non-blocking. */
void report_writer_init(ReportWriter *writer, int fd);

/* Enters state (or stays in it with another message) and tells the supervisor. message NULL: none. */
void report_writer_set_state(ReportWriter *writer, WhPublisherState state, const char *message);

/* Writes writer->report, whose counters the caller has filled. false: the supervisor is gone. */
bool report_writer_send(ReportWriter *writer);

/* Writes a table's. false: it found no room, or the supervisor is gone. */
bool report_writer_send_table(const ReportWriter *writer, const WhTableReport *report);

#endif

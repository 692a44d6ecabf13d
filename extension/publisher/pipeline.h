/*
 * pipeline.h - the line: from the replication connection through the composer to Kafka, and back as confirmed
 * LSNs.
 */
#ifndef WALHOUSE_PUBLISHER_PIPELINE_H
#define WALHOUSE_PUBLISHER_PIPELINE_H

#include <poll.h>

#include "options.h"
#include "snapshot.h"

/* Descriptors a pipeline wants polled: six, and those of snapshots. */
#define PIPELINE_FDS (6 + SNAPSHOT_FDS)

typedef struct Pipeline Pipeline;

/* options must outlive it. NULL with *failure set; nobody has been told yet. */
Pipeline *pipeline_open(const Options *options, Failure *failure);
/* NULL is allowed. */
void pipeline_close(Pipeline *pipeline);

/* Fills PIPELINE_FDS elements for poll(2); returns how long to wait at most, in milliseconds. */
int pipeline_prepare(Pipeline *pipeline, struct pollfd *fds);
/* One turn: takes what arrived, gives what is due. false: failure says why it cannot go on. */
bool pipeline_step(Pipeline *pipeline, const struct pollfd *fds, Failure *failure);

/* Takes no more chunks from now on; what is in flight may still be acknowledged. */
void pipeline_stop(Pipeline *pipeline);
/* After pipeline_stop(): nothing is in flight, or waited long enough. */
bool pipeline_is_done(const Pipeline *pipeline);

/* Confirms what is acknowledged and says so, before pipeline_close(). What cannot be said now is said after a
 * restart. */
void pipeline_finish(Pipeline *pipeline);

/* Tells the supervisor that the process is about to end because of failure. */
void pipeline_report_failure(Pipeline *pipeline, const Failure *failure);
/* After pipeline_step() has failed: how the process ends. With WH_EXIT_CHANGED it is no failure. */
int pipeline_exit_status(const Pipeline *pipeline);

#endif

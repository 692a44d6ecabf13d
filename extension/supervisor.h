/*
 * supervisor.h - what the rooms of a pipeline's worker share: supervisor.c decides, supervisor_listen.c listens to the
 * publisher, supervisor_config.c says what is to be run.
 */
#ifndef WALHOUSE_SUPERVISOR_H
#define WALHOUSE_SUPERVISOR_H

#include "storage/latch.h"
#include "utils/timestamp.h"

#include "child.h"
#include "supervisor_config.h"
#include "walhouse.h"

#define LOG_LINE_MAX		2048
/* The largest message of report.h fits several times. */
#define REPORT_BYTES_MAX	8192

typedef struct Supervisor
{
	char		name[NAMEDATALEN];
	PipelineState *state;		/* shared memory */
	PublisherCommand *command;	/* what runs, or ran last; NULL: nothing yet */
	MemoryContext command_context;
	ChildProcess child;
	TimestampTz child_started_at;
	int			backoff_ms;
	WaitEventSet *wait_set;		/* rebuilt when the child's pipes come and go */
	char		report_bytes[REPORT_BYTES_MAX]; /* read and not yet taken */
	int			report_length;
	char		log_line[LOG_LINE_MAX];
	int			log_line_length;
} Supervisor;

/* A new publisher: nothing of the last one's is left over. */
extern void listen_begin(Supervisor *s);

/* Takes what there is, without waiting. true: a pipe has ended, so the wait set must be built again. */
extern bool listen_reports(Supervisor *s);
extern bool listen_log(Supervisor *s);
/* The last line, though it has no end. */
extern void listen_log_end(Supervisor *s);

/* Puts an error into the pipeline's list, or counts it when it is the newest one's again. */
extern void keep_error(Supervisor *s, WhErrorKind kind, const char *text);

#endif

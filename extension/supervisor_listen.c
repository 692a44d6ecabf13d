/*
 * supervisor_listen.c - what the publisher says, into shared memory and the server's log.
 *
 *		report pipe --> reports (report.h) --> state, counters and errors of the pipeline, counters of its tables
 *		log pipe ----> lines "LEVEL: text" --> the server's log
 */
#include "postgres.h"

#include <unistd.h>

#include "storage/lwlock.h"

#include "supervisor.h"

/* Then others are heard: a publisher that writes without end must not hide a signal. What a pipe holds, 64 KiB, is read at once. */
#define READS_MAX 64

StaticAssertDecl(sizeof(WhPublisherReport) <= REPORT_BYTES_MAX / 2, "a report fits");
StaticAssertDecl(sizeof(WhTableReport) <= REPORT_BYTES_MAX / 2, "a table report fits");

void
listen_begin(Supervisor *s)
{
	s->report_length = 0;
	s->log_line_length = 0;
}

/* Closes *fd at its end and says so in *ended; returns what read() returned, 0 when nothing more is to be read now. */
static ssize_t
read_pipe(int *fd, void *buffer, size_t size, bool *ended)
{
	ssize_t		got;

	if (*fd < 0)
		return 0;
	got = read(*fd, buffer, size);
	if (got > 0)
		return got;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	(void) close(*fd);
	*fd = -1;
	*ended = true;
	return 0;
}

/* ---- errors ---- */

/* The lock must be held exclusively. again: it was reported before and is merely still so. */
static void
put_error(PipelineState *state, WhErrorKind kind, const char *text, bool again)
{
	PipelineError *newest = &state->errors[state->newest_error];
	TimestampTz now = GetCurrentTimestamp();

	if (newest->times > 0 && strcmp(newest->text, text) == 0)
	{
		newest->last_at = now;
		newest->times += again ? 0 : 1;
		return;
	}
	if (newest->times > 0)
		state->newest_error = (state->newest_error + 1) % PIPELINE_ERRORS_MAX;
	newest = &state->errors[state->newest_error];
	newest->kind = kind;
	strlcpy(newest->text, text, sizeof newest->text);
	newest->first_at = newest->last_at = now;
	newest->times = 1;
}

void
keep_error(Supervisor *s, WhErrorKind kind, const char *text)
{
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	put_error(s->state, kind, text, false);
	LWLockRelease(walhouse_pipelines()->lock);
}

/* ---- reports ---- */

static void
take_report(Supervisor *s, WhPublisherReport *report)
{
	PipelineState *state = s->state;
	bool		again;

	report->message[sizeof report->message - 1] = '\0';
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	again = state->report_at != 0 && strcmp(state->report.message, report->message) == 0;
	if (report->message[0])
		put_error(state, (WhErrorKind) report->error_kind, report->message, again);
	state->report = *report;
	state->report_at = GetCurrentTimestamp();
	LWLockRelease(walhouse_pipelines()->lock);
}

static void
take_table_report(Supervisor *s, WhTableReport *report)
{
	PipelineState *state = s->state;
	WhTableReport *tables;
	int			i;

	report->schema_name[WH_REPORT_NAME_BYTES - 1] = '\0';
	report->table_name[WH_REPORT_NAME_BYTES - 1] = '\0';
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	tables = walhouse_tables(state);
	for (i = 0; i < state->table_count; i++)
		if (tables[i].relation_oid == report->relation_oid)
			break;
	/* The pipeline's report says how many there are, so those without a place are known by number. */
	if (i < walhouse_pipelines()->tables_max)
	{
		tables[i] = *report;
		state->table_count = Max(state->table_count, i + 1);
	}
	LWLockRelease(walhouse_pipelines()->lock);
}

/* Takes the message at the buffer's start; returns its size, 0 when it is not complete, -1 when it is none. */
static int
take_message(Supervisor *s, const char *bytes, int length)
{
	uint32		head[2];
	WhPublisherReport report;
	WhTableReport table;

	if (length < (int) sizeof head)
		return 0;
	memcpy(head, bytes, sizeof head);
	if (head[0] == WH_REPORT_MAGIC && head[1] == sizeof report)
	{
		if (length < (int) sizeof report)
			return 0;
		memcpy(&report, bytes, sizeof report);
		take_report(s, &report);
		return sizeof report;
	}
	if (head[0] == WH_TABLE_REPORT_MAGIC && head[1] == sizeof table)
	{
		if (length < (int) sizeof table)
			return 0;
		memcpy(&table, bytes, sizeof table);
		take_table_report(s, &table);
		return sizeof table;
	}
	return -1;
}

bool
listen_reports(Supervisor *s)
{
	bool		ended = false;

	for (int i = 0; i < READS_MAX; i++)
	{
		ssize_t		got = read_pipe(&s->child.report_fd, s->report_bytes + s->report_length,
									sizeof s->report_bytes - s->report_length, &ended);
		int			at = 0;
		int			size;

		if (got <= 0)
			break;
		s->report_length += (int) got;
		while ((size = take_message(s, s->report_bytes + at, s->report_length - at)) > 0)
			at += size;
		if (size < 0)
		{
			keep_error(s, WH_ERROR_PUBLISHER,
					   "walhouse-publisher is of another version than the extension: install both from one build");
			at = s->report_length;
		}
		s->report_length -= at;
		memmove(s->report_bytes, s->report_bytes + at, s->report_length);
	}
	return ended;
}

/* ---- the log ---- */

/* The publisher's errors end it, not the server: they are logged as warnings here. */
void
listen_log_end(Supervisor *s)
{
	static const struct
	{
		const char *prefix;
		int			level;
	}			levels[] = {
		{"DEBUG: ", DEBUG1}, {"INFO: ", LOG}, {"WARNING: ", WARNING}, {"ERROR: ", WARNING}, {"FATAL: ", WARNING},
	};
	const char *text = s->log_line;
	int			level = LOG;

	s->log_line[s->log_line_length] = '\0';
	s->log_line_length = 0;
	for (int i = 0; i < lengthof(levels); i++)
	{
		if (strncmp(text, levels[i].prefix, strlen(levels[i].prefix)) == 0)
		{
			level = levels[i].level;
			text += strlen(levels[i].prefix);
			break;
		}
	}
	if (text[0])
		ereport(level, (errmsg_internal("pipeline \"%s\": %s", s->name, text), errhidestmt(true)));
}

bool
listen_log(Supervisor *s)
{
	char		buffer[1024];
	bool		ended = false;

	for (int i = 0; i < READS_MAX; i++)
	{
		ssize_t		got = read_pipe(&s->child.log_fd, buffer, sizeof buffer, &ended);

		if (got <= 0)
			break;
		for (ssize_t b = 0; b < got; b++)
		{
			if (buffer[b] == '\n' || s->log_line_length == LOG_LINE_MAX - 1)
				listen_log_end(s);
			if (buffer[b] != '\n')
				s->log_line[s->log_line_length++] = buffer[b];
		}
	}
	return ended;
}

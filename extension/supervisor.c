/*
 * supervisor.c - the worker of one pipeline: runs walhouse-publisher and knows how it is.
 *
 *		            start_publisher()                  it ended
 *		  idle ------------------------> running ------------------> backing off (100 ms, doubled up to 10 s)
 *		   ^                                |                              |
 *		   |                                | reports --> shared memory    | time is up
 *		   '--------------------------------+------------------------------'
 *		                                    |
 *		               SIGTERM: the publisher is stopped, the worker exits 0
 *
 * The publisher is a program of its own because librdkafka's threads must never share a process with the server's signal
 * handlers, and because it can then be killed without the postmaster restarting every session.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "postmaster/postmaster.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "child.h"
#include "compat.h"
#include "walhouse.h"

#define BACKOFF_FIRST_MS	100
#define BACKOFF_LAST_MS		10000
/* A publisher that ran this long was well: the next backoff starts small again. */
#define WELL_AFTER_MS		30000
#define STOP_GRACE_MS		2000
#define ARGUMENTS_MAX		40
#define LOG_LINE_MAX		2048

/* The pipeline's row and what the publisher needs besides; strings in the worker's own context. */
typedef struct PipelineConfig
{
	char	   *name;
	char	   *slot_name;
	char	   *publication;
	char	   *brokers;
	char	   *topic_prefix;
	char	   *partitions;
	char	   *replication_factor;
	char	   *epoch;
	char	   *system_identifier;
	char	   *timeline;
	char	   *properties_file;	/* NULL: none */
	char	   *database;
	char	   *user;			/* the bootstrap superuser, who owns the server's socket */
} PipelineConfig;

typedef struct Supervisor
{
	PipelineConfig config;
	PipelineState *state;		/* shared memory */
	ChildProcess child;
	TimestampTz child_started_at;
	int			backoff_ms;
	WaitEventSet *wait_set;		/* rebuilt when the child's pipes come and go */
	char		log_line[LOG_LINE_MAX];
	int			log_line_length;
} Supervisor;

static volatile sig_atomic_t stop_requested = false;

static void
handle_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	stop_requested = true;
	SetLatch(MyLatch);
	errno = saved_errno;
}

static void
handle_sigchld(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	SetLatch(MyLatch);
	errno = saved_errno;
}

/* ---- what is to be run ---- */

static char *
copy_column(int number)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);

	return value ? MemoryContextStrdup(TopMemoryContext, value) : NULL;
}

/* false: the pipeline's row is gone, or it is paused. */
static bool
read_config(const char *name, PipelineConfig *config)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT name, slot_name, publication, brokers, topic_prefix, partitions, replication_factor, epoch,"
							  " system_identifier, timeline, properties_file"
							  " FROM walhouse.pipeline WHERE name = $1 AND enabled",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read walhouse.pipeline");
	found = SPI_processed == 1;
	if (found)
	{
		config->name = copy_column(1);
		config->slot_name = copy_column(2);
		config->publication = copy_column(3);
		config->brokers = copy_column(4);
		config->topic_prefix = copy_column(5);
		config->partitions = copy_column(6);
		config->replication_factor = copy_column(7);
		config->epoch = copy_column(8);
		config->system_identifier = copy_column(9);
		config->timeline = copy_column(10);
		config->properties_file = copy_column(11);
		config->database = MemoryContextStrdup(TopMemoryContext, get_database_name(MyDatabaseId));
		config->user = MemoryContextStrdup(TopMemoryContext, GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false));
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	return found;
}

/* Appends " key='value'" as libpq wants it quoted. */
static void
append_parameter(StringInfo conninfo, const char *key, const char *value)
{
	appendStringInfo(conninfo, "%s='", key);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(conninfo, '\\');
		appendStringInfoChar(conninfo, *value);
	}
	appendStringInfoString(conninfo, "' ");
}

/* Where and as whom the publisher connects: no secret is in it unless walhouse.publisher_conninfo adds one. */
static char *
publisher_conninfo(const PipelineConfig *config)
{
	StringInfoData conninfo;
	char	   *host = pstrdup(Unix_socket_directories ? Unix_socket_directories : "");
	char	   *comma = strchr(host, ',');

	if (comma)
		*comma = '\0';
	initStringInfo(&conninfo);
	append_parameter(&conninfo, "host", host[0] ? host : "localhost");
	append_parameter(&conninfo, "port", psprintf("%d", PostPortNumber));
	append_parameter(&conninfo, "dbname", config->database);
	append_parameter(&conninfo, "user", config->user);
	appendStringInfoString(&conninfo, walhouse_publisher_conninfo);
	return conninfo.data;
}

static char *
publisher_path(void)
{
	char		directory[MAXPGPATH];

	if (walhouse_publisher_path && walhouse_publisher_path[0])
		return pstrdup(walhouse_publisher_path);
	strlcpy(directory, my_exec_path, sizeof directory);
	get_parent_directory(directory);
	return psprintf("%s/walhouse-publisher", directory);
}

static void
start_publisher(Supervisor *s)
{
	PipelineConfig *c = &s->config;
	char	   *argv[ARGUMENTS_MAX] = {
		"walhouse-publisher",
		"--pipeline", c->name,
		"--slot", c->slot_name,
		"--publication", c->publication,
		"--brokers", c->brokers,
		"--topic-prefix", c->topic_prefix,
		"--partitions", c->partitions,
		"--replication-factor", c->replication_factor,
		"--epoch", c->epoch,
		"--system-identifier", c->system_identifier,
		"--timeline", c->timeline,
		"--conninfo", publisher_conninfo(c),
		"--report-fd", psprintf("%d", CHILD_REPORT_FD),
		"--statistics-interval", psprintf("%d", walhouse_statistics_interval),
	};
	int			count = 0;

	while (argv[count] != NULL)
		count++;
	if (c->properties_file)
	{
		argv[count++] = "--properties-file";
		argv[count++] = c->properties_file;
	}
	Assert(count < ARGUMENTS_MAX);
	child_start(&s->child, publisher_path(), argv);
	s->child_started_at = GetCurrentTimestamp();
	s->log_line_length = 0;
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	s->state->publisher_pid = s->child.pid;
	s->state->publisher_starts++;
	s->state->report_at = 0;
	memset(&s->state->report, 0, sizeof s->state->report);
	LWLockRelease(walhouse_pipelines()->lock);
}

/* ---- what it says ---- */

static void
build_wait_set(Supervisor *s)
{
	if (s->wait_set)
		FreeWaitEventSet(s->wait_set);
	s->wait_set = create_wait_event_set(4);
	AddWaitEventToSet(s->wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(s->wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (s->child.report_fd >= 0)
		AddWaitEventToSet(s->wait_set, WL_SOCKET_READABLE, s->child.report_fd, NULL, NULL);
	if (s->child.log_fd >= 0)
		AddWaitEventToSet(s->wait_set, WL_SOCKET_READABLE, s->child.log_fd, NULL, NULL);
}

static void
keep_error(Supervisor *s, const char *text)
{
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	strlcpy(s->state->last_error, text, sizeof s->state->last_error);
	s->state->last_error_at = GetCurrentTimestamp();
	LWLockRelease(walhouse_pipelines()->lock);
}

static void
take_report(Supervisor *s, WhPublisherReport *report)
{
	if (report->magic != WH_REPORT_MAGIC || report->size != sizeof *report)
	{
		keep_error(s, "walhouse-publisher is of another version than the extension: install both from one build");
		return;
	}
	report->message[sizeof report->message - 1] = '\0';
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	s->state->report = *report;
	s->state->report_at = GetCurrentTimestamp();
	if (report->message[0])
	{
		strlcpy(s->state->last_error, report->message, sizeof s->state->last_error);
		s->state->last_error_at = s->state->report_at;
	}
	LWLockRelease(walhouse_pipelines()->lock);
}

/* Closes *fd at its end; returns what read() returned, 0 when nothing more is to be read now. */
static ssize_t
read_pipe(Supervisor *s, int *fd, void *buffer, size_t size)
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
	build_wait_set(s);
	return 0;
}

static void
read_reports(Supervisor *s)
{
	WhPublisherReport report;
	WhPublisherReport newest;
	bool		any = false;

	/* Reports are written whole, so they are read whole; only the newest matters. */
	while (read_pipe(s, &s->child.report_fd, &report, sizeof report) == sizeof report)
	{
		newest = report;
		any = true;
	}
	if (any)
		take_report(s, &newest);
}

/* The publisher writes "LEVEL: text". Its errors end it, not the server: they are logged as warnings here. */
static void
log_line(Supervisor *s)
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
		ereport(level, (errmsg_internal("pipeline \"%s\": %s", s->config.name, text), errhidestmt(true)));
}

static void
read_log(Supervisor *s)
{
	char		buffer[1024];
	ssize_t		got;

	while ((got = read_pipe(s, &s->child.log_fd, buffer, sizeof buffer)) > 0)
	{
		for (ssize_t i = 0; i < got; i++)
		{
			if (buffer[i] == '\n' || s->log_line_length == LOG_LINE_MAX - 1)
				log_line(s);
			if (buffer[i] != '\n')
				s->log_line[s->log_line_length++] = buffer[i];
		}
	}
}

/* Is there anything the report could not say about why it ended? Then it is said here. */
static void
note_end(Supervisor *s, int status)
{
	char	   *text = NULL;
	bool		explained;

	LWLockAcquire(walhouse_pipelines()->lock, LW_SHARED);
	explained = s->state->report.state == WH_PUBLISHER_FAILED && s->state->report.message[0] != '\0';
	LWLockRelease(walhouse_pipelines()->lock);
	if (WIFSIGNALED(status))
		text = psprintf("the publisher was terminated by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 127)
		text = psprintf("could not execute \"%s\"; see walhouse.publisher_path", publisher_path());
	else if (!explained)
		text = psprintf("the publisher exited with status %d", WEXITSTATUS(status));
	if (text)
		keep_error(s, text);
	ereport(LOG,
			(errmsg("pipeline \"%s\": %s; it will be started again in %d ms", s->config.name,
					text ? text : s->state->last_error, s->backoff_ms)));
}

static void
reap(Supervisor *s)
{
	int			status;

	if (!child_has_ended(&s->child, &status))
		return;
	read_reports(s);
	read_log(s);
	log_line(s);
	if (TimestampDifferenceExceeds(s->child_started_at, GetCurrentTimestamp(), WELL_AFTER_MS))
		s->backoff_ms = BACKOFF_FIRST_MS;
	note_end(s, status);
	child_close_pipes(&s->child);
	build_wait_set(s);
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	s->state->publisher_pid = 0;
	LWLockRelease(walhouse_pipelines()->lock);
}

/* ---- the worker ---- */

static void
leave(int code, Datum arg)
{
	Supervisor *s = (Supervisor *) DatumGetPointer(arg);

	child_stop(&s->child, STOP_GRACE_MS);
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	s->state->worker_pid = 0;
	s->state->publisher_pid = 0;
	LWLockRelease(walhouse_pipelines()->lock);
}

/* Takes this pipeline's place in shared memory; exits if another worker holds it. */
static void
enter(Supervisor *s, const char *name)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state;
	bool		taken;

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	state = walhouse_find_pipeline(MyDatabaseId, name);
	taken = state == NULL || state->worker_pid != 0;
	if (!taken)
	{
		state->worker_pid = MyProcPid;
		state->worker_requested = false;
	}
	LWLockRelease(array->lock);
	if (taken)
		proc_exit(0);
	s->state = state;
	before_shmem_exit(leave, PointerGetDatum(s));
}

/* Runs until the next thing happened. */
static void
wait_for_something(Supervisor *s, long timeout_ms)
{
	WaitEvent	events[4];
	int			count = WaitEventSetWait(s->wait_set, timeout_ms, events, lengthof(events), PG_WAIT_EXTENSION);

	for (int i = 0; i < count; i++)
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
run(Supervisor *s)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "walhouse supervisor", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	while (!stop_requested)
	{
		MemoryContextReset(context);
		if (s->child.pid == 0)
		{
			start_publisher(s);
			build_wait_set(s);
		}
		while (s->child.pid != 0 && !stop_requested)
		{
			wait_for_something(s, -1);
			read_reports(s);
			read_log(s);
			reap(s);
		}
		if (stop_requested)
			break;
		for (TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), s->backoff_ms);
			 !stop_requested && GetCurrentTimestamp() < until;)
			wait_for_something(s, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until) + 1);
		s->backoff_ms = Min(2 * s->backoff_ms, BACKOFF_LAST_MS);
	}
}

void
walhouse_worker_main(Datum arg)
{
	Supervisor *s = MemoryContextAllocZero(TopMemoryContext, sizeof *s);
	char		name[NAMEDATALEN];

	strlcpy(name, MyBgworkerEntry->bgw_extra, sizeof name);
	s->child.report_fd = s->child.log_fd = -1;
	s->backoff_ms = BACKOFF_FIRST_MS;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGCHLD, handle_sigchld);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	enter(s, name);
	if (!read_config(name, &s->config))
		proc_exit(0);
	ereport(LOG, (errmsg("worker of pipeline \"%s\" started", name)));
	run(s);
	ereport(LOG, (errmsg("worker of pipeline \"%s\" stops", name)));
	proc_exit(0);
}

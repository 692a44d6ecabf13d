/*
 * supervisor.c - the worker of one pipeline: runs walhouse-publisher and knows how it is.
 *
 *		            start_publisher()                  it failed
 *		  idle ------------------------> running ------------------> backing off (100 ms, doubled up to 10 s)
 *		   ^                             |  |  |                              |
 *		   |   row or settings changed   |  |  |  its slot is lost            |
 *		   |<----------------------------'  |  '------------> waiting         | time is up
 *		   |                                |                  for somebody   |
 *		   |<-------------------------------+---------------------'-----------'
 *		   |   row changed, reload          |
 *		   |                                | reports --> shared memory (supervisor_listen.c)
 *		   v
 *		  end: SIGTERM, or the pipeline's row is gone or paused. The publisher is stopped, the worker exits 0.
 *
 * What is run is read again before each start and at each change that somebody announces (supervisor_config.c); a publisher
 * that runs with anything else is stopped and started again.
 *
 * The publisher is a program of its own because librdkafka's threads must never share a process with the server's signal
 * handlers, and because it can then be killed without the postmaster restarting every session.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/wait.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "supervisor.h"

#define BACKOFF_FIRST_MS	100
#define BACKOFF_LAST_MS		10000
/* A publisher that ran this long was well: the next backoff starts small again. */
#define WELL_AFTER_MS		30000
#define STOP_GRACE_MS		2000

static volatile sig_atomic_t stop_requested = false;
/* A query is running, which may wait for a lock: only an error gets it out of there. */
static volatile sig_atomic_t reading_catalog = false;
static uint32 wait_event = 0;

static void
handle_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	stop_requested = true;
	if (reading_catalog)
		die(postgres_signal_arg);
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

/* ---- starting and stopping ---- */

/* Takes over what is to be run now. false: nothing, the pipeline is gone or paused. *differs: not what runs. */
static bool
read_command(Supervisor *s, bool *differs)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "walhouse publisher command", ALLOCSET_SMALL_SIZES);
	PublisherCommand *command = NULL;

	reading_catalog = true;
	if (!stop_requested)
		command = read_publisher_command(s->name, context);
	reading_catalog = false;
	MemoryContextSwitchTo(caller);	/* its transaction has left us elsewhere */
	*differs = command && (s->command == NULL || !publisher_commands_are_equal(command, s->command));
	if (command == NULL)
	{
		MemoryContextDelete(context);
		return false;
	}
	if (s->command_context)
		MemoryContextDelete(s->command_context);
	s->command_context = context;
	s->command = command;
	return true;
}

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
start_publisher(Supervisor *s)
{
	PipelineState *state = s->state;

	listen_begin(s);
	child_start(&s->child, s->command->path, s->command->argv, s->command->environment);
	s->child_started_at = GetCurrentTimestamp();
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	state->publisher_pid = s->child.pid;
	state->publisher_starts++;
	state->slot_lost = false;
	state->report_at = 0;
	memset(&state->report, 0, sizeof state->report);
	state->table_count = 0;
	LWLockRelease(walhouse_pipelines()->lock);
	build_wait_set(s);
}

static void
hear_publisher(Supervisor *s)
{
	bool		ended = listen_reports(s);

	ended = listen_log(s) || ended;
	if (ended)
		build_wait_set(s);
}

/* After the publisher's end: its last words, and it is not there any more. */
static void
finish_publisher(Supervisor *s, bool slot_lost)
{
	(void) listen_reports(s);
	(void) listen_log(s);
	listen_log_end(s);
	child_close_pipes(&s->child);
	build_wait_set(s);
	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	s->state->publisher_pid = 0;
	s->state->slot_lost = slot_lost;
	LWLockRelease(walhouse_pipelines()->lock);
}

static void
stop_publisher(Supervisor *s)
{
	child_stop(&s->child, STOP_GRACE_MS);
	finish_publisher(s, false);
}

/* ---- its end ---- */

/* Is there anything the report could not say about why it ended? Then it is said here. */
static void
note_failure(Supervisor *s, int status)
{
	PipelineState *state = s->state;
	char		reason[sizeof state->report.message];
	char	   *text = NULL;

	LWLockAcquire(walhouse_pipelines()->lock, LW_SHARED);
	strlcpy(reason, state->report.state == WH_PUBLISHER_FAILED ? state->report.message : "", sizeof reason);
	LWLockRelease(walhouse_pipelines()->lock);
	if (WIFSIGNALED(status))
		text = psprintf("the publisher was terminated by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 127)
		text = psprintf("could not execute \"%s\"; see walhouse.publisher_path", s->command->path);
	else if (reason[0] == '\0')
		text = psprintf("the publisher exited with status %d", WEXITSTATUS(status));
	if (text)
		keep_error(s, WH_ERROR_PUBLISHER, text);
	ereport(LOG,
			(errmsg("pipeline \"%s\": %s; it will be started again in %d ms", s->name, text ? text : reason,
					s->backoff_ms)));
}

/* true: it ended. *backoff: how long nothing is to be started; -1: until somebody acts. */
static bool
reap(Supervisor *s, int *backoff_ms)
{
	int			status;
	bool		slot_lost;

	if (!child_has_ended(&s->child, &status))
		return false;
	slot_lost = WIFEXITED(status) && WEXITSTATUS(status) == WH_EXIT_SLOT_LOST;
	finish_publisher(s, slot_lost);
	if (slot_lost)
	{
		*backoff_ms = -1;
		ereport(WARNING,
				(errmsg("pipeline \"%s\" has stopped: its replication slot does not hold what follows", s->name),
				 errdetail("%s", s->state->report.message),
				 errhint("SELECT walhouse.resync('%s'); makes a new slot and takes every table again. "
						 "walhouse.alter_pipeline('%s', on_slot_loss => 'resync') does so by itself.", s->name, s->name)));
		return true;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == WH_EXIT_CHANGED)
	{
		*backoff_ms = 0;
		return true;
	}
	if (TimestampDifferenceExceeds(s->child_started_at, GetCurrentTimestamp(), WELL_AFTER_MS))
		s->backoff_ms = BACKOFF_FIRST_MS;
	note_failure(s, status);
	*backoff_ms = s->backoff_ms;
	s->backoff_ms = Min(2 * s->backoff_ms, BACKOFF_LAST_MS);
	return true;
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
enter(Supervisor *s)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state;
	bool		taken;

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	state = walhouse_find_pipeline(MyDatabaseId, s->name);
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

static bool
take_changed(Supervisor *s)
{
	bool		changed;

	LWLockAcquire(walhouse_pipelines()->lock, LW_EXCLUSIVE);
	changed = s->state->changed;
	s->state->changed = false;
	LWLockRelease(walhouse_pipelines()->lock);
	return changed;
}

/* Runs until the next thing happened. true: settings or the pipeline's row may have changed. */
static bool
wait_for_something(Supervisor *s, long timeout_ms)
{
	WaitEvent	events[4];
	int			count = WaitEventSetWait(s->wait_set, timeout_ms, events, lengthof(events), wait_event);
	bool		latched = false;
	bool		changed = false;

	for (int i = 0; i < count; i++)
		latched |= (events[i].events & WL_LATCH_SET) != 0;
	if (latched)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		changed = true;
	}
	if (latched && take_changed(s))
		changed = true;
	return changed;
}

/* Runs the publisher until it ends, or is to be started anew; returns how long nothing is to be started then. */
static int
watch_publisher(Supervisor *s)
{
	int			backoff_ms = 0;

	while (!stop_requested)
	{
		bool		changed = wait_for_something(s, -1);
		bool		differs;

		hear_publisher(s);
		if (reap(s, &backoff_ms))
			return backoff_ms;
		if (!changed || stop_requested)
			continue;
		if (read_command(s, &differs) && !differs)
			continue;
		ereport(LOG, (errmsg("pipeline \"%s\": its settings have changed, the publisher is stopped", s->name)));
		stop_publisher(s);
		return 0;
	}
	return 0;
}

/* Until the time is up, or something changed; backoff_ms -1: only that. */
static void
wait_before_start(Supervisor *s, int backoff_ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), backoff_ms);

	while (!stop_requested && (backoff_ms < 0 || GetCurrentTimestamp() < until))
		if (wait_for_something(s, backoff_ms < 0 ? -1 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until) + 1))
			break;
}

static void
run(Supervisor *s)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "walhouse supervisor", ALLOCSET_DEFAULT_SIZES);
	bool		differs;

	MemoryContextSwitchTo(context);
	while (!stop_requested)
	{
		MemoryContextReset(context);
		if (!read_command(s, &differs))
			break;
		start_publisher(s);
		wait_before_start(s, watch_publisher(s));
	}
}

void
walhouse_worker_main(Datum arg)
{
	Supervisor *s = MemoryContextAllocZero(TopMemoryContext, sizeof *s);

	strlcpy(s->name, MyBgworkerEntry->bgw_extra, sizeof s->name);
	s->child.report_fd = s->child.log_fd = -1;
	s->backoff_ms = BACKOFF_FIRST_MS;
	wait_event = new_wait_event("WalhouseSupervisor");
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGCHLD, handle_sigchld);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	enter(s);
	ereport(LOG, (errmsg("worker of pipeline \"%s\" started", s->name)));
	run(s);
	ereport(LOG, (errmsg("worker of pipeline \"%s\" stops", s->name)));
	proc_exit(0);
}

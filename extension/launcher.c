/*
 * launcher.c - keeps one worker running for each enabled pipeline of walhouse.database.
 *
 * Every second, and at once when a session has changed walhouse.pipeline, it compares that table with shared memory:
 *
 *		enabled,  no worker  --> a worker is registered with the postmaster (at most one try a second)
 *		disabled, a worker   --> the worker is told to end
 *		row gone, no worker  --> the pipeline's place in shared memory is free again
 *
 * It also takes a floor sample for snapshots (floors.c) each round, and now and then looks at how much WAL the slots keep
 * (retention.c). It holds no transaction between two rounds. It is restarted
 * by the postmaster if it fails.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "floors.h"
#include "retention.h"
#include "walhouse.h"

#define ROUND_MS			1000
#define SAY_AGAIN_MS		600000
#define RESTART_SECONDS		2
/* A worker that was registered and has not shown up after this time is registered again. */
#define WORKER_START_MS		10000
#define PIPELINE_ROWS_MAX	1000

typedef struct PipelineRow
{
	char		name[NAMEDATALEN];
	bool		enabled;
} PipelineRow;

void
walhouse_register_launcher(void)
{
	BackgroundWorker worker = {0};

	/* pg_upgrade starts both servers, and nobody but itself may work in them. */
	if (walhouse_database == NULL || walhouse_database[0] == '\0' || IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "walhouse", sizeof worker.bgw_library_name);
	strlcpy(worker.bgw_function_name, "walhouse_launcher_main", sizeof worker.bgw_function_name);
	strlcpy(worker.bgw_name, "walhouse launcher", sizeof worker.bgw_name);
	strlcpy(worker.bgw_type, "walhouse launcher", sizeof worker.bgw_type);
	RegisterBackgroundWorker(&worker);
}

static void
clear_launcher_pid(int code, Datum arg)
{
	PipelineArray *array = walhouse_pipelines();

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	array->launcher_pid = 0;
	LWLockRelease(array->lock);
}

/* Is the extension's catalog the one that this library knows? Says so when it is not, every so often. SPI is connected. */
static bool
catalog_is_ours(void)
{
	static TimestampTz said_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	char	   *version = NULL;

	if (SPI_execute("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'walhouse'", true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
		version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (version && strcmp(version, WALHOUSE_VERSION) == 0)
		return true;
	if (said_at != 0 && !TimestampDifferenceExceeds(said_at, now, SAY_AGAIN_MS))
		return false;
	said_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no pipeline is started: extension walhouse is of version %s, its library of %s", version ? version : "unknown",
					WALHOUSE_VERSION),
			 errhint("In database \"%s\": ALTER EXTENSION walhouse UPDATE;", walhouse_database)));
	return false;
}

/* SPI is connected. */
static PipelineRow *
take_pipelines(MemoryContext context, int *count)
{
	PipelineRow *rows;

	if (SPI_execute("SELECT name, enabled FROM walhouse.pipeline ORDER BY name", true, PIPELINE_ROWS_MAX) != SPI_OK_SELECT)
		elog(ERROR, "could not read walhouse.pipeline");
	rows = MemoryContextAllocZero(context, sizeof(PipelineRow) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;

		strlcpy(rows[i].name, SPI_getvalue(tuple, desc, 1), NAMEDATALEN);
		rows[i].enabled = DatumGetBool(SPI_getbinval(tuple, desc, 2, &is_null));
	}
	*count = (int) SPI_processed;
	return rows;
}

/*
 * The rows of walhouse.pipeline, allocated in context; *count is 0 where the extension is not installed, and -1 where it is
 * of another version, whose pipelines are not for this library.
 */
static PipelineRow *
read_pipelines(MemoryContext context, int *count)
{
	PipelineRow *rows = NULL;

	*count = 0;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("walhouse", true)))
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		if (catalog_is_ours())
			rows = take_pipelines(context, count);
		else
			*count = -1;
		SPI_finish();
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	return rows;
}

static void
start_worker(const char *name)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;	/* the launcher does it */
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "walhouse", sizeof worker.bgw_library_name);
	strlcpy(worker.bgw_function_name, "walhouse_worker_main", sizeof worker.bgw_function_name);
	snprintf(worker.bgw_name, sizeof worker.bgw_name, "walhouse pipeline %s", name);
	strlcpy(worker.bgw_type, "walhouse pipeline", sizeof worker.bgw_type);
	strlcpy(worker.bgw_extra, name, sizeof worker.bgw_extra);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the worker of pipeline \"%s\"", name),
				 errhint("Raise max_worker_processes.")));
}

/* Decides under the lock what one pipeline needs; true: a worker is to be started. */
static bool
update_pipeline(const PipelineRow *row)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state;
	TimestampTz now = GetCurrentTimestamp();
	bool		start = false;

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	state = row->enabled ? walhouse_claim_pipeline(MyDatabaseId, row->name) : walhouse_find_pipeline(MyDatabaseId, row->name);
	if (state == NULL)
	{
		LWLockRelease(array->lock);
		if (row->enabled)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("pipeline \"%s\" is not run: all %d places are taken", row->name, array->count),
					 errhint("Raise walhouse.max_pipelines and restart the server.")));
		return false;
	}
	if (state->worker_requested && TimestampDifferenceExceeds(state->worker_requested_at, now, WORKER_START_MS))
		state->worker_requested = false;
	if (row->enabled && state->worker_pid == 0 && !state->worker_requested && state->held_until <= now && state->held_by == 0)
	{
		state->worker_requested = true;
		state->worker_requested_at = now;
		start = true;
	}
	if (!row->enabled && state->worker_pid != 0)
		kill(state->worker_pid, SIGTERM);
	LWLockRelease(array->lock);
	return start;
}

/* Pipelines whose rows are gone: their workers end, their places are freed. */
static void
forget_dropped(const PipelineRow *rows, int count)
{
	PipelineArray *array = walhouse_pipelines();

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	for (int i = 0; i < array->count; i++)
	{
		PipelineState *state = &array->pipelines[i];
		bool		has_row = false;

		if (state->name[0] == '\0' || state->database_oid != MyDatabaseId)
			continue;
		for (int r = 0; r < count; r++)
			has_row = has_row || strcmp(rows[r].name, state->name) == 0;
		if (has_row)
			continue;
		if (state->worker_pid != 0)
			kill(state->worker_pid, SIGTERM);
		else if (!state->worker_requested)
			memset(state, 0, sizeof *state);
	}
	LWLockRelease(array->lock);
}

/* false: the extension's catalog is not for this library. */
static bool
run_round(MemoryContext context)
{
	int			count;
	PipelineRow *rows = read_pipelines(context, &count);

	if (count < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (update_pipeline(&rows[i]))
			start_worker(rows[i].name);
	forget_dropped(rows, count);
	return true;
}

void
walhouse_launcher_main(Datum arg)
{
	PipelineArray *array;
	MemoryContext round_context;
	uint32		wait_event = new_wait_event("WalhouseLauncher");

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(walhouse_database, NULL, 0);

	array = walhouse_pipelines();
	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	array->launcher_pid = MyProcPid;
	LWLockRelease(array->lock);
	before_shmem_exit(clear_launcher_pid, (Datum) 0);

	round_context = AllocSetContextCreate(TopMemoryContext, "walhouse launcher", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContextReset(round_context);
		if (run_round(round_context))
		{
			(void) floors_take();
			watch_retained_wal();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ROUND_MS, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/*
 * pipeline.c - what walhouse.create_pipeline() and its siblings need from C; their SQL is in sql/.
 *
 * These functions are not for users: they are revoked from everybody and check nothing that their callers have checked.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "walhouse.h"

#define STOP_POLL_MS	20
#define STOP_WAIT_MS	10000
/* Longer than dropping takes; afterwards a pipeline whose drop was rolled back runs again. */
#define HOLD_MS			15000

PG_FUNCTION_INFO_V1(walhouse_create_slot);
PG_FUNCTION_INFO_V1(walhouse_drop_slot);
PG_FUNCTION_INFO_V1(walhouse_server_identity);
PG_FUNCTION_INFO_V1(walhouse_stop_worker);
PG_FUNCTION_INFO_V1(walhouse_hold_worker);
PG_FUNCTION_INFO_V1(walhouse_announce_change);
PG_FUNCTION_INFO_V1(walhouse_wake_launcher);

/*
 * walhouse._create_slot(name, failover, OUT base_lsn pg_lsn, OUT slot_lsn pg_lsn): a logical slot with the plugin
 * walhouse. base_lsn was read just before: every transaction that the slot does not show committed before the slot was
 * ready, and is seen by any snapshot taken afterwards. slot_lsn is what the slot has confirmed at its birth.
 *
 * A full snapshot is asked for though none is exported: without it the slot may start from another slot's serialized
 * snapshot without having waited for running transactions.
 */
Datum
walhouse_create_slot(PG_FUNCTION_ARGS)
{
	Name		name = PG_GETARG_NAME(0);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	LogicalDecodingContext *ctx;

	if (PG_NARGS() != 2 || get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension walhouse is of another version than its library %s", WALHOUSE_VERSION),
				 errhint("ALTER EXTENSION walhouse UPDATE;")));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot create a replication slot in a transaction that has performed writes"),
				 errhint("Call walhouse.create_pipeline() or walhouse.resync() in a transaction of its own.")));
	CheckSlotPermissions();
	CheckLogicalDecodingRequirements();
	values[0] = LSNGetDatum(GetXLogInsertRecPtr());
	create_replication_slot(NameStr(*name), PG_GETARG_BOOL(1));
	ctx = CreateInitDecodingContext("walhouse", NIL, true, InvalidXLogRecPtr,
									XL_ROUTINE(.page_read = read_local_xlog_page,
											   .segment_open = wal_segment_open,
											   .segment_close = wal_segment_close),
									NULL, NULL, NULL);
	DecodingContextFindStartpoint(ctx);
	FreeDecodingContext(ctx);
	ReplicationSlotPersist();
	values[1] = LSNGetDatum(MyReplicationSlot->data.confirmed_flush);
	ReplicationSlotRelease();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* walhouse._drop_slot(name): waits until its walsender has let it go. */
Datum
walhouse_drop_slot(PG_FUNCTION_ARGS)
{
	CheckSlotPermissions();
	ReplicationSlotDrop(NameStr(*PG_GETARG_NAME(0)), false);
	PG_RETURN_VOID();
}

/* walhouse._server_identity(OUT system_identifier text, OUT timeline int) */
Datum
walhouse_server_identity(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(psprintf(UINT64_FORMAT, GetSystemIdentifier()));
	values[1] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * Tells the worker to end and the launcher to start no other: for a while, or until this session's transaction has ended.
 */
static void
hold_pipeline(const char *name, bool until_end)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state;

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	state = walhouse_find_pipeline(MyDatabaseId, name);
	if (state)
	{
		if (until_end)
			state->held_by = MyProcPid;
		else
			state->held_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HOLD_MS);
		if (state->worker_pid != 0)
			kill(state->worker_pid, SIGTERM);
	}
	LWLockRelease(array->lock);
}

static bool
worker_is_gone(const char *name)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state;
	bool		gone;

	LWLockAcquire(array->lock, LW_SHARED);
	state = walhouse_find_pipeline(MyDatabaseId, name);
	gone = state == NULL || (state->worker_pid == 0 && !state->worker_requested);
	LWLockRelease(array->lock);
	return gone;
}

static void
stop_worker(const char *name, bool until_end)
{
	static uint32 wait_event = 0;
	TimestampTz start = GetCurrentTimestamp();

	if (wait_event == 0)
		wait_event = new_wait_event("WalhouseStopWorker");
	for (;;)
	{
		/* Again and again: one that was just being started is told as soon as it is there. */
		hold_pipeline(name, until_end);
		if (worker_is_gone(name))
			break;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), STOP_WAIT_MS))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("the worker of pipeline \"%s\" did not end in %d s", name, STOP_WAIT_MS / 1000),
					 errhint("Try again, or end it with pg_terminate_backend().")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STOP_POLL_MS, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* walhouse._stop_worker(name): returns when worker and publisher have ended. */
Datum
walhouse_stop_worker(PG_FUNCTION_ARGS)
{
	stop_worker(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	PG_RETURN_VOID();
}

/* ---- what happens at the transaction's end ---- */

static bool wake_at_commit = false;
static bool announce_at_commit = false;
static bool holds_pipelines = false;
static bool callback_registered = false;

static void
set_latch_of(pid_t pid)
{
	PGPROC	   *process = pid ? BackendPidGetProc(pid) : NULL;

	if (process)
		SetLatch(&process->procLatch);
}

/* Workers look at their pipelines' rows again, the launcher at all of them; what this session held is free. */
static void
tell_others(bool committed)
{
	PipelineArray *array = walhouse_pipelines();

	LWLockAcquire(array->lock, LW_EXCLUSIVE);
	for (int i = 0; i < array->count; i++)
	{
		PipelineState *state = &array->pipelines[i];

		if (state->held_by == MyProcPid)
			state->held_by = 0;
		if (!committed || !announce_at_commit || state->database_oid != MyDatabaseId)
			continue;
		state->changed = true;
		set_latch_of(state->worker_pid);
	}
	if ((committed && wake_at_commit) || holds_pipelines)
		set_latch_of(array->launcher_pid);
	LWLockRelease(array->lock);
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (wake_at_commit || announce_at_commit || holds_pipelines)
		tell_others(event == XACT_EVENT_COMMIT);
	wake_at_commit = announce_at_commit = holds_pipelines = false;
}

static void
register_callback(void)
{
	(void) walhouse_pipelines();
	if (!callback_registered)
		RegisterXactCallback(transaction_ended, NULL);
	callback_registered = true;
}

/* walhouse._hold_worker(name): as _stop_worker(), and none is started before this transaction has ended. */
Datum
walhouse_hold_worker(PG_FUNCTION_ARGS)
{
	register_callback();
	holds_pipelines = true;
	stop_worker(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	PG_RETURN_VOID();
}

/* walhouse._announce_change(): when this transaction has committed, workers look at their pipelines' rows again. */
Datum
walhouse_announce_change(PG_FUNCTION_ARGS)
{
	register_callback();
	announce_at_commit = true;
	PG_RETURN_VOID();
}

/* walhouse._wake_launcher(): it looks at walhouse.pipeline as soon as this transaction has committed. */
Datum
walhouse_wake_launcher(PG_FUNCTION_ARGS)
{
	register_callback();
	wake_at_commit = true;
	PG_RETURN_VOID();
}

/*
 * status.c - the pipelines' state in shared memory: its place, and walhouse._pipeline_states() that shows it to SQL.
 *
 * The launcher and the workers write, sessions that ask walhouse.status read; one LWLock protects all, held for copies
 * only. A report a second and pipeline is all the traffic there is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "walhouse.h"

#define TRANCHE_NAME "walhouse"
#define STATE_COLUMNS 18

PG_FUNCTION_INFO_V1(walhouse_pipeline_states);

static PipelineArray *pipelines = NULL;

static Size
array_size(void)
{
	return MAXALIGN(add_size(offsetof(PipelineArray, pipelines), mul_size(walhouse_max_pipelines, sizeof(PipelineState))));
}

static Size
shmem_size(void)
{
	return add_size(array_size(), mul_size(mul_size(walhouse_max_pipelines, walhouse_max_tables), sizeof(WhTableReport)));
}

void
status_shmem_request(void)
{
	RequestAddinShmemSpace(shmem_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

void
status_shmem_start(void)
{
	bool		found;

	pipelines = ShmemInitStruct("walhouse pipelines", shmem_size(), &found);
	if (found)
		return;
	memset(pipelines, 0, shmem_size());
	pipelines->count = walhouse_max_pipelines;
	pipelines->tables_max = walhouse_max_tables;
	pipelines->tables = (WhTableReport *) ((char *) pipelines + array_size());
	pipelines->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
}

/* The pipelines' state; an error in a server that has not preloaded the library. */
PipelineArray *
walhouse_pipelines(void)
{
	if (pipelines == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("walhouse is not in shared_preload_libraries"),
				 errhint("Add it there, set walhouse.database to the database's name, and restart the server.")));
	return pipelines;
}

/* The pipeline's place, or NULL. The lock must be held. */
PipelineState *
walhouse_find_pipeline(Oid database_oid, const char *name)
{
	PipelineArray *array = walhouse_pipelines();

	for (int i = 0; i < array->count; i++)
	{
		PipelineState *state = &array->pipelines[i];

		if (state->database_oid == database_oid && strcmp(state->name, name) == 0)
			return state;
	}
	return NULL;
}

/* The pipeline's place, a free one if it has none yet; NULL when all are taken. The lock must be held exclusively. */
PipelineState *
walhouse_claim_pipeline(Oid database_oid, const char *name)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state = walhouse_find_pipeline(database_oid, name);

	for (int i = 0; state == NULL && i < array->count; i++)
	{
		if (array->pipelines[i].name[0] != '\0')
			continue;
		state = &array->pipelines[i];
		memset(state, 0, sizeof *state);
		strlcpy(state->name, name, sizeof state->name);
		state->database_oid = database_oid;
	}
	return state;
}

/* The counters of the pipeline's tables, the first table_count of them. The lock must be held. */
WhTableReport *
walhouse_tables(const PipelineState *state)
{
	PipelineArray *array = walhouse_pipelines();

	return array->tables + (state - array->pipelines) * array->tables_max;
}

/* Was the function declared by this version's script? One of another would take the columns for what they are not. */
void
walhouse_require_columns(FunctionCallInfo fcinfo, int columns)
{
	if (((ReturnSetInfo *) fcinfo->resultinfo)->setDesc->natts != columns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension walhouse is of another version than its library %s", WALHOUSE_VERSION),
				 errhint("ALTER EXTENSION walhouse UPDATE;")));
}

/*
 * What the publisher wrote, as a text value: up to the first byte that this database's encoding does not allow. The field it
 * came in may have cut it within a character.
 */
Datum
walhouse_text(const char *bytes)
{
	int			length = pg_encoding_verifymbstr(GetDatabaseEncoding(), bytes, strlen(bytes));

	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

static const char *
state_name(const PipelineState *state)
{
	static const char *const names[] = {
		"starting", "connecting", "streaming", "waiting_for_kafka", "failed", "resyncing", "slot_lost"
	};

	if (state->worker_pid == 0)
		return "stopped";
	if (state->publisher_pid == 0)
		return state->slot_lost ? "slot_lost" : "restarting";
	if (state->report_at == 0 || state->report.state >= lengthof(names))
		return "starting";
	return names[state->report.state];
}

static TimestampTz
from_unix_us(int64 unix_us)
{
	return unix_us - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static void
put_state(ReturnSetInfo *result, const PipelineState *state)
{
	const WhPublisherReport *report = &state->report;
	const PipelineError *error = &state->errors[state->newest_error];
	bool		reported = state->report_at != 0;
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS] = {0};
	int			i = 0;

	values[i++] = CStringGetTextDatum(state->name);
	values[i++] = CStringGetTextDatum(state_name(state));
	nulls[i] = state->worker_pid == 0;
	values[i++] = Int32GetDatum(state->worker_pid);
	nulls[i] = state->publisher_pid == 0;
	values[i++] = Int32GetDatum(state->publisher_pid);
	values[i++] = Int64GetDatum(state->publisher_starts);
	nulls[i] = !reported;
	values[i++] = TimestampTzGetDatum(state->report_at);
	nulls[i] = !reported;
	values[i++] = TimestampTzGetDatum(from_unix_us(report->state_since_us));
	nulls[i] = !reported;
	values[i++] = LSNGetDatum(report->received_lsn);
	nulls[i] = !reported;
	values[i++] = LSNGetDatum(report->acked_lsn);
	nulls[i] = !reported || report->last_commit_time_us == 0;
	values[i++] = TimestampTzGetDatum(from_unix_us(report->last_commit_time_us));
	values[i++] = Int64GetDatum(report->events);
	values[i++] = Int64GetDatum(report->event_bytes);
	values[i++] = Int64GetDatum(report->transactions);
	values[i++] = Int64GetDatum(report->schemas);
	values[i++] = Int64GetDatum(report->in_flight);
	nulls[i] = error->times == 0;
	values[i++] = walhouse_text(error->text);
	nulls[i] = error->times == 0;
	values[i++] = TimestampTzGetDatum(error->last_at);
	values[i++] = Int64GetDatum(Max((int64) report->tables - state->table_count, 0));
	Assert(i == STATE_COLUMNS);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* walhouse._pipeline_states(): this database's pipelines that a worker runs or ran since the server's start. */
Datum
walhouse_pipeline_states(PG_FUNCTION_ARGS)
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *copy = palloc(mul_size(array->count, sizeof(PipelineState)));

	InitMaterializedSRF(fcinfo, 0);
	walhouse_require_columns(fcinfo, STATE_COLUMNS);
	LWLockAcquire(array->lock, LW_SHARED);
	memcpy(copy, array->pipelines, array->count * sizeof(PipelineState));
	LWLockRelease(array->lock);
	for (int i = 0; i < array->count; i++)
		if (copy[i].name[0] != '\0' && copy[i].database_oid == MyDatabaseId)
			put_state((ReturnSetInfo *) fcinfo->resultinfo, &copy[i]);
	return (Datum) 0;
}

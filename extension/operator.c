/*
 * operator.c - what walhouse.tables, walhouse.errors and walhouse.status show beside the pipelines' states: SQL functions that
 * copy from shared memory under its lock, and one that looks at the age of a WAL file.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "walhouse.h"

#define TABLE_COLUMNS 16
#define ERROR_COLUMNS 6

PG_FUNCTION_INFO_V1(walhouse_pipeline_tables);
PG_FUNCTION_INFO_V1(walhouse_pipeline_errors);
PG_FUNCTION_INFO_V1(walhouse_wal_time);

static TimestampTz
from_unix_us(int64 unix_us)
{
	return unix_us - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* Every place of this database's pipelines is handed to put, in a copy: nothing is written to SQL under the lock. */
static void
for_each_pipeline(ReturnSetInfo *result, void (*put) (ReturnSetInfo *result, const PipelineState *state, const WhTableReport *tables))
{
	PipelineArray *array = walhouse_pipelines();
	PipelineState *state = palloc(sizeof *state);
	WhTableReport *tables = palloc(mul_size(array->tables_max, sizeof *tables));

	for (int i = 0; i < array->count; i++)
	{
		LWLockAcquire(array->lock, LW_SHARED);
		*state = array->pipelines[i];
		memcpy(tables, walhouse_tables(&array->pipelines[i]), state->table_count * sizeof *tables);
		LWLockRelease(array->lock);
		if (state->name[0] != '\0' && state->database_oid == MyDatabaseId)
			put(result, state, tables);
	}
}

static void
put_tables(ReturnSetInfo *result, const PipelineState *state, const WhTableReport *tables)
{
	for (int t = 0; t < state->table_count; t++)
	{
		const WhTableReport *table = &tables[t];
		Datum		values[TABLE_COLUMNS];
		bool		nulls[TABLE_COLUMNS] = {0};
		int			i = 0;

		values[i++] = CStringGetTextDatum(state->name);
		values[i++] = ObjectIdGetDatum(table->relation_oid);
		values[i++] = walhouse_text(table->schema_name);
		values[i++] = walhouse_text(table->table_name);
		values[i++] = Int64GetDatum(table->inserts);
		values[i++] = Int64GetDatum(table->updates);
		values[i++] = Int64GetDatum(table->deletes);
		values[i++] = Int64GetDatum(table->truncates);
		values[i++] = Int64GetDatum(table->snapshot_rows);
		values[i++] = Int64GetDatum(table->bytes);
		nulls[i] = table->last_commit_lsn == 0;
		values[i++] = LSNGetDatum(table->last_commit_lsn);
		nulls[i] = table->last_commit_lsn == 0;
		values[i++] = TimestampTzGetDatum(from_unix_us(table->last_commit_time_us));
		values[i++] = Int32GetDatum(table->schema_versions);
		values[i++] = CStringGetTextDatum(psprintf("%016llx", (unsigned long long) table->fingerprint));
		values[i++] = CStringGetTextDatum(psprintf("%c", table->replica_identity));
		values[i++] = Int32GetDatum(table->key_columns);
		Assert(i == TABLE_COLUMNS);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* walhouse._pipeline_tables(): what each pipeline's publisher has handed to Kafka of each table, since its start. */
Datum
walhouse_pipeline_tables(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	walhouse_require_columns(fcinfo, TABLE_COLUMNS);
	for_each_pipeline((ReturnSetInfo *) fcinfo->resultinfo, put_tables);
	return (Datum) 0;
}

static void
put_errors(ReturnSetInfo *result, const PipelineState *state, const WhTableReport *tables)
{
	static const char *const kinds[] = {"publisher", "postgres", "kafka", "slot", "event"};

	for (int e = 0; e < PIPELINE_ERRORS_MAX; e++)
	{
		const PipelineError *error = &state->errors[e];
		Datum		values[ERROR_COLUMNS];
		bool		nulls[ERROR_COLUMNS] = {0};
		int			i = 0;

		if (error->times == 0)
			continue;
		values[i++] = CStringGetTextDatum(state->name);
		values[i++] = CStringGetTextDatum((uint32) error->kind < lengthof(kinds) ? kinds[error->kind] : "unknown");
		values[i++] = walhouse_text(error->text);
		values[i++] = Int64GetDatum(error->times);
		values[i++] = TimestampTzGetDatum(error->first_at);
		values[i++] = TimestampTzGetDatum(error->last_at);
		Assert(i == ERROR_COLUMNS);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* walhouse._pipeline_errors(): the last ones of each pipeline since the server's start. */
Datum
walhouse_pipeline_errors(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	walhouse_require_columns(fcinfo, ERROR_COLUMNS);
	for_each_pipeline((ReturnSetInfo *) fcinfo->resultinfo, put_errors);
	return (Datum) 0;
}

/*
 * walhouse._wal_time(pg_lsn): when the WAL file that holds this position was last written, so about how old what a slot keeps
 * is. NULL when there is no such file.
 */
Datum
walhouse_wal_time(PG_FUNCTION_ARGS)
{
	XLogRecPtr	at = PG_GETARG_LSN(0);
	XLogSegNo	segment;
	char		path[MAXPGPATH];
	struct stat found;

	if (RecoveryInProgress())
		PG_RETURN_NULL();
	XLByteToSeg(at, segment, wal_segment_size);
	XLogFilePath(path, GetWALInsertionTimeLine(), segment, wal_segment_size);
	if (stat(path, &found) != 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(time_t_to_timestamptz(found.st_mtime));
}

/*
 * snapshot_scan.c - the rows of a table without a key, and the event that ends a snapshot.
 *
 * Without a key a row that comes twice is two rows, so they are read at an exact point of the stream: the caller's transaction,
 * on a replication connection, has the snapshot of a slot at its consistent point. Rows come in physical order, partition
 * after partition; the caller hands in where the call before ended.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"

#include "common/chunk.h"
#include "floors.h"
#include "snapshot_reader.h"

/* A scan looks at no more blocks of 8 kB in one call: what a filter leaves out takes time as well. */
#define SCAN_BLOCKS_MAX		16384

PG_FUNCTION_INFO_V1(walhouse_snapshot_scan);
PG_FUNCTION_INFO_V1(walhouse_snapshot_sweep);

/*
 * Where a scan is: the row to go on with. To the caller it is a number that says nothing; 0 is the beginning.
 *
 *		15 bits: how many leaf partitions were read | 32 bits: block | 16 bits: line pointer in the block
 */
typedef struct ScanPosition
{
	int			part;
	BlockNumber block;
	OffsetNumber line;
} ScanPosition;

static ScanPosition
scan_position(int64 number)
{
	return (ScanPosition) {(int) (number >> 48), (BlockNumber) (number >> 16), (OffsetNumber) number};
}

static int64
scan_number(ScanPosition position)
{
	return (int64) position.part << 48 | (int64) position.block << 16 | position.line;
}

/* The leaf partitions that the caller's transaction sees, a table's own oid where it has none. */
static int
find_parts(Oid relid, Oid **parts)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	bool		is_null;
	int			count;

	if (SPI_execute_with_args("SELECT u FROM unnest(walhouse._leaf_partitions($1)) u", 1, types, values, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the partitions of relation %u", relid);
	count = (int) SPI_processed;
	if (count > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("relation %u has too many partitions: %d", relid, count)));
	*parts = palloc(sizeof(Oid) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*parts)[i] = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
	if (count == 0 && get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		(*parts)[count++] = relid;
	return count;
}

static BlockNumber
count_blocks(Oid relid)
{
	Relation	relation = try_relation_open(relid, NoLock);
	BlockNumber blocks;

	if (relation == NULL)
		return 0;				/* dropped since the caller's snapshot */
	blocks = RelationGetNumberOfBlocks(relation);
	relation_close(relation, NoLock);
	return blocks;
}

/* Reads from position up to the block end, and moves it. false: the chunk is full. */
static bool
scan_blocks(SnapshotReader *reader, Oid part, ScanPosition *position, BlockNumber end)
{
	SnapshotSource source = snapshot_reader_source(reader);
	Oid			types[] = {TIDOID, TIDOID};
	ItemPointerData bounds[2];
	Datum		values[] = {PointerGetDatum(&bounds[0]), PointerGetDatum(&bounds[1])};
	SPIPlanPtr	plan;
	Portal		portal;
	bool		is_full = false;

	source.part = part;
	ItemPointerSet(&bounds[0], position->block, position->line);
	ItemPointerSet(&bounds[1], end, 0);
	plan = SPI_prepare(snapshot_scan_query(&source, reader->version), 2, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare the query of a scan: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, values, NULL, true);
	for (;;)
	{
		uint64		i = 0;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, SNAPSHOT_FETCH_ROWS);
		while (i < SPI_processed && snapshot_reader_append(reader, SPI_tuptable->vals[i], SPI_tuptable->tupdesc))
			i++;
		if (i < SPI_processed)
		{
			bool		is_null;
			ItemPointer row = (ItemPointer) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
																		  reader->version->column_count + 1, &is_null));

			position->block = ItemPointerGetBlockNumber(row);
			position->line = ItemPointerGetOffsetNumber(row);
			is_full = true;
		}
		SPI_freetuptable(SPI_tuptable);
		if (is_full || i == 0)
			break;
	}
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
	if (!is_full)
	{
		position->block = end;
		position->line = 0;
	}
	return !is_full;
}

/* Reads until the chunk is full or enough blocks were looked at. true: the table's end was reached. */
static bool
scan_table(SnapshotReader *reader, ScanPosition *position)
{
	Oid		   *parts;
	int			count = find_parts(RelationGetRelid(reader->relation), &parts);
	BlockNumber left = SCAN_BLOCKS_MAX;

	while (position->part < count)
	{
		BlockNumber blocks = count_blocks(parts[position->part]);
		BlockNumber end = Min(blocks, position->block + left);

		if (position->block >= blocks)
		{
			*position = (ScanPosition) {.part = position->part + 1};
			continue;
		}
		if (left == 0)
			return false;
		left -= end - position->block;
		if (!scan_blocks(reader, parts[position->part], position, end))
			return false;
	}
	return true;
}

/*
 * The caller's snapshot must see all that the request waits for. One that a slot was created with does when the request was
 * stamped before: creating the slot waited for what ran then.
 */
static bool
scan_may_begin(const SnapshotReader *reader)
{
	FullTransactionId xmin = snapshot_full_xmin(GetTransactionSnapshot());

	return reader->version->key_column_count == 0 && FullTransactionIdPrecedesOrEquals(reader->request.min_xid, xmin);
}

/*
 * walhouse._snapshot_scan(id bigint, first_block bigint, max_bytes int, floor_lsn pg_lsn, first_ordinal bigint,
 *		OUT status text, OUT data bytea, OUT next_block bigint, OUT rows int)
 *
 * The caller's transaction is REPEATABLE READ with the snapshot of a slot whose consistent point is floor_lsn + 1. first_block is
 * 0, then what the call before returned.
 */
Datum
walhouse_snapshot_scan(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	ScanPosition position = scan_position(PG_GETARG_INT64(1));
	XLogRecPtr	floor_lsn = PG_GETARG_LSN(3);
	int64		first_ordinal = PG_GETARG_INT64(4);
	MemoryContext caller = CurrentMemoryContext;
	SnapshotReader reader;
	const char *status = "wait";
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {false, true, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a table without a key must be read in one REPEATABLE READ transaction")));
	if (PG_GETARG_INT64(1) < 0 || first_ordinal < 1 || first_ordinal >= WH_ORDINAL_LIMIT - SNAPSHOT_CHUNK_BYTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a position or an ordinal of a scan is out of range")));
	snapshot_refuse_own_writes();
	snapshot_reader_begin(&reader, PG_GETARG_INT32(2));
	if (snapshot_reader_open(&reader, id, false) && scan_may_begin(&reader))
	{
		snapshot_reader_version(&reader, floor_lsn, first_ordinal);
		status = scan_table(&reader, &position) ? "end" : "more";
	}
	snapshot_reader_end(&reader);

	MemoryContextSwitchTo(caller);
	values[0] = CStringGetTextDatum(status);
	nulls[1] = reader.rows == 0;
	if (reader.rows > 0)
		values[1] = snapshot_reader_chunk(&reader);
	values[2] = Int64GetDatum(scan_number(position));
	values[3] = Int32GetDatum(reader.rows);
	MemoryContextDelete(reader.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* ---- the end ---- */

/*
 * Appends a truncate below all that the snapshot sent: what has a lower version was not among the rows read, so it is gone
 * from the table. Rows without a key would stand there twice if it were left out. Where deletes are not published, rows that are
 * gone from the table stay in the warehouse, and an end just below says no more than that all rows were sent.
 */
static bool
put_sweep(SnapshotReader *reader)
{
	const SnapshotRequest *request = &reader->request;
	bool		keyed = reader->version->key_column_count > 0;
	bool		removes = !keyed || reader->version->actions.pubdelete;
	XLogRecPtr	floor_lsn = request->floor_lsn != InvalidXLogRecPtr ? request->floor_lsn : request->min_lsn;

	if (request->condition || OidIsValid(request->part))
		return false;
	if (keyed)
		snapshot_reader_version(reader, removes ? floor_lsn - 1 : floor_lsn - 2, WH_ORDINAL_LIMIT - 1);
	else
		snapshot_reader_version(reader, floor_lsn, 0);
	floors_flush();
	row_reset(&reader->row);
	chunk_writer_event(&reader->chunk, reader->version, removes ? WH_OP_TRUNCATE : WH_OP_END, &reader->row, 0);
	return true;
}

/* walhouse._snapshot_sweep(id bigint) returns bytea, NULL when there is nothing to sweep */
Datum
walhouse_snapshot_sweep(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	SnapshotReader reader;
	Datum		result = (Datum) 0;
	bool		sweeps;

	snapshot_reader_begin(&reader, 0);
	sweeps = snapshot_reader_open(&reader, PG_GETARG_INT64(0), true) && put_sweep(&reader);
	snapshot_reader_end(&reader);
	MemoryContextSwitchTo(caller);
	if (sweeps)
		result = snapshot_reader_chunk(&reader);
	MemoryContextDelete(reader.context);
	if (!sweeps)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * snapshot.c - the rows that a table holds now, as chunks of the same records that decoding writes.
 *
 * The publisher asks, chunk after chunk, over short ordinary connections; nothing is kept between two calls but what the
 * caller hands in, the last key that Kafka acknowledged:
 *
 *		walhouse._snapshot_chunk(id, after, ...)
 *			the request, its pipeline --> locks, none waited for --> floor sample --> snapshot, its xmin --> floor
 *			--> max_rows rows after the key, in key order --> 'R' records of version (epoch, floor, 0)
 *
 * A table without a key is read by walhouse._snapshot_scan() in physical order, inside of one transaction of the caller's
 * whose snapshot is exactly the consistent point of a slot.
 *
 * That rows may have the floor as their version is argued in floors.c. These functions are not for users: they are revoked
 * from everybody.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "common/chunk.h"
#include "floors.h"
#include "snapshot_reader.h"

/* A scan looks at no more blocks of 8 kB in one call: what a filter leaves out takes time as well. */
#define SCAN_BLOCKS_MAX		16384
/*
 * What a filter or condition may cost in all, in the planner's units, for the rows to be looked up by it; where it is more,
 * rows are read in key order and looked at, for no longer than this in one call.
 */
#define LOOKUP_COST_MAX		20000.0
#define FILTER_MS_MAX		500

PG_FUNCTION_INFO_V1(walhouse_snapshot_chunk);
PG_FUNCTION_INFO_V1(walhouse_snapshot_scan);
PG_FUNCTION_INFO_V1(walhouse_snapshot_sweep);
PG_FUNCTION_INFO_V1(walhouse_estimate_rows);

static int64
unix_time_us(void)
{
	return GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static Datum
bytes_datum(const StringInfoData *data)
{
	bytea	   *bytes = palloc(VARHDRSZ + data->len);

	SET_VARSIZE(bytes, VARHDRSZ + data->len);
	memcpy(VARDATA(bytes), data->data, data->len);
	return PointerGetDatum(bytes);
}

static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* ---- tables with a key ---- */

/* A chunk in the making: the reader, and where it is in the key's order. */
typedef struct KeyedRead
{
	SnapshotReader reader;
	SnapshotKey key;
	int			max_rows;
	bool		says_matches;	/* the query's last column tells which rows are wanted */
	TimestampTz until;			/* when to stop, if so */
	ArrayType  *last_key;		/* of the last row that was looked at; in the reader's context */
	XLogRecPtr	floor_lsn;
} KeyedRead;

/* Key columns come first, in key order. */
static void
remember_key(KeyedRead *read, HeapTuple tuple, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(read->reader.context);
	Datum		values[INDEX_MAX_KEYS];
	bool		is_null;

	for (int i = 0; i < read->key.count; i++)
		values[i] = SPI_getbinval(tuple, desc, i + 1, &is_null);
	read->last_key = snapshot_key_text(&read->key, values);
	MemoryContextSwitchTo(old);
}

static bool
is_wanted(const KeyedRead *read, HeapTuple tuple, TupleDesc desc)
{
	bool		is_null;

	return !read->says_matches || DatumGetBool(SPI_getbinval(tuple, desc, desc->natts, &is_null));
}

/* Appends what was fetched; returns how many rows were dealt with, less than there are when the chunk is full. */
static uint64
take_rows(KeyedRead *read)
{
	SnapshotReader *reader = &read->reader;
	TupleDesc	desc = SPI_tuptable->tupdesc;
	uint64		i;

	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];

		if (!is_wanted(read, tuple, desc))
			continue;
		if (reader->rows == read->max_rows || !snapshot_reader_append(reader, tuple, desc))
			break;
	}
	if (i > 0)
		remember_key(read, SPI_tuptable->vals[i - 1], desc);
	return i;
}

/* Reads until nothing is left (true), or the chunk is full or late. */
static bool
read_rows(KeyedRead *read, Portal portal)
{
	for (;;)
	{
		long		asked = read->says_matches ? SNAPSHOT_FETCH_ROWS : Min(SNAPSHOT_FETCH_ROWS, read->max_rows - read->reader.rows);
		uint64		fetched;
		uint64		taken;

		CHECK_FOR_INTERRUPTS();
		if (read->reader.rows == read->max_rows || (read->says_matches && GetCurrentTimestamp() > read->until))
			return false;
		SPI_cursor_fetch(portal, true, asked);
		fetched = SPI_processed;
		taken = take_rows(read);
		SPI_freetuptable(SPI_tuptable);
		if (taken < fetched)
			return false;
		if (fetched < asked)
			return true;
	}
}

/* The elements of after, which the query takes as its parameters. */
static void
parse_key(const KeyedRead *read, ArrayType *after, Datum *values)
{
	const char *table = RelationGetRelationName(read->reader.relation);
	char	   *texts[INDEX_MAX_KEYS];
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(after, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count != read->key.count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a key of table \"%s\" has %d columns, not %d", table, read->key.count, count)));
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a key of table \"%s\" has no NULL", table)));
		texts[i] = TextDatumGetCString(elements[i]);
	}
	snapshot_key_parse(&read->key, texts, values);
}

static SPIPlanPtr
prepare_chunk_query(const KeyedRead *read, bool has_after)
{
	SnapshotSource source = snapshot_reader_source(&read->reader);
	int			limit = read->says_matches ? SNAPSHOT_CHUNK_ROWS_MAX : read->max_rows;
	char	   *sql = snapshot_chunk_query(&source, read->reader.version, &read->key, has_after, limit, read->says_matches);
	SPIPlanPtr	plan = SPI_prepare(sql, has_after ? read->key.count : 0, (Oid *) read->key.types);

	if (plan == NULL)
		elog(ERROR, "could not prepare the query of a chunk: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* Would it cost much to find all the rows that filter and condition leave? */
static bool
is_costly(SPIPlanPtr plan)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	Plan	   *limit = cached ? linitial_node(PlannedStmt, cached->stmt_list)->planTree : NULL;
	bool		costly = limit == NULL || outerPlan(limit) == NULL || outerPlan(limit)->total_cost > LOOKUP_COST_MAX;

	if (cached)
		ReleaseCachedPlan(cached, NULL);
	return costly;
}

static Portal
open_chunk_query(KeyedRead *read, ArrayType *after)
{
	const SnapshotRequest *request = &read->reader.request;
	SPIPlanPtr	plan = prepare_chunk_query(read, after != NULL);
	Datum		values[INDEX_MAX_KEYS];

	if ((request->row_filter || request->condition) && is_costly(plan))
	{
		read->says_matches = true;
		read->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FILTER_MS_MAX);
		plan = prepare_chunk_query(read, after != NULL);
	}
	if (after)
		parse_key(read, after, values);
	return SPI_cursor_open(NULL, plan, values, NULL, true);
}

/* The newest position that rows seen by the snapshot may have as their version; false: none yet. */
static bool
choose_floor(const SnapshotRequest *request, FloorSample own, FullTransactionId xmin, XLogRecPtr *floor_lsn)
{
	FloorSample kept;

	if (FullTransactionIdPrecedes(xmin, request->min_xid))
		return false;
	/* The request's stamp is a sample as well, and xmin has just been found to reach it. */
	*floor_lsn = request->min_lsn;
	if (FullTransactionIdPrecedesOrEquals(own.next_xid, xmin))
		*floor_lsn = Max(*floor_lsn, own.floor_lsn);
	else if (floors_find(xmin, &kept))
		*floor_lsn = Max(*floor_lsn, kept.floor_lsn);
	return true;
}

/* Fills the chunk under a snapshot of its own. Returns the status. */
static const char *
fill_chunk(KeyedRead *read, ArrayType *after)
{
	SnapshotReader *reader = &read->reader;
	FloorSample own = floors_take();
	Snapshot	snapshot = GetLatestSnapshot();
	const char *status = "wait";

	PushActiveSnapshot(snapshot);
	if (choose_floor(&reader->request, own, snapshot_full_xmin(snapshot), &read->floor_lsn))
	{
		Portal		portal = open_chunk_query(read, after);

		chunk_writer_transaction(&reader->chunk, read->floor_lsn, 0, unix_time_us(), 0);
		status = read_rows(read, portal) ? "end" : "more";
		SPI_cursor_close(portal);
		floors_flush();
	}
	PopActiveSnapshot();
	return status;
}

static void
refuse_own_writes(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot read a snapshot in a transaction that has performed writes"),
				 errhint("What is not committed must not be published: use a transaction of its own.")));
}

/*
 * walhouse._snapshot_chunk(id bigint, after text[], max_rows int, max_bytes int,
 *		OUT status text, OUT data bytea, OUT last_key text[], OUT rows int, OUT floor_lsn pg_lsn)
 *
 * 'wait': not now; an older transaction still runs, somebody works on the table, or the request is not open any more. 'more'
 * without rows, but with a last_key: nothing was found yet, go on after it.
 */
Datum
walhouse_snapshot_chunk(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	ArrayType  *after = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	MemoryContext caller = CurrentMemoryContext;
	KeyedRead	read = {.max_rows = Max(1, Min(PG_GETARG_INT32(2), SNAPSHOT_CHUNK_ROWS_MAX))};
	const char *status = "wait";
	TupleDesc	desc;
	Datum		values[5] = {0};
	bool		nulls[5] = {false, true, true, false, true};
	int			nest_level;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	refuse_own_writes();
	snapshot_reader_init(&read.reader, PG_GETARG_INT32(3));
	connect_spi();
	nest_level = snapshot_settings_begin();
	if (snapshot_reader_open(&read.reader, id, false) && snapshot_key_init(&read.key, read.reader.relation) &&
		read.reader.version->key_column_count == read.key.count)
		status = fill_chunk(&read, after);
	snapshot_reader_close(&read.reader);
	AtEOXact_GUC(true, nest_level);
	SPI_finish();

	MemoryContextSwitchTo(caller);
	values[0] = CStringGetTextDatum(status);
	nulls[1] = read.reader.rows == 0;
	if (!nulls[1])
		values[1] = bytes_datum(&read.reader.chunk.data);
	nulls[2] = read.last_key == NULL;
	if (!nulls[2])
		values[2] = PointerGetDatum(DatumGetArrayTypePCopy(PointerGetDatum(read.last_key)));
	values[3] = Int32GetDatum(read.reader.rows);
	nulls[4] = read.floor_lsn == InvalidXLogRecPtr;
	values[4] = LSNGetDatum(read.floor_lsn);
	MemoryContextDelete(read.reader.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* ---- tables without a key ---- */

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
	int			nest_level;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a table without a key must be read in one REPEATABLE READ transaction")));
	if (PG_GETARG_INT64(1) < 0 || first_ordinal < 1 || first_ordinal >= WH_ORDINAL_LIMIT - SNAPSHOT_CHUNK_BYTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a position or an ordinal of a scan is out of range")));
	refuse_own_writes();
	snapshot_reader_init(&reader, PG_GETARG_INT32(2));
	connect_spi();
	nest_level = snapshot_settings_begin();
	if (snapshot_reader_open(&reader, id, false) && scan_may_begin(&reader))
	{
		chunk_writer_transaction(&reader.chunk, floor_lsn, 0, unix_time_us(), first_ordinal);
		status = scan_table(&reader, &position) ? "end" : "more";
	}
	snapshot_reader_close(&reader);
	AtEOXact_GUC(true, nest_level);
	SPI_finish();

	MemoryContextSwitchTo(caller);
	values[0] = CStringGetTextDatum(status);
	nulls[1] = reader.rows == 0;
	if (reader.rows > 0)
		values[1] = bytes_datum(&reader.chunk.data);
	values[2] = Int64GetDatum(scan_number(position));
	values[3] = Int32GetDatum(reader.rows);
	MemoryContextDelete(reader.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* ---- the end ---- */

/*
 * Appends a truncate below all that the snapshot sent: what has a lower version was not among the rows read, so it is gone
 * from the table. Rows without a key would stand there twice if it were left out.
 */
static bool
put_sweep(SnapshotReader *reader)
{
	const SnapshotRequest *request = &reader->request;
	bool		keyed = reader->version->key_column_count > 0;
	XLogRecPtr	floor_lsn = request->floor_lsn != InvalidXLogRecPtr ? request->floor_lsn : request->min_lsn;

	if (request->condition || OidIsValid(request->part) || (keyed && !reader->version->actions.pubdelete))
		return false;
	if (keyed)
		chunk_writer_transaction(&reader->chunk, floor_lsn - 1, 0, unix_time_us(), WH_ORDINAL_LIMIT - 1);
	else
		chunk_writer_transaction(&reader->chunk, floor_lsn, 0, unix_time_us(), 0);
	floors_flush();
	row_reset(&reader->row);
	chunk_writer_event(&reader->chunk, reader->version, WH_OP_TRUNCATE, &reader->row, 0);
	return true;
}

/* walhouse._snapshot_sweep(id bigint) returns bytea, NULL when there is nothing to sweep */
Datum
walhouse_snapshot_sweep(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	SnapshotReader reader;
	Datum		result = (Datum) 0;
	int			nest_level;

	snapshot_reader_init(&reader, 0);
	connect_spi();
	nest_level = snapshot_settings_begin();
	if (snapshot_reader_open(&reader, PG_GETARG_INT64(0), true) && put_sweep(&reader))
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		result = bytes_datum(&reader.chunk.data);
		MemoryContextSwitchTo(old);
	}
	snapshot_reader_close(&reader);
	AtEOXact_GUC(true, nest_level);
	SPI_finish();
	MemoryContextDelete(reader.context);
	if (result == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* ---- how much there is ---- */

/* The planner's estimate, from the table's size now; -1: it cannot be asked without waiting. */
static double
estimate_one(Oid relid)
{
	Relation	relation;
	BlockNumber pages;
	double		tuples = 0;
	double		all_visible;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return -1;
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
		return -1;
	if (relation->rd_rel->relkind == RELKIND_RELATION)
		estimate_rel_size(relation, NULL, &pages, &tuples, &all_visible);
	relation_close(relation, NoLock);
	return tuples;
}

/* walhouse._estimate_rows(relation oid) returns bigint, NULL when it cannot be said now */
Datum
walhouse_estimate_rows(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	double		tuples = 0;
	List	   *relids = list_make1_oid(relid);
	ListCell   *cell;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		relids = find_all_inheritors(relid, NoLock, NULL);
	foreach(cell, relids)
	{
		double		one = estimate_one(lfirst_oid(cell));

		if (one < 0)
			PG_RETURN_NULL();
		tuples += one;
	}
	PG_RETURN_INT64((int64) tuples);
}

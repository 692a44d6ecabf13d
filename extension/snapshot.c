/*
 * snapshot.c - the rows that a table with a key holds now, as chunks of the same records that decoding writes.
 *
 * The publisher asks, chunk after chunk, over short ordinary connections; nothing is kept between two calls but what the
 * caller hands in, the last key that Kafka acknowledged:
 *
 *		walhouse._snapshot_chunk(id, after, ...)
 *			the request, its pipeline --> locks, none waited for --> floor sample --> snapshot, its xmin --> floor
 *			--> rows after the key, in key order --> 'R' records of version (epoch, floor, 0) --> WAL flushed
 *
 * That rows may have the floor as their version is argued in floors.c. Tables without a key: snapshot_scan.c. These functions
 * are not for users: they are revoked from everybody.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/chunk.h"
#include "floors.h"
#include "snapshot_reader.h"

/*
 * What a filter or condition may cost in all, in the planner's units, for the rows to be looked up by it; where it is more,
 * rows are read in key order and looked at, for no longer than this in one call.
 */
#define LOOKUP_COST_MAX		20000.0
#define FILTER_MS_MAX		500

PG_FUNCTION_INFO_V1(walhouse_snapshot_chunk);

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
	SPIPlanPtr	plan;
	Datum		values[INDEX_MAX_KEYS];

	if (request->condition)
		snapshot_reader_allow_lookup(&read->reader);
	plan = prepare_chunk_query(read, after != NULL);
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

		snapshot_reader_version(reader, read->floor_lsn, 0);
		status = read_rows(read, portal) ? "end" : "more";
		SPI_cursor_close(portal);
		floors_flush();
	}
	PopActiveSnapshot();
	return status;
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

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	snapshot_refuse_own_writes();
	snapshot_reader_begin(&read.reader, PG_GETARG_INT32(3));
	if (snapshot_reader_open(&read.reader, id, false) && snapshot_key_init(&read.key, read.reader.relation) &&
		read.reader.version->key_column_count == read.key.count)
		status = fill_chunk(&read, after);
	snapshot_reader_end(&read.reader);

	MemoryContextSwitchTo(caller);
	values[0] = CStringGetTextDatum(status);
	nulls[1] = read.reader.rows == 0;
	if (!nulls[1])
		values[1] = snapshot_reader_chunk(&read.reader);
	nulls[2] = read.last_key == NULL;
	if (!nulls[2])
		values[2] = PointerGetDatum(DatumGetArrayTypePCopy(PointerGetDatum(read.last_key)));
	values[3] = Int32GetDatum(read.reader.rows);
	nulls[4] = read.floor_lsn == InvalidXLogRecPtr;
	values[4] = LSNGetDatum(read.floor_lsn);
	MemoryContextDelete(read.reader.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

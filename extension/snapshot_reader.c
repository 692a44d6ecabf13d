/*
 * snapshot_reader.c - a table being read for a snapshot; see snapshot_reader.h.
 *
 * Reading rows waits for no lock: behind an ALTER TABLE that works or waits there would be no end to see, and whoever comes next
 * would wait behind us.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "common/chunk.h"
#include "output_settings.h"
#include "plugin_options.h"
#include "snapshot_reader.h"

void
snapshot_refuse_own_writes(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot read a snapshot in a transaction that has performed writes"),
				 errhint("What is not committed must not be published: use a transaction of its own.")));
}

/* ---- the request ---- */

static char *
get_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

static Datum
get_datum(int column, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, is_null);
}

/*
 * Reads the open request; false: there is none, or it is not stamped yet. What the catalogs say now counts, whatever
 * the caller's snapshot.
 */
static bool
load_request(SnapshotRequest *request, int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	Datum		value;
	bool		is_null;
	int			result;

	PushActiveSnapshot(GetLatestSnapshot());
	result = SPI_execute_with_args("SELECT s.relation, s.part, s.condition, "
								   "walhouse._row_filter(p.publication, s.relation), p.publication, s.min_xid, "
								   "greatest(s.min_lsn, p.base_lsn), s.floor_lsn, p.out_of_range "
								   "FROM walhouse.snapshot s JOIN walhouse.pipeline p ON p.name = s.pipeline "
								   "WHERE s.id = $1 AND s.state IN ('waiting', 'running')",
								   1, types, values, NULL, true, 1);
	PopActiveSnapshot();
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read walhouse.snapshot: %s", SPI_result_code_string(result));
	if (SPI_processed == 0)
		return false;
	request->relid = DatumGetObjectId(get_datum(1, &is_null));
	value = get_datum(2, &is_null);
	request->part = is_null ? InvalidOid : DatumGetObjectId(value);
	request->condition = get_text(3);
	request->row_filter = get_text(4);
	request->publication = get_text(5);
	value = get_datum(6, &is_null);
	if (is_null)
		return false;
	request->min_xid = DatumGetFullTransactionId(value);
	request->min_lsn = DatumGetLSN(get_datum(7, &is_null));
	value = get_datum(8, &is_null);
	request->floor_lsn = is_null ? InvalidXLogRecPtr : DatumGetLSN(value);
	request->policy = out_of_range_parse(get_text(9));
	return true;
}

/* ---- locks ---- */

/* The indexes too: REINDEX locks them alone. */
static bool
lock_indexes(Oid relid)
{
	Relation	relation = RelationIdGetRelation(relid);
	List	   *indexes;
	ListCell   *cell;
	bool		locked = true;

	if (!RelationIsValid(relation))
		return false;
	indexes = RelationGetIndexList(relation);
	foreach(cell, indexes)
		locked = locked && ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock);
	list_free(indexes);
	RelationClose(relation);
	return locked;
}

static bool
lock_relation(Oid relid)
{
	return ConditionalLockRelationOid(relid, AccessShareLock) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) &&
		lock_indexes(relid);
}

/* Locks all that a query on the table will. false: somebody has a stronger lock, or the table is gone. */
static bool
lock_table(Oid relid)
{
	List	   *heirs;
	ListCell   *cell;
	bool		locked = lock_relation(relid);

	if (!locked || get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return locked;
	heirs = find_all_inheritors(relid, NoLock, NULL);
	foreach(cell, heirs)
		locked = locked && (lfirst_oid(cell) == relid || lock_relation(lfirst_oid(cell)));
	list_free(heirs);
	return locked;
}

/* ---- reading ---- */

/* The plan shall follow the key's index, without sorting, and with no cost that a short query does not repay. */
static int
settings_begin(void)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"},
		{"enable_sort", "off"},
		{"enable_incremental_sort", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_tidscan", "on"},
		{"enable_indexscan", "on"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"row_security", "off"},	/* an error, rather than rows left out, for whoever may not see all */
		{"lock_timeout", "500ms"},	/* sooner than the server looks for deadlocks */
	};
	int			nest_level = output_settings_begin();

	for (int i = 0; i < lengthof(settings); i++)
		setting_put(settings[i][0], settings[i][1], nest_level);
	return nest_level;
}

void
snapshot_reader_allow_lookup(SnapshotReader *reader)
{
	setting_put("enable_sort", "on", reader->guc_nest_level);
	setting_put("enable_bitmapscan", "on", reader->guc_nest_level);
}

void
snapshot_reader_begin(SnapshotReader *reader, int max_bytes)
{
	memset(reader, 0, sizeof *reader);
	reader->context = AllocSetContextCreate(CurrentMemoryContext, "walhouse snapshot", ALLOCSET_DEFAULT_SIZES);
	reader->row_context = AllocSetContextCreate(reader->context, "walhouse snapshot row", ALLOCSET_DEFAULT_SIZES);
	reader->max_bytes = Max(1, Min(max_bytes, SNAPSHOT_CHUNK_BYTES_MAX));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	reader->guc_nest_level = settings_begin();
}

static void
open_relation(SnapshotReader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	RelationCache *cache = relation_cache_create(reader->context, list_make1(reader->request.publication));
	int			natts;

	reader->relation = table_open(reader->request.relid, NoLock);
	reader->version = relation_cache_get(cache, reader->relation);
	natts = RelationGetDescr(reader->relation)->natts;
	chunk_writer_init(&reader->chunk, reader->context);
	row_encoder_init(&reader->row, true);
	reader->row.policy = reader->request.policy;
	reader->values = palloc0(sizeof(Datum) * Max(natts, 1));
	reader->nulls = palloc0(sizeof(bool) * Max(natts, 1));
	MemoryContextSwitchTo(old);
}

bool
snapshot_reader_open(SnapshotReader *reader, int64 id, bool wait)
{
	if (!load_request(&reader->request, id))
		return false;
	if (wait)
		LockRelationOid(reader->request.relid, AccessShareLock);
	else if (!lock_table(reader->request.relid))
		return false;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(reader->request.relid)))
		return false;
	open_relation(reader);
	return reader->version->published;
}

void
snapshot_reader_version(SnapshotReader *reader, XLogRecPtr floor_lsn, uint64 first_ordinal)
{
	int64		now_us = GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	chunk_writer_transaction(&reader->chunk, floor_lsn, 0, now_us, first_ordinal);
}

void
snapshot_reader_end(SnapshotReader *reader)
{
	if (reader->relation)
		table_close(reader->relation, NoLock);
	reader->relation = NULL;
	AtEOXact_GUC(true, reader->guc_nest_level);
	SPI_finish();
}

Datum
snapshot_reader_chunk(const SnapshotReader *reader)
{
	const StringInfoData *data = &reader->chunk.data;
	bytea	   *bytes = palloc(VARHDRSZ + data->len);

	SET_VARSIZE(bytes, VARHDRSZ + data->len);
	memcpy(VARDATA(bytes), data->data, data->len);
	return PointerGetDatum(bytes);
}

SnapshotSource
snapshot_reader_source(const SnapshotReader *reader)
{
	return (SnapshotSource) {
		.relation = reader->relation,
		.part = reader->request.part,
		.row_filter = reader->request.row_filter,
		.condition = reader->request.condition,
	};
}

bool
snapshot_reader_append(SnapshotReader *reader, HeapTuple tuple, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(reader->row_context);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	const RelationVersion *version = reader->version;
	int			key_size;
	bool		fits;

	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < version->column_count; i++)
	{
		reader->values[version->columns[i].attnum - 1] = values[i];
		reader->nulls[version->columns[i].attnum - 1] = nulls[i];
	}
	key_size = row_encode(&reader->row, version, version->column_count, reader->values, reader->nulls, NULL, NULL);
	fits = reader->rows == 0 || reader->chunk.data.len + reader->row.body.len <= reader->max_bytes;
	if (fits)
	{
		chunk_writer_event(&reader->chunk, version, WH_OP_SNAPSHOT, &reader->row, key_size);
		reader->rows++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(reader->row_context);
	return fits;
}

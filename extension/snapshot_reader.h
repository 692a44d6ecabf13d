/*
 * snapshot_reader.h - a table being read for a snapshot: the request, its locks and settings, its rows into a chunk.
 */
#ifndef WALHOUSE_SNAPSHOT_READER_H
#define WALHOUSE_SNAPSHOT_READER_H

#include "access/transam.h"
#include "access/xlogdefs.h"

#include "chunk_writer.h"
#include "snapshot_query.h"

#define SNAPSHOT_CHUNK_BYTES_MAX	(8 * 1024 * 1024)
#define SNAPSHOT_CHUNK_ROWS_MAX		1000000
/* Rows fetched from a query at once. */
#define SNAPSHOT_FETCH_ROWS			500

/* A row of walhouse.snapshot with its pipeline's; texts live as long as the SPI connection. */
typedef struct SnapshotRequest
{
	Oid			relid;
	Oid			part;			/* InvalidOid: the whole table */
	char	   *condition;
	char	   *row_filter;
	char	   *publication;
	OutOfRangePolicy policy;
	FullTransactionId min_xid;
	XLogRecPtr	min_lsn;
	XLogRecPtr	floor_lsn;		/* InvalidXLogRecPtr: no row was sent yet */
} SnapshotRequest;

typedef struct SnapshotReader
{
	MemoryContext context;		/* holds all of it; the reader's to delete */
	MemoryContext row_context;	/* reset after each row */
	SnapshotRequest request;
	Relation	relation;
	RelationVersion *version;
	ChunkWriter chunk;
	RowEncoder	row;
	Datum	   *values;			/* of the last row, indexed by attribute number - 1 */
	bool	   *nulls;
	int			rows;			/* in the chunk */
	int			max_bytes;
	int			guc_nest_level;
} SnapshotReader;

/* An error in a transaction that has written: what is not committed must not be published. */
extern void snapshot_refuse_own_writes(void);
/*
 * Connects SPI and puts the settings for reading in force, until snapshot_reader_end() or an error. The reader's own context is
 * a child of the current one. max_bytes is brought into its limits.
 */
extern void snapshot_reader_begin(SnapshotReader *reader, int max_bytes);
/*
 * Reads the request and opens its table, locked for reading without waiting; wait: for its definition only, and waiting.
 * false: not now; the request is not open or not stamped, somebody works on the table, or it is not published any more. SPI
 * must be connected.
 */
extern bool snapshot_reader_open(SnapshotReader *reader, int64 id, bool wait);
/* Rows that a condition names may be found by any index, and sorted, until snapshot_reader_end(). */
extern void snapshot_reader_allow_lookup(SnapshotReader *reader);
/* The rows to come have versions from this one on. */
extern void snapshot_reader_version(SnapshotReader *reader, XLogRecPtr floor_lsn, uint64 first_ordinal);
extern SnapshotSource snapshot_reader_source(const SnapshotReader *reader);
/*
 * Appends a row whose first columns are the version's. false: it does not fit, and is left for the next chunk; the first row
 * of a chunk always fits.
 */
extern bool snapshot_reader_append(SnapshotReader *reader, HeapTuple tuple, TupleDesc desc);
/* Closes the table, which stays locked until the transaction ends; the chunk is there as long as the reader's context. */
extern void snapshot_reader_end(SnapshotReader *reader);
/* The chunk as bytea, in the current context. */
extern Datum snapshot_reader_chunk(const SnapshotReader *reader);

#endif

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
} SnapshotReader;

/* Settings for reading; ends with AtEOXact_GUC(true, the level that is returned), or by an error. */
extern int	snapshot_settings_begin(void);
/* Allocates in the current context. max_bytes is brought into its limits. */
extern void snapshot_reader_init(SnapshotReader *reader, int max_bytes);
/*
 * Reads the request and opens its table, locked for reading without waiting; wait: for its definition only, and waiting.
 * false: not now; the request is not open or not stamped, somebody works on the table, or it is not published any more. SPI
 * must be connected.
 */
extern bool snapshot_reader_open(SnapshotReader *reader, int64 id, bool wait);
extern SnapshotSource snapshot_reader_source(const SnapshotReader *reader);
/*
 * Appends a row whose first columns are the version's. false: it does not fit, and is left for the next chunk; the first row
 * of a chunk always fits.
 */
extern bool snapshot_reader_append(SnapshotReader *reader, HeapTuple tuple, TupleDesc desc);
/* Closes the table; what is locked stays so until the transaction ends. */
extern void snapshot_reader_close(SnapshotReader *reader);

#endif

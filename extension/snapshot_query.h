/*
 * snapshot_query.h - the queries that read a table's rows for a snapshot.
 */
#ifndef WALHOUSE_SNAPSHOT_QUERY_H
#define WALHOUSE_SNAPSHOT_QUERY_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/rel.h"

#include "relcache.h"

/* A table's key, as its index orders it. */
typedef struct SnapshotKey
{
	int			count;
	AttrNumber	attnums[INDEX_MAX_KEYS];
	Oid			types[INDEX_MAX_KEYS];	/* below domains */
	char	   *columns[INDEX_MAX_KEYS];	/* as expressions, with the index's collation */
	char	   *less[INDEX_MAX_KEYS];	/* operators, qualified */
	char	   *greater[INDEX_MAX_KEYS];
	char	   *equal[INDEX_MAX_KEYS];
	char	   *greater_equal[INDEX_MAX_KEYS];
	FmgrInfo	output[INDEX_MAX_KEYS];
} SnapshotKey;

/* What a query reads and leaves out. Texts are SQL, every name in them qualified; NULL: everything. */
typedef struct SnapshotSource
{
	Relation	relation;		/* whose rows they are; names the columns */
	Oid			part;			/* only this partition of it; InvalidOid: all of it */
	const char *row_filter;		/* of the publication */
	const char *condition;		/* of the request */
} SnapshotSource;

/* Fills *key; false: the relation has no usable key. Allocates in the current context. */
extern bool snapshot_key_init(SnapshotKey *key, Relation relation);
/* The key's texts as parameters of the chunk's query. after has key->count elements. */
extern void snapshot_key_parse(const SnapshotKey *key, char **after, Datum *values);
/* The values of a row's key as text[]. */
extern ArrayType *snapshot_key_text(SnapshotKey *key, const Datum *values);

/*
 * At most max_rows rows in key order, the columns of version in its order; has_after: those after the key $1, $2 ... With
 * say_matches rows are not left out: whether the filter and the condition hold is one more column, the last.
 */
extern char *snapshot_chunk_query(const SnapshotSource *source, const RelationVersion *version, const SnapshotKey *key,
								  bool has_after, int max_rows, bool say_matches);
/* The rows from ctid $1 up to, not including, $2: the columns of version in its order, then ctid. */
extern char *snapshot_scan_query(const SnapshotSource *source, const RelationVersion *version);

#endif

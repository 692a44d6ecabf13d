/*
 * relation_version.h - one relation in one schema version: what its rows are encoded with, and what is said of it.
 */
#ifndef WALHOUSE_RELATION_VERSION_H
#define WALHOUSE_RELATION_VERSION_H

#include "encode.h"
#include "published.h"
#include "row_filter.h"

typedef struct RelationVersion
{
	Oid			relid;			/* hash key: the relation that the tuples are of */
	bool		valid;			/* false: catalogs changed, build anew */
	bool		published;
	bool		complained;		/* about changes that cannot be said */
	Oid			publish_as;		/* relid, or the ancestor under whose name and schema its rows go */
	PublicationActions actions;
	MemoryContext context;		/* holds everything below; NULL: none yet */
	uint64		fingerprint;
	char	   *schema_bytes;
	int			schema_size;
	int			column_count;
	int			key_column_count;	/* columns[0 .. key_column_count) are the key */
	bool		old_has_key;	/* the old tuple of an update or delete holds the key */
	ColumnEncoder *columns;		/* their attnum is that of the tuples, whatever name they go under */
	RowFilter  *filter;			/* NULL: every row is published */
} RelationVersion;

/*
 * Builds everything but relid and valid anew from the catalogs, with the snapshot in force. publications: Publication *.
 * Its context becomes a child of parent.
 */
extern void relation_version_build(RelationVersion *version, List *publications, Relation relation, MemoryContext parent);

/* The index whose columns are the rows' key, usable or not; InvalidOid: none. */
extern Oid	relation_key_index(Relation relation);
/* The key columns' attribute numbers, in index order; returns their count, 0: none usable. attnums has room for INDEX_MAX_KEYS. */
extern int	relation_find_key(Relation relation, AttrNumber *attnums);

#endif

/*
 * relcache.h - from a relation, as the historic catalog shows it, to the schema version that its events name.
 */
#ifndef WALHOUSE_RELCACHE_H
#define WALHOUSE_RELCACHE_H

#include "catalog/pg_publication.h"
#include "utils/rel.h"

#include "encode.h"

/* One relation in one schema version. Owned by the cache; valid until the next call of relation_cache_get(). */
typedef struct RelationVersion
{
	Oid			relid;			/* hash key */
	bool		valid;			/* false: catalogs changed, build anew */
	bool		published;
	PublicationActions actions;
	MemoryContext context;		/* holds everything below; NULL: none yet */
	uint64		fingerprint;
	char	   *schema_bytes;
	int			schema_size;
	int			column_count;
	int			key_column_count;	/* columns[0 .. key_column_count) are the key */
	ColumnEncoder *columns;
} RelationVersion;

typedef struct RelationCache RelationCache;

/* A cache that lives in context and dies with it. publications: list of names (char *). */
extern RelationCache *relation_cache_create(MemoryContext context, List *publications);
/* Shows the relation as the catalogs in force do: a historic snapshot's in a change callback, today's elsewhere. */
extern RelationVersion *relation_cache_get(RelationCache *cache, Relation relation);

/* The index whose columns are the rows' key, usable or not; InvalidOid: none. */
extern Oid	relation_key_index(Relation relation);
/* attnums has room for INDEX_MAX_KEYS. */
extern int	relation_find_key(Relation relation, AttrNumber *attnums);

#endif

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

/*
 * A cache that lives in context and dies with it. publications: list of names (char *). One at a time per backend, as
 * decoding is.
 */
extern RelationCache *relation_cache_create(MemoryContext context, List *publications);
extern void relation_cache_destroy(RelationCache *cache);
/* Needs a historic snapshot in force: call from a change callback. */
extern RelationVersion *relation_cache_get(RelationCache *cache, Relation relation);

#endif

/*
 * relcache.h - from a relation, as the historic catalog shows it, to the schema version that its events name.
 */
#ifndef WALHOUSE_RELCACHE_H
#define WALHOUSE_RELCACHE_H

#include "relation_version.h"

typedef struct RelationCache RelationCache;

/* A cache that lives in context and dies with it. publications: list of names (char *). */
extern RelationCache *relation_cache_create(MemoryContext context, List *publications);
/*
 * Owned by the cache; valid until the next call. Needs a snapshot in force: the historic one of a change callback, or the
 * session's own.
 */
extern RelationVersion *relation_cache_get(RelationCache *cache, Relation relation);

#endif

/*
 * relcache.c - from a relation, as the historic catalog shows it, to the schema version that its events name.
 *
 * The change callback asks for every change; the answer is built from the catalogs once and kept until an invalidation
 * says that the table or a publication changed. Decoding replays invalidations at their place in the stream, so the version
 * built is the one the row was written under.
 *
 *		change --> relation_cache_get() --valid--> RelationVersion (encoders, schema bytes, fingerprint)
 *		                 |  ^
 *		         not valid  |           relcache callback: one entry not valid
 *		                 v  |           publication callbacks: all entries not valid
 *		           build from catalogs
 */
#include "postgres.h"

#include "catalog/pg_publication.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "relcache.h"

struct RelationCache
{
	dlist_node	node;
	MemoryContextCallback on_reset;
	MemoryContext context;
	HTAB	   *versions;
	List	   *publication_names;
	bool		publications_valid;
	List	   *publications;	/* Publication *, in publications_context */
	MemoryContext publications_context;
	RelationVersion *last;		/* asked for; entries stay where they are */
	bool		has_mapped;		/* some version goes under another relation's name */
};

/*
 * Invalidation callbacks cannot be unregistered, so they are registered once per backend and find the living caches here:
 * one while something is decoded or a snapshot's chunk is read. Each leaves with its memory context, also after an error.
 */
static dlist_head caches = DLIST_STATIC_INIT(caches);
static bool callbacks_registered = false;

static void
invalidate_all(RelationCache *cache)
{
	HASH_SEQ_STATUS scan;
	RelationVersion *version;

	hash_seq_init(&scan, cache->versions);
	while ((version = hash_seq_search(&scan)) != NULL)
		version->valid = false;
}

/* Partitions depend on the root under whose name they are published. */
static void
invalidate_published_as(RelationCache *cache, Oid relid)
{
	HASH_SEQ_STATUS scan;
	RelationVersion *version;

	hash_seq_init(&scan, cache->versions);
	while ((version = hash_seq_search(&scan)) != NULL)
		if (version->publish_as == relid)
			version->valid = false;
}

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &caches)
	{
		RelationCache *cache = dlist_container(RelationCache, node, iter.cur);
		RelationVersion *version;

		if (!OidIsValid(relid))
		{
			invalidate_all(cache);
			continue;
		}
		version = hash_search(cache->versions, &relid, HASH_FIND, NULL);
		if (version)
			version->valid = false;
		if (cache->has_mapped)
			invalidate_published_as(cache, relid);
	}
}

/* A publication, its tables or schemas, a schema's or a type's name. */
static void
catalog_changed(Datum arg, int cache_id, uint32 hash_value)
{
	dlist_iter	iter;

	dlist_foreach(iter, &caches)
	{
		RelationCache *cache = dlist_container(RelationCache, node, iter.cur);

		cache->publications_valid = false;
		invalidate_all(cache);
	}
}

static void
register_callbacks(void)
{
	static const int caches[] = {PUBLICATIONOID, PUBLICATIONRELMAP, PUBLICATIONNAMESPACEMAP, NAMESPACEOID, TYPEOID};

	if (callbacks_registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], catalog_changed, (Datum) 0);
	callbacks_registered = true;
}

static void
leave_caches(void *cache)
{
	dlist_delete(&((RelationCache *) cache)->node);
}

RelationCache *
relation_cache_create(MemoryContext context, List *publications)
{
	RelationCache *cache = MemoryContextAllocZero(context, sizeof(RelationCache));
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(RelationVersion),.hcxt = context};

	cache->context = context;
	cache->publication_names = publications;
	cache->versions = hash_create("walhouse relations", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache->publications_context = AllocSetContextCreate(context, "walhouse publications", ALLOCSET_SMALL_SIZES);
	register_callbacks();
	dlist_push_head(&caches, &cache->node);
	cache->on_reset.func = leave_caches;
	cache->on_reset.arg = cache;
	MemoryContextRegisterResetCallback(context, &cache->on_reset);
	return cache;
}

static void
load_publications(RelationCache *cache)
{
	MemoryContext old;
	ListCell   *cell;

	/* An invalidation may come while the catalogs are read, and must not be forgotten. */
	cache->publications_valid = true;
	MemoryContextReset(cache->publications_context);
	cache->publications = NIL;
	old = MemoryContextSwitchTo(cache->publications_context);
	foreach(cell, cache->publication_names)
	{
		const char *name = lfirst(cell);
		Publication *publication = GetPublicationByName(name, true);

		if (publication)
			cache->publications = lappend(cache->publications, publication);
		else
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("publication \"%s\" does not exist at this place of the WAL", name),
					 errdetail("Changes are skipped until a publication of this name exists.")));
	}
	MemoryContextSwitchTo(old);
}

RelationVersion *
relation_cache_get(RelationCache *cache, Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	bool		found;
	RelationVersion *version = cache->last;

	/* Changes come in runs. */
	if (version && version->relid == relid && version->valid)
		return version;
	version = hash_search(cache->versions, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(version, 0, sizeof *version);
		version->relid = relid;
	}
	if (!version->valid)
	{
		version->valid = true;
		if (!cache->publications_valid)
			load_publications(cache);
		relation_version_build(version, cache->publications, relation, cache->context);
		cache->has_mapped |= version->publish_as != relid;
	}
	cache->last = version;
	return version;
}

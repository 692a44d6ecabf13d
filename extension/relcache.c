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

#include "catalog/partition.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_namespace.h"
#include "catalog/pg_publication_rel.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "common/schema.h"
#include "compat.h"
#include "relcache.h"
#include "walhouse.h"

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
	cache->publications_valid = true;
}

static bool
publication_has_relation(Publication *publication, Oid relid, Oid schema)
{
	bool		found;
	List	   *by_relation;
	List	   *by_schema;

	if (publication->alltables)
		return true;
	by_relation = GetRelationPublications(relid);
	by_schema = GetSchemaPublications(schema);
	found = list_member_oid(by_relation, publication->oid) || list_member_oid(by_schema, publication->oid);
	list_free(by_relation);
	list_free(by_schema);
	return found;
}

/* Also true for a partition one of whose ancestors is published. */
static bool
publication_has(Publication *publication, Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	bool		found = publication_has_relation(publication, relid, RelationGetNamespace(relation));

	if (!found && relation->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(relid);
		ListCell   *cell;

		foreach(cell, ancestors)
			found = found || publication_has_relation(publication, lfirst_oid(cell), get_rel_namespace(lfirst_oid(cell)));
		list_free(ancestors);
	}
	return found;
}

static void
find_actions(RelationCache *cache, Relation relation, RelationVersion *version)
{
	ListCell   *cell;

	memset(&version->actions, 0, sizeof version->actions);
	version->published = false;
	if (!is_publishable_relation(relation))
		return;
	foreach(cell, cache->publications)
	{
		Publication *publication = lfirst(cell);

		if (!publication_has(publication, relation))
			continue;
		version->published = true;
		version->actions.pubinsert |= publication->pubactions.pubinsert;
		version->actions.pubupdate |= publication->pubactions.pubupdate;
		version->actions.pubdelete |= publication->pubactions.pubdelete;
		version->actions.pubtruncate |= publication->pubactions.pubtruncate;
	}
}

/* Under REPLICA IDENTITY FULL the primary key identifies rows if there is one: the old tuple holds it too. */
Oid
relation_key_index(Relation relation)
{
	Oid			index_oid = RelationGetReplicaIndex(relation);

	if (!OidIsValid(index_oid) && relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		index_oid = primary_key_index(relation);
	return index_oid;
}

/* The key columns' attribute numbers, in index order; returns their count, 0 for a table without a usable key. */
int
relation_find_key(Relation relation, AttrNumber *attnums)
{
	Oid			index_oid = relation_key_index(relation);
	Relation	index;
	int			count;

	if (!OidIsValid(index_oid))
		return 0;
	index = RelationIdGetRelation(index_oid);
	if (!RelationIsValid(index))
		elog(ERROR, "could not open index with OID %u", index_oid);
	/* A deferrable key may be held by two rows for a while. */
	count = index->rd_index->indimmediate ? index->rd_index->indnkeyatts : 0;
	for (int i = 0; i < count; i++)
		attnums[i] = index->rd_index->indkey.values[i];
	RelationClose(index);
	return count;
}

/* Columns that a row's tuple holds. */
static bool
column_travels(Form_pg_attribute attribute)
{
	if (attribute->attisdropped)
		return false;
	return attribute->attgenerated == '\0' || attribute->attgenerated == ATTRIBUTE_GENERATED_STORED;
}

static void
choose_encoders(RelationVersion *version, Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);
	AttrNumber	key[INDEX_MAX_KEYS];
	int			count = 0;

	version->columns = MemoryContextAllocZero(version->context, sizeof(ColumnEncoder) * Max(desc->natts, 1));
	version->key_column_count = relation_find_key(relation, key);
	for (int i = 0; i < version->key_column_count; i++)
		column_encoder_init(&version->columns[count++], TupleDescAttr(desc, key[i] - 1), true, version->context);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		in_key = false;

		for (int k = 0; k < version->key_column_count; k++)
			in_key = in_key || key[k] == attribute->attnum;
		if (!in_key && column_travels(attribute))
			column_encoder_init(&version->columns[count++], attribute, false, version->context);
	}
	version->column_count = count;
}

/* A name or type text of the catalog, in UTF-8. */
static WhSlice
utf8_slice(const char *text)
{
	char	   *converted = pg_server_to_any(text, strlen(text), PG_UTF8);

	return (WhSlice) {(const uint8_t *) converted, strlen(converted)};
}

static void
write_schema(RelationVersion *version, Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);
	WhColumn   *columns = palloc0(sizeof(WhColumn) * Max(version->column_count, 1));
	WhSchema	schema = {
		.relation_oid = RelationGetRelid(relation),
		.replica_identity = relation->rd_rel->relreplident,
		.schema_name = utf8_slice(get_namespace_name(RelationGetNamespace(relation))),
		.table_name = utf8_slice(RelationGetRelationName(relation)),
		.columns = columns,
		.column_count = version->column_count,
		.key_column_count = version->key_column_count,
	};
	WhWriter	writer;
	Size		capacity = 64 + schema.schema_name.size + schema.table_name.size;

	for (int i = 0; i < version->column_count; i++)
	{
		const ColumnEncoder *encoder = &version->columns[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, encoder->attnum - 1);
		WhColumn   *column = &columns[i];

		column->attribute_number = encoder->attnum;
		column->nullable = encoder->nullable;
		column->key_position = i < version->key_column_count ? i + 1 : 0;
		column->name = utf8_slice(NameStr(attribute->attname));
		column->type_oid = attribute->atttypid;
		column->typmod = attribute->atttypmod;
		column->type_name = utf8_slice(format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
		column->clickhouse_type = utf8_slice(encoder->clickhouse_type);
		capacity += 64 + column->name.size + column->type_name.size + column->clickhouse_type.size;
	}
	version->schema_bytes = MemoryContextAlloc(version->context, capacity);
	writer = wh_writer(version->schema_bytes, capacity);
	wh_schema_put(&writer, &schema);
	if (writer.full)
		elog(ERROR, "the schema of relation %u does not fit its buffer", RelationGetRelid(relation));
	version->schema_size = writer.length;
	version->fingerprint = wh_schema_fingerprint((WhSlice) {writer.data, writer.length});
}

static void
build(RelationCache *cache, RelationVersion *version, Relation relation)
{
	char	   *schema_name = get_namespace_name(RelationGetNamespace(relation));

	if (version->context)
		MemoryContextDelete(version->context);
	version->context = NULL;
	if (!cache->publications_valid)
		load_publications(cache);
	/* Walhouse's own tables are no user's data. */
	if (schema_name == NULL || strcmp(schema_name, WALHOUSE_SCHEMA) == 0)
	{
		version->published = false;
		version->valid = true;
		return;
	}
	find_actions(cache, relation, version);
	if (version->published)
	{
		version->context = AllocSetContextCreate(cache->context, "walhouse relation", ALLOCSET_SMALL_SIZES);
		choose_encoders(version, relation);
		write_schema(version, relation);
	}
	version->valid = true;
}

RelationVersion *
relation_cache_get(RelationCache *cache, Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	bool		found;
	RelationVersion *version = hash_search(cache->versions, &relid, HASH_ENTER, &found);

	if (!found)
	{
		memset(version, 0, sizeof *version);
		version->relid = relid;
	}
	if (!version->valid)
		build(cache, version, relation);
	return version;
}

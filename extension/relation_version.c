/*
 * relation_version.c - builds one relation's schema version from the catalogs; see relation_version.h.
 *
 *		publications --> find_published() --> under which name, which columns, which rows
 *		catalogs -----> key, an encoder for each column --> the schema's bytes --> their fingerprint
 *
 * A partition that is published as its root has the root's schema, and encoders in the root's order that know where in the
 * partition's own tuples each column stands: so its rows cost what any other's cost, and nothing is mapped per row.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/schema.h"
#include "compat.h"
#include "relation_version.h"
#include "utf8.h"
#include "walhouse.h"

/* ---- columns ---- */

/* Columns that a row's tuple holds. */
static bool
column_travels(Form_pg_attribute attribute)
{
	if (attribute->attisdropped)
		return false;
	return attribute->attgenerated == '\0' || attribute->attgenerated == ATTRIBUTE_GENERATED_STORED;
}

/*
 * Where each column of published_as stands in relation's tuples, by attribute number - 1; 0 for a dropped one. A partition has
 * its root's columns by name, perhaps in another order, and may have dropped ones of its own.
 */
static AttrNumber *
find_tuple_attnums(Relation relation, Relation published_as)
{
	TupleDesc	desc = RelationGetDescr(published_as);
	AttrNumber *attnums = palloc0(sizeof(AttrNumber) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		attnums[i] = relation == published_as ? attribute->attnum :
			get_attnum(RelationGetRelid(relation), NameStr(attribute->attname));
		if (attnums[i] == InvalidAttrNumber)
			elog(ERROR, "partition \"%s\" has no column \"%s\"", RelationGetRelationName(relation),
				 NameStr(attribute->attname));
	}
	return attnums;
}

/* ---- the key ---- */

/* The attribute numbers of an index's columns; returns their count, 0 for an index whose uniqueness is deferrable. */
static int
index_attnums(Oid index_oid, AttrNumber *attnums)
{
	Relation	index = RelationIdGetRelation(index_oid);
	int			count;

	if (!RelationIsValid(index))
		elog(ERROR, "could not open index with OID %u", index_oid);
	/* A deferrable key may be held by two rows for a while. */
	count = index->rd_index->indimmediate ? index->rd_index->indnkeyatts : 0;
	for (int i = 0; i < count; i++)
		attnums[i] = index->rd_index->indkey.values[i];
	RelationClose(index);
	return count;
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

int
relation_find_key(Relation relation, AttrNumber *attnums)
{
	Oid			index_oid = relation_key_index(relation);

	return OidIsValid(index_oid) ? index_attnums(index_oid, attnums) : 0;
}

/* A key of which a column does not travel is none. */
static int
find_published_key(Relation relation, const Bitmapset *columns, AttrNumber *attnums)
{
	int			count = relation_find_key(relation, attnums);

	for (int i = 0; i < count && columns; i++)
		if (!bms_is_member(attnums[i], columns))
			return 0;
	return count;
}

/*
 * Does the old tuple of relation hold the columns with these attribute numbers? A partition may have another replica identity
 * than its root.
 */
static bool
old_tuple_holds(Relation relation, const AttrNumber *attnums, int count)
{
	Oid			index_oid = RelationGetReplicaIndex(relation);
	AttrNumber	identity[INDEX_MAX_KEYS];
	int			identity_count;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity_count = OidIsValid(index_oid) ? index_attnums(index_oid, identity) : 0;
	for (int i = 0; i < count; i++)
	{
		bool		found = false;

		for (int k = 0; k < identity_count; k++)
			found = found || identity[k] == attnums[i];
		if (!found)
			return false;
	}
	return true;
}

/* ---- building ---- */

/* Encoders in the schema's order; *positions: each one's attribute number in published_as. */
static void
choose_encoders(RelationVersion *version, Relation relation, Relation published_as, const Bitmapset *columns,
				const AttrNumber *tuple_attnums, AttrNumber *positions)
{
	TupleDesc	desc = RelationGetDescr(published_as);
	AttrNumber	key[INDEX_MAX_KEYS];
	AttrNumber	tuple_key[INDEX_MAX_KEYS];
	int			count = 0;

	version->columns = MemoryContextAllocZero(version->context, sizeof(ColumnEncoder) * Max(desc->natts, 1));
	version->key_column_count = find_published_key(published_as, columns, key);
	for (int i = 0; i < version->key_column_count; i++)
	{
		tuple_key[i] = tuple_attnums[key[i] - 1];
		positions[count++] = key[i];
	}
	version->old_has_key = version->key_column_count > 0 &&
		old_tuple_holds(relation, tuple_key, version->key_column_count);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		in_key = false;

		for (int k = 0; k < version->key_column_count; k++)
			in_key = in_key || key[k] == attribute->attnum;
		if (!in_key && column_travels(attribute) && (columns == NULL || bms_is_member(attribute->attnum, columns)))
			positions[count++] = attribute->attnum;
	}
	version->column_count = count;
	for (int i = 0; i < count; i++)
	{
		column_encoder_init(&version->columns[i], TupleDescAttr(desc, positions[i] - 1), i < version->key_column_count,
							version->context);
		version->columns[i].attnum = tuple_attnums[positions[i] - 1];
	}
}

/* A name or type text of the catalog, in UTF-8. */
static WhSlice
utf8_slice(const char *text)
{
	int			size = strlen(text);
	const char *converted = utf8_from_server(text, &size);

	return (WhSlice) {(const uint8_t *) converted, size};
}

static void
write_schema(RelationVersion *version, Relation relation, const AttrNumber *positions)
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
		Form_pg_attribute attribute = TupleDescAttr(desc, positions[i] - 1);
		WhColumn   *column = &columns[i];

		column->attribute_number = positions[i];
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

static bool
has_filter(const Published *published)
{
	for (int i = 0; i < FILTER_ACTIONS; i++)
		if (published->filters[i] != NIL)
			return true;
	return false;
}

/* All that depends on the relation whose name the rows go under. */
static void
build_as(RelationVersion *version, const Published *published, Relation relation, Relation published_as)
{
	AttrNumber *tuple_attnums = find_tuple_attnums(relation, published_as);
	AttrNumber *positions = palloc0(sizeof(AttrNumber) * Max(RelationGetDescr(published_as)->natts, 1));
	MemoryContext old;

	choose_encoders(version, relation, published_as, published->columns, tuple_attnums, positions);
	write_schema(version, published_as, positions);
	if (!has_filter(published))
		return;
	old = MemoryContextSwitchTo(version->context);
	version->filter = row_filter_create(published->filters, published_as, tuple_attnums);
	MemoryContextSwitchTo(old);
}

/* Walhouse's own tables are no user's data. */
static bool
is_our_own(Relation relation)
{
	char	   *schema_name = get_namespace_name(RelationGetNamespace(relation));

	return schema_name == NULL || strcmp(schema_name, WALHOUSE_SCHEMA) == 0;
}

void
relation_version_build(RelationVersion *version, List *publications, Relation relation, MemoryContext parent)
{
	Published	published = {.publish_as = RelationGetRelid(relation)};

	if (version->context)
		MemoryContextDelete(version->context);
	version->context = NULL;
	version->filter = NULL;
	version->complained = false;
	if (!is_our_own(relation))
		published = find_published(publications, relation);
	version->published = published.published;
	version->publish_as = published.publish_as;
	version->actions = published.actions;
	if (!version->published)
		return;
	version->context = AllocSetContextCreate(parent, "walhouse relation", ALLOCSET_SMALL_SIZES);
	if (published.publish_as == RelationGetRelid(relation))
		build_as(version, &published, relation, relation);
	else
	{
		Relation	published_as = RelationIdGetRelation(published.publish_as);

		if (!RelationIsValid(published_as))
			elog(ERROR, "could not open relation with OID %u", published.publish_as);
		build_as(version, &published, relation, published_as);
		RelationClose(published_as);
	}
}

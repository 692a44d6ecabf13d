/*
 * snapshot_query.c - the queries that read a table's rows for a snapshot; see snapshot_query.h.
 *
 * Operators and collations are those of the key's index, by their qualified names, so that the order of the rows is the
 * index's, whatever the search path holds, and the index serves the query.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "snapshot_query.h"

static char *
qualified_operator(Oid opfamily, Oid type, StrategyNumber strategy)
{
	Oid			operator = get_opfamily_member(opfamily, type, type, strategy);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "operator family %u has no operator %d for type %u", opfamily, strategy, type);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

static char *
qualified_collation(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	text = quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname));
	ReleaseSysCache(tuple);
	return text;
}

/* The rows are read under the relation's own name, which conditions may use. */
static char *
qualified_column(Relation relation, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), attnum - 1);

	return quote_qualified_identifier(RelationGetRelationName(relation), NameStr(attribute->attname));
}

static void
init_column(SnapshotKey *key, int i, Relation relation, Relation index)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), key->attnums[i] - 1);
	Oid			opfamily = index->rd_opfamily[i];
	Oid			opcintype = index->rd_opcintype[i];
	Oid			collation = index->rd_indcollation[i];
	Oid			output;
	bool		is_varlena;

	key->types[i] = getBaseType(attribute->atttypid);
	key->columns[i] = qualified_column(relation, key->attnums[i]);
	if (OidIsValid(collation) && collation != attribute->attcollation)
		key->columns[i] = psprintf("(%s COLLATE %s)", key->columns[i], qualified_collation(collation));
	key->less[i] = qualified_operator(opfamily, opcintype, BTLessStrategyNumber);
	key->greater[i] = qualified_operator(opfamily, opcintype, BTGreaterStrategyNumber);
	key->equal[i] = qualified_operator(opfamily, opcintype, BTEqualStrategyNumber);
	key->greater_equal[i] = qualified_operator(opfamily, opcintype, BTGreaterEqualStrategyNumber);
	getTypeOutputInfo(key->types[i], &output, &is_varlena);
	fmgr_info(output, &key->output[i]);
}

bool
snapshot_key_init(SnapshotKey *key, Relation relation)
{
	Relation	index;

	memset(key, 0, sizeof *key);
	key->count = relation_find_key(relation, key->attnums);
	if (key->count == 0)
		return false;
	index = index_open(relation_key_index(relation), AccessShareLock);
	for (int i = 0; i < key->count; i++)
		init_column(key, i, relation, index);
	index_close(index, NoLock);
	return true;
}

void
snapshot_key_parse(const SnapshotKey *key, char **after, Datum *values)
{
	for (int i = 0; i < key->count; i++)
	{
		Oid			input;
		Oid			parameter;

		getTypeInputInfo(key->types[i], &input, &parameter);
		values[i] = OidInputFunctionCall(input, after[i], parameter, -1);
	}
}

ArrayType *
snapshot_key_text(SnapshotKey *key, const Datum *values)
{
	Datum		texts[INDEX_MAX_KEYS];

	for (int i = 0; i < key->count; i++)
		texts[i] = CStringGetTextDatum(OutputFunctionCall(&key->output[i], values[i]));
	return construct_array(texts, key->count, TEXTOID, -1, false, TYPALIGN_INT);
}

static void
append_columns(StringInfo sql, const SnapshotSource *source, const RelationVersion *version)
{
	for (int i = 0; i < version->column_count; i++)
		appendStringInfo(sql, "%s%s", i ? ", " : "", qualified_column(source->relation, version->columns[i].attnum));
}

/* A partitioned table's rows are in its partitions; of others only the table's own count, not its heirs'. */
static void
append_from(StringInfo sql, const SnapshotSource *source)
{
	Oid			relid = OidIsValid(source->part) ? source->part : RelationGetRelid(source->relation);
	bool		partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;

	appendStringInfo(sql, " FROM %s%s AS %s", partitioned ? "" : "ONLY ",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
					 quote_identifier(RelationGetRelationName(source->relation)));
}

/* true where source has neither filter nor condition. */
static void
append_matches(StringInfo sql, const SnapshotSource *source)
{
	appendStringInfo(sql, "(%s) AND (%s)", source->row_filter ? source->row_filter : "true",
					 source->condition ? source->condition : "true");
}

/* ROW(a, b) > ROW($1, $2): the index takes it whole, if one name of operator does for all columns. */
static bool
append_row_comparison(StringInfo sql, const SnapshotKey *key)
{
	for (int i = 1; i < key->count; i++)
		if (strcmp(key->greater[i], key->greater[0]) != 0)
			return false;
	appendStringInfoString(sql, " AND ROW(");
	for (int i = 0; i < key->count; i++)
		appendStringInfo(sql, "%s%s", i ? ", " : "", key->columns[i]);
	appendStringInfo(sql, ") %s ROW(", key->greater[0]);
	for (int i = 0; i < key->count; i++)
		appendStringInfo(sql, "%s$%d", i ? ", " : "", i + 1);
	appendStringInfoChar(sql, ')');
	return true;
}

/* a >= $1 AND (a > $1 OR (a = $1 AND (b > $2 OR ...))): the index takes the first part. */
static void
append_nested_comparison(StringInfo sql, const SnapshotKey *key)
{
	appendStringInfo(sql, " AND %s %s $1 AND (", key->columns[0], key->greater_equal[0]);
	for (int i = 0; i < key->count; i++)
	{
		appendStringInfo(sql, "%s %s $%d", key->columns[i], key->greater[i], i + 1);
		if (i < key->count - 1)
			appendStringInfo(sql, " OR (%s %s $%d AND (", key->columns[i], key->equal[i], i + 1);
	}
	for (int i = 0; i < 2 * key->count - 1; i++)
		appendStringInfoChar(sql, ')');
}

char *
snapshot_chunk_query(const SnapshotSource *source, const RelationVersion *version, const SnapshotKey *key, bool has_after,
					 int max_rows, bool say_matches)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, source, version);
	if (say_matches)
	{
		appendStringInfoString(&sql, ", (");
		append_matches(&sql, source);
		appendStringInfoString(&sql, ") IS TRUE");
	}
	append_from(&sql, source);
	appendStringInfoString(&sql, " WHERE true");
	if (!say_matches)
	{
		appendStringInfoString(&sql, " AND ");
		append_matches(&sql, source);
	}
	if (has_after && key->count == 1)
		appendStringInfo(&sql, " AND %s %s $1", key->columns[0], key->greater[0]);
	else if (has_after && !append_row_comparison(&sql, key))
		append_nested_comparison(&sql, key);
	appendStringInfoString(&sql, " ORDER BY ");
	for (int i = 0; i < key->count; i++)
		appendStringInfo(&sql, "%s%s USING %s", i ? ", " : "", key->columns[i], key->less[i]);
	appendStringInfo(&sql, " LIMIT %d", max_rows);
	return sql.data;
}

char *
snapshot_scan_query(const SnapshotSource *source, const RelationVersion *version)
{
	StringInfoData sql;
	const char *name = quote_identifier(RelationGetRelationName(source->relation));

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, source, version);
	appendStringInfo(&sql, "%s%s.ctid", version->column_count ? ", " : "", name);
	append_from(&sql, source);
	appendStringInfoString(&sql, " WHERE ");
	append_matches(&sql, source);
	appendStringInfo(&sql, " AND %s.ctid OPERATOR(pg_catalog.>=) $1 AND %s.ctid OPERATOR(pg_catalog.<) $2", name, name);
	return sql.data;
}

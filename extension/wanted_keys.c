/*
 * wanted_keys.c - rows that the agent asks for: their keys as it has them, and the condition that finds them.
 *
 *		key (RowBinary) --walhouse._key_texts()--> its texts --walhouse.wanted--> walhouse._key_condition() --> a condition
 *
 * Whoever may write into the topic of requests may have written these bytes: they become values of the key's types first, and
 * literals of those then, and never stand in a query as they came.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "common/rowbinary.h"
#include "common/schema.h"
#include "output_settings.h"
#include "rowbinary_json.h"
#include "snapshot_query.h"

PG_FUNCTION_INFO_V1(walhouse_key_texts);
PG_FUNCTION_INFO_V1(walhouse_key_condition);

/* Is the key still the one that expected describes: for each column its attribute number and ClickHouse type? */
static bool
key_is(const RelationVersion *version, ArrayType *expected)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(expected, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count != version->key_column_count)
		return false;
	for (int i = 0; i < count; i++)
	{
		const ColumnEncoder *column = &version->columns[i];

		if (nulls[i] || strcmp(TextDatumGetCString(elements[i]),
							   psprintf("%d %s", column->attnum, column->clickhouse_type)) != 0)
			return false;
	}
	return true;
}

/* A value as its type's input function takes it. */
static char *
value_text(const WhColumn *column, const WhType *type, WhSlice value)
{
	JsonbValue	json = rowbinary_to_json(column, type, value);
	uint64		lsn;

	if (column->type_oid == PG_LSNOID)
	{
		memcpy(&lsn, value.data, sizeof lsn);
		return psprintf("%X/%X", LSN_FORMAT_ARGS(lsn));
	}
	switch (json.type)
	{
		case jbvString:
			return pnstrdup(json.val.string.val, json.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json.val.numeric)));
		case jbvBool:
			return json.val.boolean ? "true" : "false";
		default:
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a key has no NULL")));
	}
}

/* The texts of a key's columns, as the types' output functions give them. */
static ArrayType *
read_key(const RelationVersion *version, SnapshotKey *key, WhSlice bytes)
{
	WhReader	reader = wh_reader(bytes.data, bytes.size);
	char	   *texts[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];

	for (int i = 0; i < key->count; i++)
	{
		const char *name = version->columns[i].clickhouse_type;
		WhColumn	column = {.clickhouse_type = {(const uint8 *) name, strlen(name)},.type_oid = key->types[i]};
		WhType		type;
		WhSlice		value;

		if (!wh_type_parse(column.clickhouse_type, false, &type))
			elog(ERROR, "ClickHouse type %s is unknown", name);
		value = wh_type_get(&reader, &type);
		if (!wh_reader_ok(&reader))
			break;
		texts[i] = value_text(&column, &type, value);
	}
	wh_get_end(&reader);
	if (!wh_reader_ok(&reader))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a key is damaged: %s at byte %zu", reader.error, reader.error_offset)));
	snapshot_key_parse(key, texts, values);
	return snapshot_key_text(key, values);
}

/*
 * walhouse._key_texts(relation oid, publication text, expected text[], data bytea) returns text[]
 *
 * Empty: the table's key is not the expected one (any more). NULL: it has none.
 */
Datum
walhouse_key_texts(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_ARGISNULL(3) ? NULL : PG_GETARG_BYTEA_PP(3);
	Relation	relation = table_open(PG_GETARG_OID(0), AccessShareLock);
	RelationCache *cache = relation_cache_create(CurrentMemoryContext, list_make1(text_to_cstring(PG_GETARG_TEXT_PP(1))));
	const RelationVersion *version = relation_cache_get(cache, relation);
	int			nest_level = output_settings_begin();
	ArrayType  *texts = NULL;
	SnapshotKey key;

	if (data == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a key is NULL")));
	if (version->published && snapshot_key_init(&key, relation) && key.count == version->key_column_count)
	{
		if (PG_ARGISNULL(2) || key_is(version, PG_GETARG_ARRAYTYPE_P(2)))
			texts = read_key(version, &key, (WhSlice) {(const uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)});
		else
			texts = construct_empty_array(TEXTOID);
	}
	AtEOXact_GUC(true, nest_level);
	table_close(relation, NoLock);
	if (texts == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(texts);
}

static void
append_literal(StringInfo sql, Oid type, const char *text)
{
	appendStringInfo(sql, "%s::%s", quote_literal_cstr(text),
					 format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
}

/* One column: an array that the index looks up, and in its order. */
static void
append_any_of(StringInfo sql, const SnapshotKey *key, const Datum *texts, int count)
{
	appendStringInfo(sql, "%s %s ANY (ARRAY[", key->columns[0], key->equal[0]);
	for (int i = 0; i < count; i++)
	{
		appendStringInfoString(sql, i ? ", " : "");
		append_literal(sql, key->types[0], TextDatumGetCString(texts[i]));
	}
	appendStringInfoString(sql, "])");
}

static void
append_alternatives(StringInfo sql, const SnapshotKey *key, const Datum *texts, int count)
{
	for (int i = 0; i < count; i++)
	{
		appendStringInfoString(sql, i ? " OR (" : "(");
		for (int column = 0; column < key->count; column++)
		{
			appendStringInfo(sql, "%s%s %s ", column ? " AND " : "", key->columns[column], key->equal[column]);
			append_literal(sql, key->types[column], TextDatumGetCString(texts[i * key->count + column]));
		}
		appendStringInfoChar(sql, ')');
	}
}

/*
 * walhouse._key_condition(relation oid, keys text[]) returns text
 *
 * keys has a row for each key and a column for each of its columns.
 */
Datum
walhouse_key_condition(PG_FUNCTION_ARGS)
{
	Relation	relation = table_open(PG_GETARG_OID(0), AccessShareLock);
	ArrayType  *keys = PG_GETARG_ARRAYTYPE_P(1);
	SnapshotKey key;
	StringInfoData sql;
	Datum	   *texts;
	int			count;

	if (!snapshot_key_init(&key, relation) || ARR_NDIM(keys) != 2 || ARR_DIMS(keys)[1] != key.count || array_contains_nulls(keys))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has another key", RelationGetRelationName(relation))));
	deconstruct_array(keys, TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, &count);
	initStringInfo(&sql);
	/* An array of arrays would be another thing. */
	if (key.count == 1 && !OidIsValid(get_element_type(key.types[0])))
		append_any_of(&sql, &key, texts, count);
	else
		append_alternatives(&sql, &key, texts, count / key.count);
	table_close(relation, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(sql.data, sql.len));
}

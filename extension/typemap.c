/*
 * typemap.c - which ClickHouse type a Postgres column becomes, and which encoder writes it.
 *
 * Asked once per schema version (relcache.c). A type without an exact ClickHouse counterpart travels as the exact text that
 * its output function gives, never as a number that might lose something. docs/types.md is this file for people.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "encode.h"

#define DECIMAL_PRECISION_MAX 76

typedef struct TypeMapping
{
	Oid			type;
	const char *clickhouse_type;
	EncodeFunction encode;
	int			default_width;
} TypeMapping;

static const TypeMapping mappings[] = {
	{BOOLOID, "Bool", encode_bool, 1},
	{INT2OID, "Int16", encode_int16, 2},
	{INT4OID, "Int32", encode_int32, 4},
	{INT8OID, "Int64", encode_int64, 8},
	{FLOAT4OID, "Float32", encode_int32, 4},
	{FLOAT8OID, "Float64", encode_int64, 8},
	{DATEOID, "Date32", encode_date, 4},
	{TIMESTAMPOID, "DateTime64(6, 'UTC')", encode_timestamp, 8},
	{TIMESTAMPTZOID, "DateTime64(6, 'UTC')", encode_timestamp, 8},
	{UUIDOID, "UUID", encode_uuid, 16},
	{TEXTOID, "String", encode_text, 1},
	{VARCHAROID, "String", encode_text, 1},
	{BPCHAROID, "String", encode_text, 1},
	{JSONOID, "String", encode_text, 1},
};

/*
 * numeric(p, s) is a Decimal where ClickHouse has one: 0 <= s <= p <= 76. A numeric without precision, or with one of
 * the scales that only Postgres knows, is text.
 */
static bool
map_numeric(ColumnEncoder *encoder, int32 typmod)
{
	int			precision;
	int			scale;

	if (typmod < (int32) VARHDRSZ)
		return false;
	precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
	/* 11 bits, signed: see make_numeric_typmod() in numeric.c. */
	scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	if (scale < 0 || scale > precision || precision > DECIMAL_PRECISION_MAX)
		return false;
	encoder->clickhouse_type = psprintf("Decimal(%d, %d)", precision, scale);
	encoder->encode = encode_decimal;
	encoder->decimal_scale = scale;
	encoder->decimal_width = precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32;
	encoder->default_width = encoder->decimal_width;
	return true;
}

static void
map_type(ColumnEncoder *encoder, Oid type, int32 typmod)
{
	for (int i = 0; i < lengthof(mappings); i++)
	{
		if (mappings[i].type == type)
		{
			encoder->clickhouse_type = pstrdup(mappings[i].clickhouse_type);
			encoder->encode = mappings[i].encode;
			encoder->default_width = mappings[i].default_width;
			return;
		}
	}
	if (type == NUMERICOID && map_numeric(encoder, typmod))
		return;
	encoder->clickhouse_type = pstrdup("String");
	encoder->encode = encode_by_output;
	encoder->default_width = 1;
}

void
column_encoder_init(ColumnEncoder *encoder, Form_pg_attribute attribute, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	int32		typmod = attribute->atttypmod;
	Oid			type = getBaseTypeAndTypmod(attribute->atttypid, &typmod);
	Oid			output;
	bool		is_varlena;

	memset(encoder, 0, sizeof *encoder);
	encoder->attnum = attribute->attnum;
	encoder->nullable = !attribute->attnotnull;
	encoder->by_reference = attribute->attlen == -1;
	getTypeOutputInfo(attribute->atttypid, &output, &is_varlena);
	fmgr_info_cxt(output, &encoder->output, context);
	map_type(encoder, type, typmod);
	MemoryContextSwitchTo(old);
}

char *
column_encoder_text(const ColumnEncoder *encoder, Datum value)
{
	/* OutputFunctionCall does not change what it is given but for caches of its own. */
	char	   *text = OutputFunctionCall((FmgrInfo *) &encoder->output, value);

	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

void
column_encoder_default(const ColumnEncoder *encoder, StringInfo out)
{
	if (encoder->nullable)
	{
		appendStringInfoChar(out, 1);
		return;
	}
	enlargeStringInfo(out, encoder->default_width);
	memset(out->data + out->len, 0, encoder->default_width);
	out->len += encoder->default_width;
}

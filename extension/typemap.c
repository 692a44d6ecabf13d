/*
 * typemap.c - which ClickHouse type a Postgres column becomes, and which encoder writes it.
 *
 * Asked once per schema version (relcache.c). A type without an exact ClickHouse counterpart travels as the exact text that
 * its output function gives, never as a number that might lose something. docs/types.md is this file for people.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "common/rowbinary.h"
#include "encode.h"
#include "utf8.h"

#define DECIMAL_PRECISION_MAX 76

typedef struct TypeMapping
{
	Oid			type;
	const char *clickhouse_type;
	EncodeFunction encode;
	int			default_width;
	EncodeFunction clamp;
} TypeMapping;

static const TypeMapping mappings[] = {
	{BOOLOID, "Bool", encode_bool, 1},
	{INT2OID, "Int16", encode_int16, 2},
	{INT4OID, "Int32", encode_int32, 4},
	{INT8OID, "Int64", encode_int64, 8},
	{FLOAT4OID, "Float32", encode_int32, 4},
	{FLOAT8OID, "Float64", encode_int64, 8},
	{MONEYOID, "Decimal(19, 2)", encode_money, 16},
	{DATEOID, "Date32", encode_date, 4, clamp_date},
	{TIMESTAMPOID, "DateTime64(6, 'UTC')", encode_timestamp, 8, clamp_timestamp},
	{TIMESTAMPTZOID, "DateTime64(6, 'UTC')", encode_timestamp, 8, clamp_timestamp},
	{UUIDOID, "UUID", encode_uuid, 16},
	{OIDOID, "UInt32", encode_int32, 4},
	{XIDOID, "UInt32", encode_int32, 4},
	{CIDOID, "UInt32", encode_int32, 4},
	{XID8OID, "UInt64", encode_int64, 8},
	{PG_LSNOID, "UInt64", encode_int64, 8},
	{CHAROID, "String", encode_char, 1},
	{BYTEAOID, "String", encode_bytea, 1},
};

/* Types that are stored as their text in the server's encoding, citext among them: known by their output function. */
static bool
is_stored_as_text(const FmgrInfo *output)
{
	return output->fn_addr == textout || output->fn_addr == varcharout || output->fn_addr == bpcharout ||
		output->fn_addr == json_out;
}

/*
 * What is stored is an OID, and what is printed a name that may change at any time. A key must stay the same.
 */
static bool
is_named_oid(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGROLEOID:
			return true;
		default:
			return false;
	}
}

/* Arrays by name, but with a text of their own and a first index of 0. */
static bool
is_vector(Oid type)
{
	return type == INT2VECTOROID || type == OIDVECTOROID;
}

static void
set_mapping(ColumnEncoder *encoder, const char *clickhouse_type, EncodeFunction encode, int default_width)
{
	encoder->clickhouse_type = pstrdup(clickhouse_type);
	encoder->encode = encode;
	encoder->default_width = default_width;
}

/*
 * numeric(p, s) is a Decimal where ClickHouse has one wide enough. The scales that only Postgres knows become one of
 * ClickHouse's: numeric(3, 5) has five decimals, numeric(5, -2) has seven digits and none. A numeric without precision is text.
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
	precision = scale < 0 ? precision - scale : Max(precision, scale);
	scale = Max(scale, 0);
	if (precision > DECIMAL_PRECISION_MAX)
		return false;
	encoder->decimal_scale = scale;
	encoder->decimal_width = precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32;
	set_mapping(encoder, psprintf("Decimal(%d, %d)", precision, scale), encode_decimal, encoder->decimal_width);
	return true;
}

/* Everything but arrays. encoder->output is there already. */
static void
map_scalar(ColumnEncoder *encoder, Oid type, int32 typmod)
{
	for (int i = 0; i < lengthof(mappings); i++)
	{
		if (mappings[i].type == type)
		{
			set_mapping(encoder, mappings[i].clickhouse_type, mappings[i].encode, mappings[i].default_width);
			encoder->clamp = mappings[i].clamp;
			return;
		}
	}
	if (type == NUMERICOID && map_numeric(encoder, typmod))
		return;
	if (encoder->in_key && is_named_oid(type))
		set_mapping(encoder, "UInt32", encode_int32, 4);
	else
		set_mapping(encoder, "String", is_stored_as_text(&encoder->output) ? encode_text : encode_by_output, 1);
}

static void
set_output(ColumnEncoder *encoder, Oid type, MemoryContext context)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info_cxt(output, &encoder->output, context);
}

/*
 * An Array cannot be NULL in ClickHouse, and must not be confused with an empty one, so a column that may be NULL is a Variant,
 * which also has room for the text of what an Array cannot hold. So is one that was declared with several dimensions.
 */
static void
map_array(ColumnEncoder *encoder, Oid element_type, int32 typmod, bool plain, MemoryContext context)
{
	ColumnEncoder *element = palloc0(sizeof *element);
	char	   *name;

	encoder->element = element;
	get_typlenbyvalalign(element_type, &encoder->element_length, &encoder->element_by_value, &encoder->element_align);
	element->nullable = true;
	set_output(element, element_type, context);
	element_type = getBaseTypeAndTypmod(element_type, &typmod);
	map_scalar(element, element_type, typmod);
	name = psprintf("Array(Nullable(%s))", element->clickhouse_type);
	encoder->nullable = false;
	if (plain)
		set_mapping(encoder, name, encode_array, 1);
	else
	{
		set_mapping(encoder, psprintf("Variant(%s, String)", name), encode_array_or_text, 1);
		encoder->default_byte = WH_VARIANT_NULL;
	}
}

void
column_encoder_init(ColumnEncoder *encoder, Form_pg_attribute attribute, bool in_key, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	int32		typmod = attribute->atttypmod;
	Oid			type = getBaseTypeAndTypmod(attribute->atttypid, &typmod);
	Oid			element_type = is_vector(type) ? InvalidOid : get_element_type(type);

	memset(encoder, 0, sizeof *encoder);
	encoder->attnum = attribute->attnum;
	encoder->nullable = !attribute->attnotnull;
	encoder->by_reference = attribute->attlen == -1;
	encoder->in_key = in_key;
	set_output(encoder, attribute->atttypid, context);
	/* A Variant cannot be a key, and what an Array cannot hold must not make a row unreachable. */
	if (OidIsValid(element_type) && !in_key)
		map_array(encoder, element_type, typmod, attribute->attnotnull && attribute->attndims <= 1, context);
	else
		map_scalar(encoder, type, typmod);
	MemoryContextSwitchTo(old);
}

const char *
column_encoder_text(const ColumnEncoder *encoder, Datum value, int *size)
{
	/* OutputFunctionCall does not change what it is given but for caches of its own. */
	char	   *text = OutputFunctionCall((FmgrInfo *) &encoder->output, value);

	*size = strlen(text);
	return utf8_from_server(text, size);
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
	memset(out->data + out->len, encoder->default_byte, encoder->default_width);
	out->len += encoder->default_width;
}

bool
column_encoder_adjust(const ColumnEncoder *encoder, OutOfRangePolicy policy, Datum value, StringInfo out)
{
	int			start = out->len;

	if (policy == OUT_OF_RANGE_DLQ || encoder->in_key)
		return false;
	if (encoder->element)
	{
		if (adjust_array(encoder, policy, value, out))
			return true;
		out->len = start;
		return false;
	}
	if (policy == OUT_OF_RANGE_CLAMP && encoder->clamp)
	{
		if (encoder->nullable)
			appendStringInfoCharMacro(out, 0);
		return encoder->clamp(encoder, value, out);
	}
	if (encoder->nullable)
		appendStringInfoCharMacro(out, 1);
	return encoder->nullable;
}

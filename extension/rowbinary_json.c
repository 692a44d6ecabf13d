/*
 * rowbinary_json.c - RowBinary values for people: as jsonb.
 *
 * Used by walhouse.decode() only, so it prefers being plain to being fast.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "catalog/pg_type.h"
#include "port/pg_bswap.h"

#include "common/rowbinary.h"
#include "compat.h"
#include "rowbinary_json.h"

#define EPOCH_DAYS	(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

static JsonbValue
text_to_json(char *text)
{
	JsonbValue	json = {.type = jbvString};

	json.val.string.val = text;
	json.val.string.len = strlen(text);
	return json;
}

static JsonbValue
hex_to_json(WhSlice bytes)
{
	char	   *hex = palloc(2 * bytes.size + 3);

	hex[0] = '\\';
	hex[1] = 'x';
	hex[2 + hex_encode((const char *) bytes.data, bytes.size, hex + 2)] = '\0';
	return text_to_json(hex);
}

JsonbValue
bytes_to_json(WhSlice bytes)
{
	const char *data = (const char *) bytes.data;

	if (bytes.size > 0 && (memchr(data, 0, bytes.size) || !pg_verify_mbstr(PG_UTF8, data, bytes.size, true)))
		return hex_to_json(bytes);
	return text_to_json(pg_any_to_server(pnstrdup(bytes.size ? data : "", bytes.size), bytes.size, PG_UTF8));
}

static JsonbValue
numeric_text_to_json(const char *text)
{
	JsonbValue	json = {.type = jbvNumeric};

	json.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
														   Int32GetDatum(-1)));
	return json;
}

static JsonbValue
float_to_json(double number, bool is_single)
{
	if (isnan(number) || isinf(number))
		return text_to_json(isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
	return numeric_text_to_json(psprintf("%.*g", is_single ? 9 : 17, number));
}

static JsonbValue
time_to_json(Datum value, Oid type)
{
	char		buffer[MAXDATELEN + 1];
	int			utc = 0;

	return text_to_json(pstrdup(JsonEncodeDateTime(buffer, value, type, type == TIMESTAMPTZOID ? &utc : NULL)));
}

static uint64
unsigned_integer(WhSlice value)
{
	uint64		bits = 0;

	for (size_t i = 0; i < value.size; i++)
		bits |= (uint64) value.data[i] << (8 * i);
	return bits;
}

static int64
signed_integer(WhSlice value)
{
	uint64		bits = unsigned_integer(value);

	/* Extend the sign. */
	if (value.size < 8 && value.data[value.size - 1] & 0x80)
		bits |= ~UINT64CONST(0) << (8 * value.size);
	return (int64) bits;
}

/* Divides the little-endian number in bytes by 10 and returns the remainder. */
static int
divide_by_ten(uint8 *bytes, int size)
{
	int			remainder = 0;

	for (int i = size - 1; i >= 0; i--)
	{
		int			part = remainder << 8 | bytes[i];

		bytes[i] = part / 10;
		remainder = part % 10;
	}
	return remainder;
}

static JsonbValue
decimal_to_json(WhSlice value, int scale)
{
	uint8		magnitude[32];
	char		digits[96];		/* 2^256 has 78 digits; sign, point and end besides */
	int			at = sizeof digits - 1;
	int			count = 0;
	int			size = value.size;
	bool		negative = value.data[size - 1] & 0x80;
	int			carry = 1;
	bool		more = true;

	memcpy(magnitude, value.data, size);
	for (int i = 0; negative && i < size; i++)
	{
		magnitude[i] = ~magnitude[i] + carry;
		carry = carry && magnitude[i] == 0;
	}
	digits[at] = '\0';
	while ((more || count <= scale) && count <= 78)
	{
		if (count == scale && scale > 0)
			digits[--at] = '.';
		digits[--at] = '0' + divide_by_ten(magnitude, size);
		count++;
		more = false;
		for (int i = 0; i < size; i++)
			more = more || magnitude[i] != 0;
	}
	if (negative)
		digits[--at] = '-';
	return numeric_text_to_json(digits + at);
}

static JsonbValue
uuid_to_json(WhSlice value)
{
	pg_uuid_t	uuid;
	uint64		halves[2];

	memcpy(halves, value.data, sizeof halves);
	halves[0] = pg_bswap64(halves[0]);
	halves[1] = pg_bswap64(halves[1]);
	memcpy(uuid.data, halves, sizeof uuid.data);
	return text_to_json(DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid))));
}

static JsonbValue
fixed_to_json(const char *type, WhSlice value)
{
	JsonbValue	json = {.type = jbvBool};
	int			precision;
	int			scale;

	if (strcmp(type, "Bool") == 0)
	{
		json.val.boolean = value.data[0] != 0;
		return json;
	}
	if (strcmp(type, "UUID") == 0)
		return uuid_to_json(value);
	if (strcmp(type, "Float32") == 0)
	{
		float		number;

		memcpy(&number, value.data, sizeof number);
		return float_to_json(number, true);
	}
	if (strcmp(type, "Float64") == 0)
	{
		double		number;

		memcpy(&number, value.data, sizeof number);
		return float_to_json(number, false);
	}
	if (strcmp(type, "Date32") == 0)
		return time_to_json(DateADTGetDatum(signed_integer(value) - EPOCH_DAYS), DATEOID);
	if (strncmp(type, "DateTime64", 10) == 0)
		return time_to_json(TimestampGetDatum(signed_integer(value) - EPOCH_DAYS * USECS_PER_DAY), TIMESTAMPOID);
	if (sscanf(type, "Decimal(%d, %d)", &precision, &scale) == 2)
		return decimal_to_json(value, scale);
	if (type[0] == 'U')
		return numeric_text_to_json(psprintf(UINT64_FORMAT, unsigned_integer(value)));
	return numeric_text_to_json(psprintf(INT64_FORMAT, signed_integer(value)));
}

/* What shows a value has the whole type and its place in it, to go into arrays and Variants. */
typedef struct Shown
{
	const char *type_name;		/* of the whole column */
	const WhType *type;
	bool		as_hex;			/* its strings are bytea */
} Shown;

static JsonbValue node_to_json(const Shown *shown, unsigned node, WhSlice value);

static JsonbValue
elements_to_json(const Shown *shown, unsigned element, WhReader *reader)
{
	JsonbParseState *state = NULL;
	JsonbValue	json = {.type = jbvBinary};
	Jsonb	   *array;
	uint64		count = wh_get_varint(reader);

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		JsonbValue	one = node_to_json(shown, element, wh_type_get_node(reader, shown->type, element));

		pushJsonbValue(&state, WJB_ELEM, &one);
	}
	array = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	json.val.binary.data = &array->root;
	json.val.binary.len = VARSIZE_ANY_EXHDR(array);
	return json;
}

/* value has been read with the type before, so that nothing in it can be missing. */
static JsonbValue
node_to_json(const Shown *shown, unsigned at, WhSlice value)
{
	const WhTypeNode *node = &shown->type->nodes[at];
	WhReader	reader = wh_reader(value.data, value.size);
	JsonbValue	null = {.type = jbvNull};
	unsigned	alternative;
	WhSlice		text;

	if (node->nullable && wh_get_u8(&reader) == 1)
		return null;
	switch ((WhTypeKind) node->kind)
	{
		case WH_TYPE_STRING:
			text = wh_get_str(&reader, value.size);
			return shown->as_hex ? hex_to_json(text) : bytes_to_json(text);
		case WH_TYPE_ARRAY:
			return elements_to_json(shown, at + 1, &reader);
		case WH_TYPE_VARIANT:
			alternative = wh_type_alternative(shown->type, at, wh_get_u8(&reader));
			if (alternative == 0)
				return null;
			/* The text of the whole, whatever the elements are. */
			if (shown->type->nodes[alternative].kind == WH_TYPE_STRING)
				return bytes_to_json(wh_get_str(&reader, value.size));
			return node_to_json(shown, alternative, wh_get_bytes(&reader, wh_reader_left(&reader)));
		default:
			return fixed_to_json(pnstrdup(shown->type_name + node->name_at, node->name_size),
								 wh_get_bytes(&reader, wh_reader_left(&reader)));
	}
}

JsonbValue
rowbinary_to_json(const WhColumn *column, const WhType *type, WhSlice value)
{
	Shown		shown = {
		.type_name = (const char *) column->clickhouse_type.data,
		.type = type,
		.as_hex = column->type_oid == BYTEAOID || column->type_oid == BYTEAARRAYOID,
	};

	return node_to_json(&shown, 0, value);
}

/*
 * encode.c - Postgres values as ClickHouse RowBinary, one function a type.
 *
 * Called for every value of every change, so each does its own layout straight from the datum. The layouts are those of
 * ClickHouse's RowBinary format; docs/wire-format.md repeats them.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "encode.h"

/* 2000-01-01 (Postgres) to 1970-01-01 (ClickHouse). */
#define EPOCH_DAYS		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define EPOCH_USECS		(EPOCH_DAYS * USECS_PER_DAY)

/* ClickHouse's Date32 and DateTime64 hold 1900-01-01 to 2299-12-31; days since 1970-01-01. */
#define DATE_DAYS_MIN	(-25567)
#define DATE_DAYS_MAX	120529
#define DATETIME_USECS_MIN	(DATE_DAYS_MIN * USECS_PER_DAY)
#define DATETIME_USECS_MAX	((DATE_DAYS_MAX + INT64CONST(1)) * USECS_PER_DAY - 1)

#ifdef WORDS_BIGENDIAN
#error "Walhouse is written for little-endian machines"
#endif

static inline void
append_bytes(StringInfo out, const void *data, int size)
{
	enlargeStringInfo(out, size);
	memcpy(out->data + out->len, data, size);
	out->len += size;
}

bool
encode_bool(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	uint8		byte = DatumGetBool(value) ? 1 : 0;

	append_bytes(out, &byte, sizeof byte);
	return true;
}

bool
encode_int16(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int16		number = DatumGetInt16(value);

	append_bytes(out, &number, sizeof number);
	return true;
}

/* Also float4: a datum holds its bits. */
bool
encode_int32(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int32		number = DatumGetInt32(value);

	append_bytes(out, &number, sizeof number);
	return true;
}

/* Also float8: a datum holds its bits. */
bool
encode_int64(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int64		number = DatumGetInt64(value);

	append_bytes(out, &number, sizeof number);
	return true;
}

bool
encode_date(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	DateADT		date = DatumGetDateADT(value);
	int64		days = (int64) date + EPOCH_DAYS;
	int32		narrow = (int32) days;

	if (DATE_NOT_FINITE(date) || days < DATE_DAYS_MIN || days > DATE_DAYS_MAX)
		return false;
	append_bytes(out, &narrow, sizeof narrow);
	return true;
}

bool
encode_timestamp(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	Timestamp	timestamp = DatumGetTimestamp(value);
	int64		usecs;

	/* Bounds in Postgres's own count, so that the sum below cannot overflow. Infinities lie outside them. */
	if (timestamp < DATETIME_USECS_MIN - EPOCH_USECS || timestamp > DATETIME_USECS_MAX - EPOCH_USECS)
		return false;
	usecs = timestamp + EPOCH_USECS;
	append_bytes(out, &usecs, sizeof usecs);
	return true;
}

/* ClickHouse keeps a UUID as two little-endian halves. */
bool
encode_uuid(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	pg_uuid_t  *uuid = DatumGetUUIDP(value);
	uint64		halves[2];

	memcpy(halves, uuid->data, sizeof halves);
	halves[0] = pg_bswap64(halves[0]);
	halves[1] = pg_bswap64(halves[1]);
	append_bytes(out, halves, sizeof halves);
	return true;
}

static void
append_text(StringInfo out, const char *text, int size)
{
	/* What was made in another encoding than UTF-8 is converted; a UTF-8 server gets its own bytes back. */
	char	   *converted = pg_server_to_any(text, size, PG_UTF8);

	if (converted != text)
		size = strlen(converted);
	append_varint(out, size);
	append_bytes(out, converted, size);
}

bool
encode_text(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	append_text(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	return true;
}

bool
encode_by_output(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	char	   *text = column_encoder_text(encoder, value);
	int			size = strlen(text);

	append_varint(out, size);
	append_bytes(out, text, size);
	return true;
}

/*
 * numeric(p, s) to an unscaled integer.
 *
 * A numeric on disk is (src/backend/utils/adt/numeric.c, "NumericData"; kept since 9.1 for pg_upgrade): a header word, in the
 * long form a weight word, and base-10000 digits, the first of which counts 10000^weight. numeric_send() would say the
 * same through two allocations and a function call per digit.
 */
#define NUMERIC_SIGN_MASK		0xC000
#define NUMERIC_NEGATIVE		0x4000
#define NUMERIC_SHORT			0x8000
#define NUMERIC_SPECIAL			0xC000
#define NUMERIC_SHORT_NEGATIVE	0x2000
#define NUMERIC_SHORT_WEIGHT_SIGN 0x0040
#define NUMERIC_SHORT_WEIGHT_MASK 0x003F
#define NUMERIC_DIGIT_DECIMALS	4

typedef struct NumericParts
{
	bool		negative;
	int			weight;
	int			digit_count;
	const char *digits;			/* int16 each, perhaps unaligned */
} NumericParts;

/* false: NaN or an infinity. */
static bool
numeric_parts(struct varlena *numeric, NumericParts *parts)
{
	const char *data = VARDATA_ANY(numeric);
	int			size = VARSIZE_ANY_EXHDR(numeric);
	uint16		header;
	int16		weight;

	memcpy(&header, data, sizeof header);
	data += sizeof header;
	size -= sizeof header;
	if ((header & NUMERIC_SIGN_MASK) == NUMERIC_SPECIAL)
		return false;
	if (header & NUMERIC_SHORT)
	{
		parts->negative = (header & NUMERIC_SHORT_NEGATIVE) != 0;
		parts->weight = header & NUMERIC_SHORT_WEIGHT_MASK;
		if (header & NUMERIC_SHORT_WEIGHT_SIGN)
			parts->weight -= NUMERIC_SHORT_WEIGHT_MASK + 1;
	}
	else
	{
		memcpy(&weight, data, sizeof weight);
		data += sizeof weight;
		size -= sizeof weight;
		parts->negative = (header & NUMERIC_SIGN_MASK) == NUMERIC_NEGATIVE;
		parts->weight = weight;
	}
	parts->digits = data;
	parts->digit_count = size / (int) sizeof(int16);
	return true;
}

/* The base-10000 digit that counts 10000^weight. */
static inline int
numeric_digit(const NumericParts *parts, int weight)
{
	int			index = parts->weight - weight;
	int16		digit;

	if (index < 0 || index >= parts->digit_count)
		return 0;
	memcpy(&digit, parts->digits + index * sizeof digit, sizeof digit);
	return digit;
}

/* magnitude = magnitude * factor + addend over 32-bit limbs, least first. false: it does not fit. */
static bool
multiply_add(uint32 *magnitude, int limbs, uint32 factor, uint32 addend)
{
	uint64		carry = addend;

	for (int i = 0; i < limbs; i++)
	{
		carry += (uint64) magnitude[i] * factor;
		magnitude[i] = (uint32) carry;
		carry >>= 32;
	}
	return carry == 0;
}

/*
 * The typmod bounds the value's digits, so it always fits; the checks are for a value that a broken cast let through.
 */
bool
encode_decimal(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	static const int powers[] = {1, 10, 100, 1000, 10000};
	struct varlena *numeric = PG_DETOAST_DATUM_PACKED(value);
	NumericParts parts;
	uint32		magnitude[8] = {0};
	int			limbs = encoder->decimal_width / (int) sizeof(uint32);
	int			scale = encoder->decimal_scale;
	int			weight_last = -(scale / NUMERIC_DIGIT_DECIMALS);
	int			decimals = scale % NUMERIC_DIGIT_DECIMALS;
	bool		fits = true;
	uint32		carry = 1;

	if (!numeric_parts(numeric, &parts))
		return false;
	for (int weight = Max(parts.weight, 0); weight >= weight_last && fits; weight--)
		fits = multiply_add(magnitude, limbs, 10000, numeric_digit(&parts, weight));
	if (decimals > 0 && fits)
		fits = multiply_add(magnitude, limbs, powers[decimals],
							numeric_digit(&parts, weight_last - 1) / powers[NUMERIC_DIGIT_DECIMALS - decimals]);
	if (!fits || magnitude[limbs - 1] > PG_INT32_MAX)
		return false;
	if (parts.negative)
	{
		for (int i = 0; i < limbs; i++)
		{
			magnitude[i] = ~magnitude[i] + carry;
			carry = carry && magnitude[i] == 0;
		}
	}
	append_bytes(out, magnitude, encoder->decimal_width);
	return true;
}

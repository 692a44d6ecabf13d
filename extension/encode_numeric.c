/*
 * encode_numeric.c - numeric and money as ClickHouse's Decimal.
 */
#include "postgres.h"

#include "utils/cash.h"

#include "compat.h"
#include "encode.h"

/*
 * money counts the smallest unit. How many of them make a whole is not stored but asked of lc_monetary whenever it is printed,
 * so it is said once for all: two decimals, as under lc_monetary C.
 */
bool
encode_money(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int64		units[2] = {DatumGetCash(value)};

	units[1] = units[0] < 0 ? -1 : 0;
	append_bytes(out, units, sizeof units);
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

/* Does the value have digits, none of them zero, behind its scale? */
static bool
has_more_decimals(const NumericParts *parts, int scale)
{
	static const int rest[] = {10000, 1000, 100, 10};
	int			weight = -(scale / NUMERIC_DIGIT_DECIMALS) - 1;

	if (parts->digit_count == 0 || parts->weight - parts->digit_count >= weight)
		return false;
	/* Trailing zero digits are never stored, so a digit behind this one says it all. */
	return parts->weight - parts->digit_count + 1 < weight ||
		numeric_digit(parts, weight) % rest[scale % NUMERIC_DIGIT_DECIMALS] != 0;
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

	if (!numeric_parts(numeric, &parts) || has_more_decimals(&parts, scale))
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

/*
 * encode.c - Postgres values as ClickHouse RowBinary, one function a type.
 *
 * Called for every value of every change, so each does its own layout straight from the datum. The layouts are those of
 * ClickHouse's RowBinary format; docs/wire-format.md repeats them.
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "encode.h"
#include "utf8.h"

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

/* Also float4 and what is unsigned: a datum holds the bits. */
bool
encode_int32(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int32		number = DatumGetInt32(value);

	append_bytes(out, &number, sizeof number);
	return true;
}

/* Also float8 and what is unsigned: a datum holds the bits. */
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

/* The first or the last day that there is; the infinities are on their side of it. */
bool
clamp_date(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int32		days = DatumGetDateADT(value) < 0 ? DATE_DAYS_MIN : DATE_DAYS_MAX;

	append_bytes(out, &days, sizeof days);
	return true;
}

bool
clamp_timestamp(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int64		usecs = DatumGetTimestamp(value) < 0 ? DATETIME_USECS_MIN : DATETIME_USECS_MAX;

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
	text = utf8_from_server(text, &size);
	append_varint(out, size);
	append_bytes(out, text, size);
}

bool
encode_text(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	append_text(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	return true;
}

bool
encode_bytea(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	append_varint(out, VARSIZE_ANY_EXHDR(bytes));
	append_bytes(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return true;
}

/*
 * "char" is one byte of no encoding. From 16 on Postgres prints those above 127 as a backslash and octal digits; before, it
 * sent them as they are, which is no text. Zero is the empty text.
 */
bool
encode_char(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	uint8		byte = (uint8) DatumGetChar(value);
	char		text[4] = {(char) byte};
	int			size = byte ? 1 : 0;

	if (byte > 127)
	{
		text[0] = '\\';
		text[1] = '0' + (byte >> 6);
		text[2] = '0' + (byte >> 3 & 7);
		text[3] = '0' + (byte & 7);
		size = 4;
	}
	append_varint(out, size);
	append_bytes(out, text, size);
	return true;
}

bool
encode_by_output(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	int			size;
	const char *text = column_encoder_text(encoder, value, &size);

	append_varint(out, size);
	append_bytes(out, text, size);
	return true;
}

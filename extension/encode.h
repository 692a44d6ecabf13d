/*
 * encode.h - values of one column as ClickHouse RowBinary.
 */
#ifndef WALHOUSE_ENCODE_H
#define WALHOUSE_ENCODE_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

typedef struct ColumnEncoder ColumnEncoder;

/* Appends value to out. false: its ClickHouse type cannot hold it, and nothing was appended. */
typedef bool (*EncodeFunction) (const ColumnEncoder *encoder, Datum value, StringInfo out);

/* Chosen once per schema version, so that no catalog is looked up per value. */
struct ColumnEncoder
{
	AttrNumber	attnum;
	bool		nullable;
	bool		by_reference;	/* varlena: may be out of line */
	EncodeFunction encode;
	int			default_width;	/* zero bytes of the type's default; 1 for String: the length 0 */
	int			decimal_scale;
	int			decimal_width;	/* 4, 8, 16 or 32 bytes */
	FmgrInfo	output;			/* the type's output function */
	char	   *clickhouse_type;	/* without Nullable() */
};

/*
 * Fills *encoder for a column, allocating in context. The mapping is the table in docs/types.md.
 */
extern void column_encoder_init(ColumnEncoder *encoder, Form_pg_attribute attribute, MemoryContext context);

/* The exact text of a value, in UTF-8, palloc'ed. */
extern char *column_encoder_text(const ColumnEncoder *encoder, Datum value);

/* Appends the type's default: NULL for a nullable column. */
extern void column_encoder_default(const ColumnEncoder *encoder, StringInfo out);

/* encode.c: the encoders that typemap.c chooses from. */
extern bool encode_bool(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int16(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int32(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int64(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_date(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_timestamp(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_uuid(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_decimal(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_text(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_by_output(const ColumnEncoder *encoder, Datum value, StringInfo out);

/* Appends a varint. */
static inline void
append_varint(StringInfo out, uint64 value)
{
	char	   *p;

	enlargeStringInfo(out, 10);
	p = out->data + out->len;
	while (value >= 0x80)
	{
		*p++ = (char) (value | 0x80);
		value >>= 7;
	}
	*p++ = (char) value;
	out->len = p - out->data;
}

#endif

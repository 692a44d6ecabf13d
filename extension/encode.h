/*
 * encode.h - values of one column as ClickHouse RowBinary.
 */
#ifndef WALHOUSE_ENCODE_H
#define WALHOUSE_ENCODE_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

typedef struct ColumnEncoder ColumnEncoder;

/* What becomes of a value that its ClickHouse type cannot hold; the pipeline's out_of_range. */
typedef enum OutOfRangePolicy
{
	OUT_OF_RANGE_DLQ,			/* the row becomes a dead letter */
	OUT_OF_RANGE_NULL,			/* NULL, where the column has it */
	OUT_OF_RANGE_CLAMP			/* the nearest value; NULL where there is none */
} OutOfRangePolicy;

/* Appends value to out. false: its ClickHouse type cannot hold it, and what was appended is to be taken away. */
typedef bool (*EncodeFunction) (const ColumnEncoder *encoder, Datum value, StringInfo out);

/* Chosen once per schema version, so that no catalog is looked up per value. */
struct ColumnEncoder
{
	AttrNumber	attnum;
	bool		nullable;		/* its ClickHouse type is Nullable() */
	bool		by_reference;	/* varlena: may be out of line */
	bool		in_key;
	EncodeFunction encode;
	EncodeFunction clamp;		/* the nearest value; NULL: there is none */
	int			default_width;	/* bytes of the type's default, each default_byte */
	uint8		default_byte;
	int			decimal_scale;
	int			decimal_width;	/* 4, 8, 16 or 32 bytes */
	ColumnEncoder *element;		/* of an array */
	int16		element_length; /* how Postgres stores the elements */
	bool		element_by_value;
	char		element_align;
	FmgrInfo	output;			/* the type's output function */
	char	   *clickhouse_type;	/* without Nullable() */
};

/*
 * Fills *encoder for a column, allocating in context. The mapping is the table in docs/types.md.
 */
extern void column_encoder_init(ColumnEncoder *encoder, Form_pg_attribute attribute, bool in_key, MemoryContext context);

/* The exact text of a value, in UTF-8, palloc'ed. */
extern const char *column_encoder_text(const ColumnEncoder *encoder, Datum value, int *size);

/* Appends the type's default: NULL where it has that. */
extern void column_encoder_default(const ColumnEncoder *encoder, StringInfo out);

/* Appends what policy puts in the place of a value that encode refused. false: nothing, and nothing was appended. */
extern bool column_encoder_adjust(const ColumnEncoder *encoder, OutOfRangePolicy policy, Datum value, StringInfo out);

/* The encoders that typemap.c chooses from; encode.c but for what is said. */
extern bool encode_bool(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int16(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int32(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_int64(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_date(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_timestamp(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_uuid(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_char(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_bytea(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_text(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_by_output(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool clamp_date(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool clamp_timestamp(const ColumnEncoder *encoder, Datum value, StringInfo out);
/* encode_numeric.c */
extern bool encode_decimal(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_money(const ColumnEncoder *encoder, Datum value, StringInfo out);
/* encode_array.c: Array(T), refusing what it cannot hold, and Variant(Array(T), String), which holds everything */
extern bool encode_array(const ColumnEncoder *encoder, Datum value, StringInfo out);
extern bool encode_array_or_text(const ColumnEncoder *encoder, Datum value, StringInfo out);
/* Array(T) whose elements policy has adjusted; false: the array has a shape that Array(T) cannot have. */
extern bool adjust_array(const ColumnEncoder *encoder, OutOfRangePolicy policy, Datum value, StringInfo out);

static inline void
append_bytes(StringInfo out, const void *data, int size)
{
	enlargeStringInfo(out, size);
	memcpy(out->data + out->len, data, size);
	out->len += size;
}

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

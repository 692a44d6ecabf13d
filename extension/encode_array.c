/*
 * encode_array.c - arrays as ClickHouse's Array(Nullable(T)), element by element.
 *
 * A Postgres array may have several dimensions and any lower bounds, whatever its column was declared as; an Array has one
 * dimension, from 1. The rest is refused, or is the exact text that a Variant(Array(Nullable(T)), String) can hold as well.
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "utils/array.h"

#include "common/rowbinary.h"
#include "encode.h"

/* Alternatives of the Variant, in the order of their names. */
#define VARIANT_ARRAY	0
#define VARIANT_TEXT	1

/* Could an Array have the shape of this one? *count: its elements. */
static bool
has_plain_shape(ArrayType *array, int *count)
{
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return *count == 0 || (ARR_NDIM(array) == 1 && ARR_LBOUND(array)[0] == 1);
}

static bool
append_element(const ColumnEncoder *element, OutOfRangePolicy policy, Datum value, StringInfo out)
{
	int			start = out->len;

	appendStringInfoCharMacro(out, 0);
	if (element->encode(element, value, out))
		return true;
	out->len = start;
	return policy != OUT_OF_RANGE_DLQ && column_encoder_adjust(element, policy, value, out);
}

/* Appends count and elements. false: an element was refused. */
static bool
append_elements(const ColumnEncoder *encoder, ArrayType *array, int count, OutOfRangePolicy policy, StringInfo out)
{
	const bits8 *not_null = ARR_NULLBITMAP(array);
	char	   *at = ARR_DATA_PTR(array);

	append_varint(out, count);
	for (int i = 0; i < count; i++)
	{
		if (not_null && !(not_null[i / 8] & (1 << (i % 8))))
		{
			appendStringInfoCharMacro(out, 1);
			continue;
		}
		if (!append_element(encoder->element, policy,
							fetch_att(at, encoder->element_by_value, encoder->element_length), out))
			return false;
		at = att_addlength_pointer(at, encoder->element_length, at);
		at = (char *) att_align_nominal(at, encoder->element_align);
	}
	return true;
}

bool
encode_array(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	return adjust_array(encoder, OUT_OF_RANGE_DLQ, value, out);
}

bool
adjust_array(const ColumnEncoder *encoder, OutOfRangePolicy policy, Datum value, StringInfo out)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			count;

	return has_plain_shape(array, &count) && append_elements(encoder, array, count, policy, out);
}

bool
encode_array_or_text(const ColumnEncoder *encoder, Datum value, StringInfo out)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			start = out->len;
	int			count;

	if (has_plain_shape(array, &count))
	{
		appendStringInfoCharMacro(out, VARIANT_ARRAY);
		if (append_elements(encoder, array, count, OUT_OF_RANGE_DLQ, out))
			return true;
		out->len = start;
	}
	appendStringInfoCharMacro(out, VARIANT_TEXT);
	return encode_by_output(encoder, PointerGetDatum(array), out);
}

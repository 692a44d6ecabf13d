/*
 * row.c - one row as a RowBinary body, with the lists of what the body cannot say; see row.h.
 *
 *		values --> encoder of each column --> body
 *		                  |-- left out of line by the WAL ----------> unchanged list, default in the body
 *		                  '-- what its ClickHouse type cannot hold --> out-of-range list, what the policy says in the body
 */
#include "postgres.h"

#include "access/detoast.h"

#include "common/event.h"
#include "compat.h"
#include "row.h"

void
row_encoder_init(RowEncoder *row, bool fetch_out_of_line)
{
	memset(row, 0, sizeof *row);
	row->fetch_out_of_line = fetch_out_of_line;
	initStringInfo(&row->body);
	initStringInfo(&row->unchanged);
	initStringInfo(&row->out_of_range);
}

void
row_reset(RowEncoder *row)
{
	resetStringInfo(&row->body);
	resetStringInfo(&row->unchanged);
	resetStringInfo(&row->out_of_range);
	row->unchanged_count = 0;
	row->out_of_range_count = 0;
	row->adjusted_count = 0;
}

uint8
row_flags(const RowEncoder *row)
{
	uint8		flags = 0;

	if (row->unchanged_count > 0)
		flags |= WH_EVENT_HAS_UNCHANGED;
	if (row->out_of_range_count > 0)
		flags |= WH_EVENT_HAS_OUT_OF_RANGE;
	/* One value that could not be adjusted makes the whole row a dead letter. */
	if (row->out_of_range_count > 0 && row->adjusted_count == row->out_of_range_count)
		flags |= WH_EVENT_ADJUSTED;
	return flags;
}

static void
add_out_of_range(RowEncoder *row, const ColumnEncoder *encoder, int column, Datum value)
{
	char	   *text = column_encoder_text(encoder, value);
	int			size = strlen(text);

	append_varint(&row->out_of_range, column);
	append_varint(&row->out_of_range, size);
	appendBinaryStringInfo(&row->out_of_range, text, size);
	row->out_of_range_count++;
}

static void
add_unchanged(RowEncoder *row, int column)
{
	append_varint(&row->unchanged, column);
	row->unchanged_count++;
}

static void
encode_column(RowEncoder *row, const ColumnEncoder *encoder, int column, const Datum *values, const bool *nulls,
			  const Datum *old_values, const bool *old_nulls)
{
	int			index = encoder->attnum - 1;
	Datum		value = values[index];
	int			start = row->body.len;

	if (nulls[index])
	{
		column_encoder_default(encoder, &row->body);
		return;
	}
	if (encoder->by_reference && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)) && !row->fetch_out_of_line)
	{
		bool		old_is_here = old_values && !old_nulls[index] &&
			!VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(old_values[index]));

		if (!old_is_here)
		{
			add_unchanged(row, column);
			column_encoder_default(encoder, &row->body);
			return;
		}
		value = old_values[index];
	}
	if (encoder->nullable)
		appendStringInfoCharMacro(&row->body, 0);
	if (encoder->encode(encoder, value, &row->body))
		return;
	row->body.len = start;
	add_out_of_range(row, encoder, column, value);
	if (column_encoder_adjust(encoder, row->policy, value, &row->body))
		row->adjusted_count++;
	else
		column_encoder_default(encoder, &row->body);
}

int
row_encode(RowEncoder *row, const RelationVersion *version, int count, const Datum *values, const bool *nulls,
		   const Datum *old_values, const bool *old_nulls)
{
	int			key_size = 0;

	row_reset(row);
	for (int i = 0; i < count; i++)
	{
		encode_column(row, &version->columns[i], i, values, nulls, old_values, old_nulls);
		if (i == version->key_column_count - 1)
			key_size = row->body.len;
	}
	return key_size;
}

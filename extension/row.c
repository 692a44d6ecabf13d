/*
 * row.c - one row as a RowBinary body, with the lists of what the body cannot say; see row.h.
 *
 *		values --> encoder of each column --> body
 *		                  |-- left out of line by the WAL ----------> unchanged list, default in the body
 *		                  '-- what its ClickHouse type cannot hold --> out-of-range list, what the policy says in the body
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/memutils.h"

#include "common/event.h"
#include "compat.h"
#include "row.h"

/*
 * What is encoded of one row's out-of-line values, in bytes; a row that has more could take more than the gigabyte that a
 * buffer holds, and no message is that large. Some types grow as text, so this leaves room.
 */
#define OUT_OF_LINE_BYTES_MAX	(64 * 1024 * 1024)

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
	row->out_of_line_bytes = 0;
	row->left_out_bytes = 0;
}

void
row_shrink_buffers(RowEncoder *row)
{
	StringInfo	buffers[] = {&row->body, &row->out_of_range};

	for (int i = 0; i < lengthof(buffers); i++)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(buffers[i]->data));

		pfree(buffers[i]->data);
		initStringInfo(buffers[i]);
		MemoryContextSwitchTo(old);
	}
	row_reset(row);
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
	int			size;
	const char *text = column_encoder_text(encoder, value, &size);

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

/*
 * A value that is not in the tuple itself: put together from the WAL, or taken from the old tuple, or from the TOAST table
 * where that can be read. false: it cannot be had, or the row has become too large for it.
 */
static bool
take_out_of_line(RowEncoder *row, const ColumnEncoder *encoder, int column, Datum *value, const Datum *old_values,
				 const bool *old_nulls)
{
	int			index = encoder->attnum - 1;
	Size		size;

	if (VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(*value)) && !row->fetch_out_of_line)
	{
		bool		old_is_here = old_values && !old_nulls[index] &&
			!VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(old_values[index]));

		if (!old_is_here)
		{
			add_unchanged(row, column);
			column_encoder_default(encoder, &row->body);
			return false;
		}
		*value = old_values[index];
	}
	size = toast_raw_datum_size(*value);
	if (row->out_of_line_bytes + size > OUT_OF_LINE_BYTES_MAX)
	{
		row->left_out_bytes += size;
		return false;
	}
	row->out_of_line_bytes += size;
	return true;
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
	if (encoder->by_reference && VARATT_IS_EXTERNAL(DatumGetPointer(value)) &&
		!take_out_of_line(row, encoder, column, &value, old_values, old_nulls))
		return;
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

/*
 * row.h - one row as a RowBinary body, with the lists of what the body cannot say.
 */
#ifndef WALHOUSE_ROW_H
#define WALHOUSE_ROW_H

#include "lib/stringinfo.h"

#include "relcache.h"

/* The row being encoded; its buffers are used again for every row. */
typedef struct RowEncoder
{
	bool		fetch_out_of_line;	/* an ordinary snapshot can read TOAST tables; a historic one cannot */
	OutOfRangePolicy policy;	/* OUT_OF_RANGE_DLQ unless set after row_encoder_init() */
	StringInfoData body;
	StringInfoData unchanged;	/* varint column indexes */
	int			unchanged_count;
	StringInfoData out_of_range;	/* (varint column index, str text) */
	int			out_of_range_count;
	int			adjusted_count; /* of those, how many the policy found a value for */
	uint64		out_of_line_bytes;	/* of values out of line that were encoded */
	uint64		left_out_bytes; /* of those that were not, because together they are too large; 0: the body is whole */
} RowEncoder;

/* The flags of the event that the row becomes. */
extern uint8 row_flags(const RowEncoder *row);

/* Allocates in the current memory context. */
extern void row_encoder_init(RowEncoder *row, bool fetch_out_of_line);
/* Empties body and lists. */
extern void row_reset(RowEncoder *row);
extern void row_shrink_buffers(RowEncoder *row);

/* A row's buffers are kept up to this size. */
#define ROW_KEPT_BYTES_MAX	(16 * 1024 * 1024)

/* After a row has been taken: gives back the buffers of a very large one. */
static inline void
row_shrink(RowEncoder *row)
{
	if (unlikely(row->body.maxlen > ROW_KEPT_BYTES_MAX || row->out_of_range.maxlen > ROW_KEPT_BYTES_MAX))
		row_shrink_buffers(row);
}

/*
 * Encodes the first count columns of version; returns how many bytes of the body are the key. values and nulls are indexed
 * by attribute number - 1. old_values may be NULL; it holds what the new tuple left out of line.
 */
extern int	row_encode(RowEncoder *row, const RelationVersion *version, int count, const Datum *values, const bool *nulls,
					   const Datum *old_values, const bool *old_nulls);

#endif

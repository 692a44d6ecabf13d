/*
 * row_filter.h - the WHERE of a publication, applied to decoded rows.
 */
#ifndef WALHOUSE_ROW_FILTER_H
#define WALHOUSE_ROW_FILTER_H

#include "published.h"

typedef struct RowFilter RowFilter;

/* A tuple's values by attribute number - 1. values NULL: there is no such tuple. */
typedef struct RowValues
{
	const Datum *values;
	const bool *nulls;
} RowValues;

/*
 * filters: by FilterAction, as find_published() gives them, at least one not NIL; expressions over published_as.
 * tuple_attnums: for each of its columns the attribute number in the tuples to come, 0 for a dropped one. Everything is
 * allocated in the current memory context and dies with it.
 */
extern RowFilter *row_filter_create(List *const *filters, Relation published_as, const AttrNumber *tuple_attnums);

/*
 * What becomes of a change: REORDER_BUFFER_CHANGE_INSERT, _UPDATE or _DELETE as before, an update made an insert or a
 * delete because the row enters or leaves what is published, or -1: nothing is published.
 */
extern int	row_filter_apply(RowFilter *filter, int action, RowValues old, RowValues new);

#endif

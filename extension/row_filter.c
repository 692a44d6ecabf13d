/*
 * row_filter.c - the WHERE of a publication, applied to decoded rows; see row_filter.h.
 *
 *		                      new row passes          new row does not
 *		old row passes        update                  delete
 *		old row does not      insert                  nothing
 *
 * The WAL holds an old row when the update changed its replica identity, or under REPLICA IDENTITY FULL. Postgres sees to it
 * that a filter for updates and deletes uses columns of the replica identity only, so without an old row the old one passed
 * exactly if the new one does.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "replication/reorderbuffer.h"

#include "compat.h"
#include "row_filter.h"

/* A column that an expression uses. */
typedef struct FilterColumn
{
	int			index;			/* in the published relation */
	int			tuple_index;	/* in the tuple */
	bool		by_reference;
} FilterColumn;

struct RowFilter
{
	EState	   *estate;
	ExprState  *states[FILTER_ACTIONS]; /* NULL: every row passes */
	TupleTableSlot *slot;
	FilterColumn *columns;
	int			column_count;
};

/* The columns that the expressions use: all, if one uses the row as a whole. */
static void
find_columns(RowFilter *filter, List *const *filters, TupleDesc desc, const AttrNumber *tuple_attnums)
{
	Bitmapset  *used = NULL;
	bool		whole_row;

	for (int i = 0; i < FILTER_ACTIONS; i++)
		pull_varattnos((Node *) filters[i], 1, &used);
	whole_row = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	filter->columns = palloc(sizeof(FilterColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		if (tuple_attnums[i] == 0 || !(whole_row || bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used)))
			continue;
		filter->columns[filter->column_count++] = (FilterColumn)
		{
			.index = i,
			.tuple_index = tuple_attnums[i] - 1,
			.by_reference = TupleDescAttr(desc, i)->attlen == -1,
		};
	}
}

RowFilter *
row_filter_create(List *const *filters, Relation published_as, const AttrNumber *tuple_attnums)
{
	RowFilter  *filter = palloc0(sizeof *filter);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(published_as));
	List	   *expanded[FILTER_ACTIONS];

	filter->estate = CreateExecutorState();
	filter->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	for (int i = 0; i < FILTER_ACTIONS; i++)
	{
		/* A copy: preparing an expression leaves its constants where they are. */
		expanded[i] = expand_virtual_columns(copyObject(filters[i]), published_as);
		if (expanded[i] != NIL)
			filter->states[i] = ExecPrepareExpr(make_orclause(expanded[i]), filter->estate);
	}
	find_columns(filter, expanded, desc, tuple_attnums);
	return filter;
}

static inline bool
is_out_of_line(Datum value)
{
	return VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value));
}

/*
 * Puts a row into the slot. What the WAL left out of the new row, because it is out of line and did not change, is in the
 * old one if it belongs to the replica identity. false: a value that the filter uses is in neither.
 */
static bool
store_row(RowFilter *filter, RowValues row, RowValues old)
{
	TupleTableSlot *slot = filter->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	for (int i = 0; i < filter->column_count; i++)
	{
		const FilterColumn *column = &filter->columns[i];
		int			from = column->tuple_index;
		Datum		value = row.values[from];

		if (row.nulls[from])
			continue;
		if (column->by_reference && is_out_of_line(value))
		{
			if (old.values == NULL || old.nulls[from] || is_out_of_line(old.values[from]))
				return false;
			value = old.values[from];
		}
		slot->tts_values[column->index] = value;
		slot->tts_isnull[column->index] = false;
	}
	ExecStoreVirtualTuple(slot);
	return true;
}

/*
 * NULL counts as false. A value that cannot be had is no reason to lose a change: the row passes. Postgres's rules for filters
 * do not let that happen.
 */
static bool
row_passes(RowFilter *filter, ExprState *state, RowValues row, RowValues old)
{
	ExprContext *context = GetPerTupleExprContext(filter->estate);
	bool		is_null;
	Datum		result;

	if (!store_row(filter, row, old))
		return true;
	context->ecxt_scantuple = filter->slot;
	result = ExecEvalExprSwitchContext(state, context, &is_null);
	return !is_null && DatumGetBool(result);
}

int
row_filter_apply(RowFilter *filter, int action, RowValues old, RowValues new)
{
	static const RowValues none = {NULL, NULL};
	ExprState  *state;
	bool		old_passes,
				new_passes;

	state = filter->states[action == REORDER_BUFFER_CHANGE_INSERT ? FILTER_INSERT :
						   action == REORDER_BUFFER_CHANGE_UPDATE ? FILTER_UPDATE : FILTER_DELETE];
	if (state == NULL)
		return action;
	ResetPerTupleExprContext(filter->estate);
	if (action == REORDER_BUFFER_CHANGE_DELETE)
		return row_passes(filter, state, old, none) ? action : -1;
	new_passes = row_passes(filter, state, new, old);
	if (action == REORDER_BUFFER_CHANGE_INSERT || old.values == NULL)
		return new_passes ? action : -1;
	old_passes = row_passes(filter, state, old, none);
	if (old_passes && new_passes)
		return action;
	if (!old_passes && !new_passes)
		return -1;
	return new_passes ? REORDER_BUFFER_CHANGE_INSERT : REORDER_BUFFER_CHANGE_DELETE;
}

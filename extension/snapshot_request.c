/*
 * snapshot_request.c - what a snapshot's request is checked for and estimated at.
 *
 *		walhouse._condition(relation, text): one expression of type boolean on the relation's rows --> its text with every name
 *		qualified, for the publisher reads under another search path than whoever asked.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "optimizer/plancat.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

PG_FUNCTION_INFO_V1(walhouse_condition);
PG_FUNCTION_INFO_V1(walhouse_estimate_rows);

/* The one expression that text is; an error where it is more, or something else. */
static Node *
parse_expression(const char *text)
{
	List	   *parsed = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	ResTarget  *target;

	if (list_length(select->targetList) != 1 || select->distinctClause || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause || select->sortClause || select->limitCount ||
		select->limitOffset || select->lockingClause)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" is not a condition", text),
				 errhint("Give one expression as it would stand after WHERE.")));
	target = linitial_node(ResTarget, select->targetList);
	return target->val;
}

static char *
deparse_qualified(Node *expression, const char *table_name, Oid relid)
{
	int			nest_level = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("quote_all_identifiers", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = deparse_expression(expression, deparse_context_for(table_name, relid), false, false);
	AtEOXact_GUC(true, nest_level);
	return text;
}

/* Where the parser points is in the condition, not in the query that holds it. */
static void
condition_error(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
	errcontext("condition of a snapshot");
}

Datum
walhouse_condition(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *condition = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Relation	relation = table_open(relid, AccessShareLock);
	ParseState *state = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expression;
	char	   *result;
	ErrorContextCallback callback = {.previous = error_context_stack,.callback = condition_error,.arg = condition};

	error_context_stack = &callback;
	state->p_sourcetext = condition;
	item = addRangeTableEntryForRelation(state, relation, AccessShareLock, NULL, false, true);
	addNSItemToQuery(state, item, true, true, true);
	expression = transformWhereClause(state, parse_expression(condition), EXPR_KIND_WHERE, "WHERE");
	assign_expr_collations(state, expression);
	error_context_stack = callback.previous;
	result = deparse_qualified(expression, RelationGetRelationName(relation), relid);
	free_parsestate(state);
	table_close(relation, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* The planner's estimate, from the table's size now; -1: it cannot be asked without waiting. */
static double
estimate_one(Oid relid)
{
	Relation	relation;
	BlockNumber pages;
	double		tuples = 0;
	double		all_visible;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return -1;
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
		return -1;
	if (relation->rd_rel->relkind == RELKIND_RELATION)
		estimate_rel_size(relation, NULL, &pages, &tuples, &all_visible);
	relation_close(relation, NoLock);
	return tuples;
}

/* walhouse._estimate_rows(relation oid) returns bigint, NULL when it cannot be said now */
Datum
walhouse_estimate_rows(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	double		tuples = 0;
	List	   *relids = list_make1_oid(relid);
	ListCell   *cell;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		relids = find_all_inheritors(relid, NoLock, NULL);
	foreach(cell, relids)
	{
		double		one = estimate_one(lfirst_oid(cell));

		if (one < 0)
			PG_RETURN_NULL();
		tuples += one;
	}
	PG_RETURN_INT64((int64) tuples);
}

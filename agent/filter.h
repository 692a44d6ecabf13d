/*
 * filter.h - which rows of a table are loaded: a condition over the columns that they have in Postgres.
 *
 *      text --parse, columns and literals checked--> Filter        Filter + values of a row --> loaded or not
 *
 *      condition  = term { "or" term }              term       = factor { "and" factor }
 *      factor     = [ "not" ] ( "(" condition ")" | comparison )
 *      comparison = column ( "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" ) literal
 *                 | column "is" [ "not" ] "null"  |  column [ "not" ] "in" "(" literal { "," literal } ")"
 *
 * Literals are numbers, 'texts' (a quote in one is doubled), true and false; a column's name may stand in
 * "double quotes". As in SQL a comparison with NULL is neither true nor false, and a row is loaded when the
 * whole is true.
 */
#ifndef WALHOUSE_AGENT_FILTER_H
#define WALHOUSE_AGENT_FILTER_H

#include "agent/status.h"
#include "extension/common/schema.h"

#define FILTER_NODES_MAX 1000 /* comparisons and connections of one condition */
#define FILTER_DEPTH_MAX 50   /* parentheses in each other */
#define FILTER_NO_COLUMN UINT32_MAX

typedef struct Filter Filter;

/*
 * The index in the schema of the column that the name means, or FILTER_NO_COLUMN for one that this version of
 * the table does not have: NULL in every row. false: *error says that there is no such column.
 */
typedef bool (*FilterResolve)(void *context, WhSlice name, uint32_t *column, Error *error);

/* NULL: *error says what is wrong. */
Filter *filter_compile(const char *text, const WhSchema *schema, FilterResolve resolve, void *context,
                       Error *error);
void filter_free(Filter *filter);

/* values are those of a whole row, one a column of the schema, each with its NULL byte where it has one. */
bool filter_matches(const Filter *filter, const WhSlice *values);

/* Does the answer depend on this column? */
bool filter_reads(const Filter *filter, uint32_t column);

#endif

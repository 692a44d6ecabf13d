/*
 * expression.h - expressions of ClickHouse's that stand in the configuration (ORDER BY, PARTITION BY, TTL,
 * codecs): which columns they read, and their text with names as the table has them.
 *
 * ClickHouse says whether an expression is one. Here it is cut into names, texts, numbers and signs, so that
 * each column is known, and so that it cannot end the statement that it is put into.
 */
#ifndef WALHOUSE_AGENT_EXPRESSION_H
#define WALHOUSE_AGENT_EXPRESSION_H

#include "agent/status.h"
#include "agent/text.h"
#include "extension/common/wire.h"

/*
 * What to write for a column; alone: it is an element of its own between commas, not part of a larger one.
 * false: *error says why it may not stand there.
 */
typedef bool (*ExpressionColumn)(void *context, WhSlice name, bool alone, Text *sql, Error *error);

/*
 * Appends the expression to sql. A name is a column unless "(" follows, or it is INTERVAL or one of its units
 * behind a number. visit NULL: there are no columns in it, and every name stays as it is.
 */
Status expression_append(const char *expression, ExpressionColumn visit, void *context, Text *sql,
                         Error *error);

#endif

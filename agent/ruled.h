/*
 * ruled.h - a schema version under the rules of its table: its Target and its RowMap, or why it cannot have
 * them.
 *
 *      TableSchema, copied as it is --> rules of its table? --> Target shaped, RowMap made
 *                                                          \--> rules_error: the table is stopped until the
 * rules fit
 */
#ifndef WALHOUSE_AGENT_RULED_H
#define WALHOUSE_AGENT_RULED_H

#include "agent/registry.h"
#include "agent/shape.h"

/*
 * Shapes table->target, which target_copy() made, and sets table->map; where the rules do not fit the schema,
 * sets table->rules_error. Without rules nothing changes. STATUS_FATAL: out of memory.
 */
Status ruled_apply(TableSchema *table, const Rules *rules, Relation relation, Error *error);

/* Can the new target take the place of the old one while rows are loaded? STATUS_STOP: *error says what
 * cannot be changed. */
Status ruled_can_follow(const TableSchema *old, const TableSchema *fresh, Error *error);

/* Would two tables that are not one table's versions be the same view? */
bool ruled_are_rivals(const TableSchema *table, const TableSchema *other);
/* Gives the table a rules_error that names both. STATUS_FATAL: out of memory. */
Status ruled_refuse_rival(TableSchema *table, const TableSchema *other, Error *error);

#endif

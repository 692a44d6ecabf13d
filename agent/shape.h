/*
 * shape.h - rules meet a schema: the columns that the table in ClickHouse gets, its layout, and the RowMap
 * that makes its rows.
 *
 *      TableRules + schema version + all known versions of the relation --> Shape, or what is wrong
 *
 * A rule names a column as it is called in Postgres, in this version of the table or in another one: it
 * follows the column by its attribute number, so that a rename takes no mask off.
 */
#ifndef WALHOUSE_AGENT_SHAPE_H
#define WALHOUSE_AGENT_SHAPE_H

#include "agent/rowmap.h"
#include "agent/rules.h"
#include "agent/text.h"

#define SHAPE_CONSTANT UINT32_MAX

typedef struct ShapeColumn {
    uint32_t source;       /* index in the schema, or SHAPE_CONSTANT */
    WhSlice name;          /* borrowed from schema or rules, as are the texts below */
    char *type;            /* in ClickHouse, with Nullable(); owned */
    const char *view_name; /* NULL: the name */
    const char *codec;     /* NULL: none */
} ShapeColumn;

typedef struct Shape {
    ShapeColumn *columns; /* in the order of a row: the schema's, then constants */
    size_t column_count;
    char *order_by;     /* SQL, owned; NULL: the key */
    char *partition_by; /* NULL: none */
    char *ttl;          /* NULL: none */
    RowMap *map;
} Shape;

/* What is known of one relation: its schema versions, the one that is shaped among them. */
typedef struct Relation {
    const WhSchema *const *versions;
    size_t count;
} Relation;

/* STATUS_STOP: *error names table, column and what is wrong; STATUS_FATAL: out of memory. shape_free() it in
 * any case. */
Status shape_build(Shape *shape, const Rules *rules, const TableRules *table, const WhSchema *schema,
                   const WhType *types, Relation relation, Error *error);
void shape_free(Shape *shape);

/*
 * The section for a table: that of its name, or else of a name that the relation has had, so that a renamed
 * table keeps its masks. NULL: none.
 */
const TableRules *shape_rules(const Rules *rules, const WhSchema *schema, Relation relation);

#endif

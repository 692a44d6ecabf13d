/*
 * shape_internal.h - what the makers of a Shape share: shape.c makes columns, shape_layout.c the expressions
 * that rules write over them.
 */
#ifndef WALHOUSE_AGENT_SHAPE_INTERNAL_H
#define WALHOUSE_AGENT_SHAPE_INTERNAL_H

#include "agent/shape.h"

typedef struct ShapeBuilder {
    Shape *shape;
    const Rules *rules;
    const TableRules *table;
    const WhSchema *schema;
    const WhType *types;
    Relation relation;
    Error *error;
} ShapeBuilder;

/* STATUS_STOP: the builder's error says which table it is, and this. */
__attribute__((format(printf, 2, 3))) Status shape_refuse(ShapeBuilder *b, const char *format, ...);
/* That what names a column which the table does not have. */
Status shape_refuse_unknown(ShapeBuilder *b, const char *what, WhSlice name);
Status shape_out_of_memory(ShapeBuilder *b);

/*
 * The column of this version that a name means: the one that is called so now, else one that was. NULL: this
 * version has none, or nothing was ever called so.
 */
const WhColumn *shape_resolve(const ShapeBuilder *b, WhSlice name);
/* Was any column called so, in any version of the table? */
bool shape_is_known(Relation relation, WhSlice name);

/* When the columns are there: sorting, partitions, TTL and codecs; the filter. */
Status shape_build_layout(ShapeBuilder *b);
Status shape_build_filter(ShapeBuilder *b);

#endif

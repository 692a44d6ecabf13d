/*
 * rowbinary.h - how long a RowBinary value of a ClickHouse type is, and what its default looks like.
 *
 * The agent checks every body against its schema before it joins a batch, so that a damaged row is one dead
 * letter and not a failed or, worse, misread insert. Source of the layouts: ClickHouse's documentation of the
 * RowBinary format; the types are those of docs/wire-format.md.
 */
#ifndef WALHOUSE_COMMON_ROWBINARY_H
#define WALHOUSE_COMMON_ROWBINARY_H

#include "wire.h"

#define WH_TYPE_NODES_MAX 8   /* Variant(Array(Nullable(T)), String) takes 4 */
#define WH_VARIANT_NULL   255 /* the discriminator of a Variant without value */

typedef enum WhTypeKind {
    WH_TYPE_FIXED,  /* width bytes */
    WH_TYPE_STRING, /* varint length and bytes */
    WH_TYPE_ARRAY,  /* varint count and elements; the node after it is the element's */
    WH_TYPE_VARIANT /* one byte says which alternative follows, in the order of their names */
} WhTypeKind;

/* A type or a part of one; name_at and name_size cut its name (without Nullable()) out of the whole. */
typedef struct WhTypeNode {
    uint8_t kind;
    bool nullable;
    uint8_t width;
    uint8_t end; /* index just past this node and what is in it */
    uint16_t name_at;
    uint16_t name_size;
} WhTypeNode;

/* A parsed type: its nodes depth first, each before what is in it. */
typedef struct WhType {
    WhTypeNode nodes[WH_TYPE_NODES_MAX];
} WhType;

/*
 * Parses a ClickHouse type name as schemas hold it (no Nullable() around the whole). false: a type this
 * version does not know, or one of more than WH_TYPE_NODES_MAX parts.
 */
bool wh_type_parse(WhSlice name, bool nullable, WhType *type);

/* Reads past one value and returns its bytes, NULL byte included. */
WhSlice wh_type_get(WhReader *r, const WhType *type);

/*
 * The same for the part of the type at index node. What is in a value is read by hand with it: after a NULL
 * byte, a count or a discriminator.
 */
WhSlice wh_type_get_node(WhReader *r, const WhType *type, unsigned node);

/* The node of a Variant's alternative; 0: there is none. */
unsigned wh_type_alternative(const WhType *type, unsigned node, uint8_t discriminator);

/* The default: NULL where the type has it, else zeros or nothing. */
void wh_type_put_default(WhWriter *w, const WhType *type);

#endif

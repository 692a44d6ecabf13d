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

typedef struct WhType {
    bool is_string; /* varint length and bytes */
    bool nullable;
    uint8_t width; /* bytes of a value, when it is not a string */
} WhType;

/* Parses a ClickHouse type name as schemas hold it (no Nullable()). false: a type this version does not know.
 */
bool wh_type_parse(WhSlice name, bool nullable, WhType *type);

/* Reads past one value and returns its bytes, NULL byte included. */
WhSlice wh_type_get(WhReader *r, const WhType *type);

/* The default: NULL for a nullable type, else zeros or the empty string. */
void wh_type_put_default(WhWriter *w, const WhType *type);

#endif

/*
 * rowbinary_json.h - RowBinary values for people: as jsonb.
 */
#ifndef WALHOUSE_ROWBINARY_JSON_H
#define WALHOUSE_ROWBINARY_JSON_H

#include "utils/jsonb.h"

#include "common/rowbinary.h"
#include "common/schema.h"

/*
 * The value of value (as wh_type_get() returns it) in column's type, which has been parsed. bytea is shown as \x and
 * hexadecimal digits. Allocates in the current context.
 */
extern JsonbValue rowbinary_to_json(const WhColumn *column, const WhType *type, WhSlice value);

/* A jsonb string from bytes; bytes that are no text of the server's encoding are shown as \x and hexadecimal digits. */
extern JsonbValue bytes_to_json(WhSlice bytes);

#endif

/*
 * scalar.h - single values of ClickHouse types: what a configuration's text means as one, and how two
 * compare.
 *
 *      text --parse--> value --put--> RowBinary          RowBinary --read--> value
 *
 * For filters, constants and fixed masks. Arrays, Variants and decimals of more than 38 digits are no scalars
 * here.
 */
#ifndef WALHOUSE_AGENT_SCALAR_H
#define WALHOUSE_AGENT_SCALAR_H

#include "agent/version.h"
#include "extension/common/wire.h"

/* A value's bytes beside its text: at most 16, or a text's length. */
#define SCALAR_HEAD_BYTES_MAX 16

__extension__ typedef __int128 ScalarNumber;

typedef enum ScalarKind {
    SCALAR_INTEGER,
    SCALAR_BOOL,
    SCALAR_DECIMAL, /* unscaled */
    SCALAR_DATE,    /* days since 1970-01-01 */
    SCALAR_TIME,    /* microseconds since 1970-01-01 UTC */
    SCALAR_UUID,
    SCALAR_FLOAT,
    SCALAR_TEXT
} ScalarKind;

typedef struct ScalarType {
    ScalarKind kind;
    uint8_t width; /* bytes; 0: a text */
    bool is_unsigned;
    uint8_t scale; /* a decimal's */
} ScalarType;

/* A float is in real, a text in text (borrowed), everything else in number, ordered as the type is. */
typedef struct ScalarValue {
    ScalarNumber number;
    double real;
    WhSlice text;
} ScalarValue;

/* false: no scalar. name is without Nullable(). */
bool scalar_type(WhSlice name, ScalarType *type);

/* NULL, or what the type takes instead of this text (a constant text). */
const char *scalar_parse(const ScalarType *type, WhSlice text, ScalarValue *value);

/* From bytes that were checked against the type, without a NULL byte. */
ScalarValue scalar_read(const ScalarType *type, WhSlice bytes);

void scalar_put(WhWriter *w, const ScalarType *type, const ScalarValue *value);

/* Below, at or above 0. *unordered: one of them is not a number. */
int scalar_compare(const ScalarType *type, const ScalarValue *a, const ScalarValue *b, bool *unordered);

#endif

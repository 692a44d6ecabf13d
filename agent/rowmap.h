/*
 * rowmap.h - what becomes of the bytes of a row whose table has rules.
 *
 *      body --rowmap_split--> values --rowmap_matches--> --rowmap_put--> row as the table in ClickHouse takes
 * it
 *
 * Columns stay in the schema's order, so key columns come first; constants follow, and for a table with a
 * history the operation. A RowMap belongs to one schema version and is used by one thread: it holds the
 * values of the row at hand.
 */
#ifndef WALHOUSE_AGENT_ROWMAP_H
#define WALHOUSE_AGENT_ROWMAP_H

#include "agent/filter.h"
#include "agent/rules.h"
#include "extension/common/rowbinary.h"
#include "extension/common/schema.h"

typedef enum RowStepKind { ROW_SKIP, ROW_COPY, ROW_HASH, ROW_FIXED, ROW_PARTIAL } RowStepKind;

/* What is done with one column of the schema. */
typedef struct RowStep {
    RowStepKind kind;
    bool nullable;  /* in ClickHouse */
    WhSlice fixed;  /* of ROW_FIXED: RowBinary, with the NULL byte; owned */
    unsigned shown; /* of ROW_PARTIAL */
} RowStep;

typedef struct RowMap {
    const WhSchema *schema; /* borrowed, with types */
    const WhType *types;
    RowStep *steps;     /* one a column */
    WhSlice *values;    /* of the row at hand */
    uint8_t *constants; /* RowBinary, of all constant columns */
    size_t constants_size;
    uint8_t *tail; /* what follows the key where only that is known: defaults, then the constants */
    size_t tail_size;
    size_t extra_bytes; /* that a row may have more than its body */
    Filter *filter;     /* NULL: every row is loaded */
    uint8_t *salt;      /* a copy, as rules are read anew; NULL: nothing is hashed */
    size_t salt_size;
    bool has_operation; /* a column _operation follows */
} RowMap;

/* With a step of ROW_COPY for each column. NULL: out of memory. */
RowMap *rowmap_new(const WhSchema *schema, const WhType *types);
void rowmap_free(RowMap *map);

/* When steps and constants are there: makes the tail. false: out of memory. */
bool rowmap_finish(RowMap *map);

/* The schema lies somewhere else now. */
void rowmap_move(RowMap *map, const WhSchema *schema);

/* Reads the first count columns of a body; *r says what is wrong. Values are borrowed from it. */
void rowmap_split(RowMap *map, WhReader *r, uint32_t count);

/* Is the row that was split, of all columns, to be seen? */
bool rowmap_matches(const RowMap *map);

/* Writes the row that was split; key_only: what is not of the key is its default. NULL: no memory for a hash.
 */
uint8_t *rowmap_put(const RowMap *map, uint8_t *out, bool key_only, char operation);

/* Does the row depend on this column's value? Does the filter? And may people see the value? */
bool rowmap_reads(const RowMap *map, uint32_t column);
bool rowmap_filters_by(const RowMap *map, uint32_t column);
bool rowmap_may_show(const RowMap *map, uint32_t column);

#endif

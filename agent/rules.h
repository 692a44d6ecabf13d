/*
 * rules.h - what the configuration wants done to tables on their way: its [table schema.name] sections.
 *
 *      section's lines --rules_take--> settings --rules_finish--> TableRules
 *      TableRules + schema --rules_shape.c--> columns of the table in ClickHouse, and a RowMap for its rows
 *
 * Here the texts are read; what they name is looked up when a schema is known (rules_shape.c). A table
 * without a section has no TableRules, and its rows are copied.
 */
#ifndef WALHOUSE_AGENT_RULES_H
#define WALHOUSE_AGENT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/status.h"
#include "extension/common/wire.h"

#define RULES_WAY_OUT "mend the table's section in the configuration, then SIGHUP"

#define RULES_SALT_BYTES_MIN 16
#define RULES_PARTIAL_MAX    1000 /* characters that a partial mask shows */

typedef enum MaskKind { MASK_NONE, MASK_HASH, MASK_FIXED, MASK_PARTIAL } MaskKind;

/* What a section says of one column, by its name in Postgres. */
typedef struct ColumnRule {
    char *name;
    bool chosen;
    bool dropped;
    const char *rename; /* NULL: none; this and what follows borrows from the settings */
    const char *codec;
    MaskKind mask;
    const char *fixed; /* of MASK_FIXED */
    unsigned shown;    /* of MASK_PARTIAL: characters at the end */
} ColumnRule;

typedef struct ConstantRule {
    const char *name;
    WhSlice type;
    WhSlice value;
} ConstantRule;

/* A line of a section: "mask.email = hash". */
typedef struct Setting {
    char *name;
    char *value;
} Setting;

typedef struct TableRules {
    char *table; /* schema.name */
    Setting *settings;
    size_t setting_count;
    ColumnRule *columns;
    size_t column_count;
    ConstantRule *constants;
    size_t constant_count;
    const char *database; /* these are NULL where the section does not have them */
    const char *view;
    const char *order_by;
    const char *partition_by;
    const char *ttl;
    const char *filter;
    bool chooses; /* only chosen columns are loaded */
    bool history;
} TableRules;

typedef struct Rules {
    TableRules *tables;
    size_t count;
    uint8_t *salt; /* of hash masks; NULL: there are none */
    size_t salt_size;
} Rules;

Rules *rules_new(void); /* NULL: out of memory */
void rules_free(Rules *rules);

/* One setting of a section "table schema.name". STATUS_FATAL: *error says what is wrong with it. */
Status rules_take(Rules *rules, const char *section, const char *name, const char *value, Error *error);

/* When all lines are taken: reads them, and the salt where a column is hashed. */
Status rules_finish(Rules *rules, const char *salt_file, Error *error);

/* The names of a section's settings, one an index; a name that ends in a dot is followed by a column's. NULL:
 * there are no more. */
const char *rules_setting_name(size_t i);

/* The rules of a section; NULL: there is none. */
const TableRules *rules_find(const Rules *rules, WhSlice schema_name, WhSlice table_name);

#endif

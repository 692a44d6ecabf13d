/*
 * target.h - what a schema becomes in ClickHouse: names, columns, key; and what inserts say of them.
 *
 *      schema --target_copy()--> Target --rules--> Target, shaped --> ddl.c's statements
 *                                                                 --> an insert's columns and header
 *
 * The column's number in Postgres is its identity; its name in the storage table is decided when the table is
 * made fit (evolve.h), and is never changed afterwards.
 */
#ifndef WALHOUSE_AGENT_TARGET_H
#define WALHOUSE_AGENT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/status.h"
#include "agent/text.h"
#include "extension/common/schema.h"

#define TARGET_CONSTANT UINT32_MAX /* a column that no column of the schema is the source of */

/* Texts are malloc'ed. */
typedef struct TargetColumn {
    char *name;        /* in the view */
    char *stored;      /* in the storage table: what it is to be called there; what it is, once that is fit */
    char *type;        /* as ClickHouse writes it, with Nullable() */
    char *stored_type; /* the loader's: in the storage table, once that is fit; NULL before */
    char *codec;       /* NULL: the default */
    uint32_t attribute_number;
    uint32_t source; /* index in the schema's columns, or TARGET_CONSTANT */
} TargetColumn;

/* Names are not quoted. */
typedef struct Target {
    char *database;
    char *view_name;
    char *storage_base;    /* the name of the relation's first storage table */
    char *storage_name;    /* the loader's: of the one that takes these rows */
    TargetColumn *columns; /* in the order of an insert's; the first key_column_count are the key */
    uint32_t column_count;
    uint32_t key_column_count;
    char *order_by; /* expressions instead of the defaults; NULL: none */
    char *partition_by;
    char *ttl;
    char *history_name; /* a table that keeps every version of every row; NULL: none */
    bool own_database;  /* not the one of the agent's own tables */
    bool converts;      /* the loader's: columns of the storage table are wider than these types */
    bool copies;        /* columns are the schema's, in its order: bodies go as they are */
} Target;

/* The target of a schema without rules. STATUS_FATAL: out of memory; target_free() it then, too. */
Status target_copy(Target *target, const char *database, const char *view_name, const WhSchema *schema,
                   Error *error);
void target_free(Target *target);

/* The type of the column _operation, which a table with a history has: numbers are the events' letters. */
#define TARGET_OPERATION_TYPE                                                                                \
    "Enum8('delete' = 68, 'insert' = 73, 'snapshot' = 82, 'truncate' = 84, 'update' = 85)"

/* "`a`, `b`, `_version`, `_deleted`, `_commit_time`": an insert's columns. Check text->failed. */
void target_append_columns(Text *text, const Target *target);
void target_append_storage(Text *text, const Target *target); /* `database`.`storage` */
void target_append_view(Text *text, const Target *target);
/* A literal by which the agent's own tables know the storage table. */
void target_append_state_name(Text *text, const Target *target);
void target_append_history(Text *text, const Target *target); /* where there is one */

bool target_same_storage(const Target *a, const Target *b);

/* "`a` Int32, `b` String": the same with their types. */
void target_append_structure(Text *text, const Target *target);

/* The header of RowBinaryWithNamesAndTypes for those columns: the number of columns, their names, types. */
void target_put_header(WhWriter *w, const Target *target);
size_t target_header_bytes_max(const Target *target);
/* Room that the header is likely to fit, when the stored names are not known yet. */
size_t target_header_room(const Target *target);

#endif

/*
 * storage.h - the storage tables that are there, as far as they may take a target's rows.
 *
 *      ClickHouse's system.tables and system.columns --storage_read()--> Storages --> plan.h
 *
 * A storage table belongs to one relation of one source and to one key: its comment says which. Its columns'
 * comments say which attribute they hold. Names change, these numbers do not.
 */
#ifndef WALHOUSE_AGENT_STORAGE_H
#define WALHOUSE_AGENT_STORAGE_H

#include "agent/clickhouse.h"
#include "agent/target.h"

#define STORAGE_ATTRIBUTE_PREFIX "attribute " /* a column's comment: and the attribute's number */
#define STORAGE_WAS_MARK         " was "      /* in it, and the type: of a column that became String */
#define STORAGE_TYPES_MARK       " types " /* in a table's comment: what sets it apart from the first one */

/* Texts are malloc'ed. */
typedef struct StorageColumn {
    char *name;
    char *type;
    char *was;                 /* the type before it became String; NULL: it was always what it is */
    uint32_t attribute_number; /* 0: not one of the source's */
    bool in_order;             /* part of ORDER BY: cannot be changed */
} StorageColumn;

typedef struct Storage {
    char *name;
    char *engine;
    char *comment;
    StorageColumn *columns; /* in the order of their positions */
    size_t column_count;
} Storage;

typedef struct Storages {
    Storage *tables; /* of this identity; the one without STORAGE_TYPES_MARK first, then by name */
    size_t count;
    Storage base; /* the table that has target.storage_base as its name; name is NULL where there is none */
} Storages;

/* "walhouse shop relation 16385 key 1:Int64,2:String;". Check text->failed. */
void storage_append_identity(Text *text, const char *source, uint32_t relation, const Target *target);

/* *storages is to be freed whatever the status is. */
Status storage_read(ClickHouse *client, const Target *target, const char *identity, Storages *storages,
                    Error *error);
void storage_free(Storages *storages);

#endif

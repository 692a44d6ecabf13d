/*
 * truncate.h - what a truncate event makes of a storage table: of its rows, none with a lower version is
 * left.
 */
#ifndef WALHOUSE_AGENT_TRUNCATE_H
#define WALHOUSE_AGENT_TRUNCATE_H

#include "agent/clickhouse.h"
#include "agent/registry.h"
#include "agent/text.h"
#include "agent/version.h"

/* "Every row of the table with a version below this one is gone", and when that was committed. */
typedef struct Truncate {
    Version version;
    int64_t commit_time_us;
} Truncate;

/*
 * Notes the truncate and makes every row below it go. The storage table is there. It may be done again at
 * any time, in part or as a whole, and by several agents at once. Statuses as clickhouse_query().
 */
Status truncate_apply(ClickHouse *client, const Config *config, const TableSchema *table,
                      const Truncate *truncate, Error *error);

/* The highest truncate of the table that any agent noted; 0: none. */
Status truncate_floor(ClickHouse *client, const TableSchema *table, Version *floor, Error *error);

/* The statements, for truncate_apply() and for tests. Check text->failed. */
void truncate_note_statement(Text *text, const TableSchema *table, const Truncate *truncate);
void truncate_marker_statement(Text *text, const char *database, const TableSchema *table,
                               const Truncate *truncate);
void truncate_delete_statement(Text *text, const char *database, const TableSchema *table,
                               const Truncate *truncate);

#endif

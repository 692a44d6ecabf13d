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

/* A sweep, which ends a snapshot, as it came in one partition. */
typedef struct Sweep {
    Truncate truncate;
    int32_t partition;
    int32_t partitions; /* it was sent to so many */
} Sweep;

/* Commit LSNs are multiples of 8; a sweep's LSN is one below such a one, an end's two. */
static inline bool truncate_is_sweep(const WhEvent *event)
{
    return event->commit_lsn % 8 != 0;
}

static inline bool truncate_version_is_sweep(Version version)
{
    return (uint64_t)(version >> 48) % 8 != 0;
}

/* Of a snapshot that takes nothing away: all rows of the table were sent, and no more is said. */
static inline bool truncate_version_is_end(Version version)
{
    return (uint64_t)(version >> 48) % 8 == 6;
}

/*
 * Notes the truncate and makes every row below it go. The storage table is there. It may be done again at
 * any time, in part or as a whole, and by several agents at once. Statuses as clickhouse_query().
 */
Status truncate_apply(ClickHouse *client, const TableSchema *table, const Truncate *truncate, Error *error);

/* Remembers that the sweep, or the end, has come in its partition, and applies it when it has come in all of
 * them; there is nothing to apply of an end. */
Status truncate_sweep(ClickHouse *client, const TableSchema *table, const Sweep *sweep, bool *applied,
                      Error *error);

/* The highest truncate of the table that any agent noted; 0: none. */
Status truncate_floor(ClickHouse *client, const TableSchema *table, Version *floor, Error *error);

/*
 * What is below this version in the source was all sent to the storage table, or is gone: its highest
 * truncate, sweep, or end that has come in all partitions; 0: none.
 */
Status truncate_whole(ClickHouse *client, const Target *target, Version *whole, Error *error);

/* The highest version that went to the storage table: of a row, a truncate or a sweep; 0: none. */
Status truncate_newest(ClickHouse *client, const Target *target, Version *newest, Error *error);

/* The statements, for truncate_apply() and for tests. Check text->failed. */
void truncate_note_statement(Text *text, const TableSchema *table, const Truncate *truncate);
void truncate_marker_statement(Text *text, const TableSchema *table, const Truncate *truncate);
void truncate_history_statement(Text *text, const TableSchema *table, const Truncate *truncate);
void truncate_delete_statement(Text *text, const TableSchema *table, const Truncate *truncate);

#endif

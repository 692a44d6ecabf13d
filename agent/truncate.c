/*
 * truncate.c - TRUNCATE and sweeps in ClickHouse; see truncate.h.
 *
 *      T event, version V --> 1. noted in _walhouse_truncates
 *                         --> 2. table with a key: a delete marker of version V for each key whose newest row
 *                                is below V;  log table: its rows below V deleted
 *      sweep               --> noted in _walhouse_sweeps; in the last of its partitions: as above
 *      snapshot rows, rows of a log table --> below the highest V that was noted? dropped, before they are
 * inserted
 *
 * Why that is enough for "every row with _version < V is gone, and stays gone":
 *
 * - The event is in every partition of the topic, and acts in each of them after the rows of its batch are
 *   inserted. A row of the stream with a lower version is before the event in its partition (or is sent
 * again, and then the event is sent again behind it), so it is in the table when the event acts there.
 * Whatever ClickHouse holds is tested by its version alone, so it does not matter which partition, batch,
 * schema version or agent brought it.
 * - A marker has version V: it outranks every row below V of its key, and is outranked by every row above. So
 *   what was inserted after the TRUNCATE, in the same transaction too (its ordinal is higher), lives, whether
 * it is in the table already or comes later.
 * - Only keys that FINAL shows get a marker: a key that is hidden is deleted by a row that outranks what is
 *   below it anyway. Were FINAL to see less than it should (a row above V that another agent inserts this
 * very moment), there would be a marker too many, which that row outranks.
 * - Snapshot rows may come behind the event with a lower version: they are read from the table and travel
 * beside the stream. TRUNCATE leaves no delete marker for a key that the warehouse has not seen, so such a
 * row would live for ever. Therefore the event is noted first, and is noted before its offset is committed:
 * whoever meets a snapshot row behind it, in any agent, finds the note.
 * - The sweep of a log table travels beside the stream too, and the stream may be behind it: rows that the
 *   snapshot holds then come once more as inserts below V. A key would make them one; here the note does.
 * - A sweep may wait, as nobody but phantoms misses it, and waits for all its partitions: before that, rows
 * whose snapshot row is still in another partition would be away for a while. What is below V and comes in
 * between is there when it acts. Whoever notes the last partition sees all notes, so at least one agent acts.
 * - All of it may be done twice. Markers of one key and version are equal; the second time there is nothing
 *   below V to be seen. An agent that is killed on the way has not committed the event's offset.
 *
 * Big tables: INSERT ... SELECT runs in the server, FINAL reads in the order of the key, and markers are
 * written in blocks of a bounded size. A statement that outlasts the client's timeout is tried again and
 * finds less to do, as every block that was written stays.
 */
#include "agent/truncate.h"

#include <stdlib.h>
#include <string.h>

/*
 * Nothing of a profile may cut the answer short or filter rows before FINAL has chosen the newest; and memory
 * is bounded: one thread writes blocks of at most so many rows or bytes.
 */
static const char *const marker_settings =
    "SETTINGS optimize_move_to_prewhere_if_final = 0, do_not_merge_across_partitions_select_final = 0, "
    "limit = 0, offset = 0, read_overflow_mode = 'throw', timeout_overflow_mode = 'throw', "
    "result_overflow_mode = 'throw', max_insert_threads = 1, min_insert_block_size_rows = 1048576, "
    "min_insert_block_size_bytes = 67108864";

static void append_version(Text *text, Version version)
{
    char digits[VERSION_DIGITS_MAX + 1];

    version_print(version, digits);
    text_appendf(text, "toUInt128('%s')", digits);
}

static void append_commit_time(Text *text, const Truncate *truncate)
{
    text_appendf(text, "fromUnixTimestamp64Micro(toInt64(%lld), 'UTC')", (long long)truncate->commit_time_us);
}

static void append_key(Text *text, const Target *target)
{
    for (uint32_t i = 0; i < target->key_column_count; i++) {
        text_append_identifier(text, target->columns[i].stored, strlen(target->columns[i].stored));
        text_appendf(text, ", ");
    }
}

void truncate_note_statement(Text *text, const TableSchema *table, const Truncate *truncate)
{
    text_appendf(text, "INSERT INTO `_walhouse_truncates` (table, version, commit_time) SELECT ");
    target_append_state_name(text, &table->target);
    text_appendf(text, ", ");
    append_version(text, truncate->version);
    text_appendf(text, ", ");
    append_commit_time(text, truncate);
}

static void append_markers(Text *text, const TableSchema *table, const Truncate *truncate, bool into_history)
{
    text_appendf(text, "INSERT INTO ");
    if (into_history)
        target_append_history(text, &table->target);
    else
        target_append_storage(text, &table->target);
    text_appendf(text, " (");
    append_key(text, &table->target);
    text_appendf(text, "%s`_version`, `_deleted`, `_commit_time`) %s SELECT ",
                 into_history ? "`_operation`, " : "", marker_settings);
    append_key(text, &table->target);
    if (into_history)
        text_appendf(text, "'truncate', ");
    append_version(text, truncate->version);
    text_appendf(text, ", 1, ");
    append_commit_time(text, truncate);
    text_appendf(text, " FROM ");
    target_append_storage(text, &table->target);
    text_appendf(text, " FINAL WHERE `_version` < ");
    append_version(text, truncate->version);
}

void truncate_marker_statement(Text *text, const TableSchema *table, const Truncate *truncate)
{
    append_markers(text, table, truncate, false);
}

/* Before the markers are in the table: afterwards nothing is to be seen that they could be for. */
void truncate_history_statement(Text *text, const TableSchema *table, const Truncate *truncate)
{
    append_markers(text, table, truncate, true);
}

/* A log table is ordered by _version, so this reads no more than what goes. Waits until it is done
 * everywhere. */
void truncate_delete_statement(Text *text, const TableSchema *table, const Truncate *truncate)
{
    text_appendf(text, "DELETE FROM ");
    target_append_storage(text, &table->target);
    text_appendf(text, " WHERE `_version` < ");
    append_version(text, truncate->version);
    text_appendf(text, " SETTINGS lightweight_deletes_sync = 2, mutations_sync = 2");
}

/* *body is borrowed from the client, as in clickhouse_query(). */
static Status ask(ClickHouse *client, Text *sql, const char **body, Error *error)
{
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(client, NULL, sql->data, body, NULL, error);

    text_free(sql);
    return status;
}

static Status note(ClickHouse *client, const TableSchema *table, const Truncate *truncate, Error *error)
{
    Text sql = {0};

    truncate_note_statement(&sql, table, truncate);
    return ask(client, &sql, NULL, error);
}

static Status mark_rows(ClickHouse *client, const TableSchema *table, const Truncate *truncate, Error *error)
{
    Status status = STATUS_OK;
    Text sql = {0};

    if (table->target.history_name) {
        truncate_history_statement(&sql, table, truncate);
        status = ask(client, &sql, NULL, error);
    }
    if (status != STATUS_OK)
        return status;
    truncate_marker_statement(&sql, table, truncate);
    return ask(client, &sql, NULL, error);
}

/* Most of a log table's truncates find nothing (each partition brings one), and a mutation that changes
 * nothing still touches every part. */
static Status delete_rows(ClickHouse *client, const TableSchema *table, const Truncate *truncate,
                          Error *error)
{
    const char *body = "";
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT 1 FROM ");
    target_append_storage(&sql, &table->target);
    text_appendf(&sql, " WHERE `_version` < ");
    append_version(&sql, truncate->version);
    text_appendf(&sql, " LIMIT 1");
    status = ask(client, &sql, &body, error);
    if (status != STATUS_OK || body == NULL || body[0] != '1')
        return status;
    truncate_delete_statement(&sql, table, truncate);
    return ask(client, &sql, NULL, error);
}

Status truncate_apply(ClickHouse *client, const TableSchema *table, const Truncate *truncate, Error *error)
{
    Status status = note(client, table, truncate, error);

    if (status != STATUS_OK)
        return status;
    return table->schema.key_column_count > 0 ? mark_rows(client, table, truncate, error)
                                              : delete_rows(client, table, truncate, error);
}

static Status note_sweep(ClickHouse *client, const TableSchema *table, const Sweep *sweep, Error *error)
{
    Text sql = {0};

    text_appendf(&sql, "INSERT INTO `_walhouse_sweeps` (table, version, partition, partitions) SELECT ");
    target_append_state_name(&sql, &table->target);
    text_appendf(&sql, ", ");
    append_version(&sql, sweep->truncate.version);
    text_appendf(&sql, ", %d, %d", (int)sweep->partition, (int)sweep->partitions);
    return ask(client, &sql, NULL, error);
}

Status truncate_sweep(ClickHouse *client, const TableSchema *table, const Sweep *sweep, bool *applied,
                      Error *error)
{
    const char *body = "";
    Text sql = {0};
    Status status = note_sweep(client, table, sweep, error);

    *applied = false;
    if (status != STATUS_OK)
        return status;
    text_appendf(&sql,
                 "SELECT uniqExact(partition) >= max(partitions) FROM `_walhouse_sweeps` WHERE table = ");
    target_append_state_name(&sql, &table->target);
    text_appendf(&sql, " AND version = ");
    append_version(&sql, sweep->truncate.version);
    status = ask(client, &sql, &body, error);
    if (status != STATUS_OK || body[0] != '1')
        return status;
    if (!truncate_version_is_end(sweep->truncate.version))
        status = truncate_apply(client, table, &sweep->truncate, error);
    *applied = status == STATUS_OK;
    return status;
}

/* The number that a statement answers. */
static Status ask_version(ClickHouse *client, Text *sql, Version *version, Error *error)
{
    const char *body = "";
    Status status = ask(client, sql, &body, error);

    (void)version_parse(status == STATUS_OK ? body : "", version);
    return status;
}

Status truncate_floor(ClickHouse *client, const TableSchema *table, Version *floor, Error *error)
{
    Text sql = {0};

    text_appendf(&sql, "SELECT toString(max(version)) FROM `_walhouse_truncates` WHERE table = ");
    target_append_state_name(&sql, &table->target);
    return ask_version(client, &sql, floor, error);
}

Status truncate_whole(ClickHouse *client, const Target *target, Version *whole, Error *error)
{
    Text sql = {0};

    text_appendf(&sql,
                 "SELECT toString(greatest((SELECT max(version) FROM `_walhouse_truncates` WHERE table = ");
    target_append_state_name(&sql, target);
    text_appendf(&sql, "), (SELECT max(version) FROM (SELECT version FROM `_walhouse_sweeps` WHERE table = ");
    target_append_state_name(&sql, target);
    text_appendf(&sql, " AND bitAnd(bitShiftRight(version, 48), toUInt128(7)) = 6 GROUP BY version "
                       "HAVING uniqExact(partition) >= max(partitions)))))");
    return ask_version(client, &sql, whole, error);
}

static void append_newest_note(Text *sql, const char *notes, const Target *target)
{
    text_appendf(sql, ", (SELECT max(version) FROM `%s` WHERE table = ", notes);
    target_append_state_name(sql, target);
    text_append(sql, ")", 1);
}

Status truncate_newest(ClickHouse *client, const Target *target, Version *newest, Error *error)
{
    Text sql = {0};

    text_appendf(&sql, "SELECT toString(greatest((SELECT max(`_version`) FROM ");
    target_append_storage(&sql, target);
    text_append(&sql, ")", 1);
    append_newest_note(&sql, "_walhouse_truncates", target);
    append_newest_note(&sql, "_walhouse_sweeps", target);
    text_appendf(&sql, "))");
    return ask_version(client, &sql, newest, error);
}

/*
 * evolve_wait.c - storage tables that do not hold all rows yet; see evolve.h.
 *
 *      rows go to a new storage table --> the view shows the old one
 *                                     --> a snapshot is asked for, once; its end makes the new one whole
 */
#include <stdlib.h>
#include <string.h>

#include "agent/evolve_internal.h"
#include "agent/truncate.h"
#include "lib/log.h"

#define UNKNOWN_TABLE 60 /* ClickHouse's code */

static Waiting *find_waiting(Evolve *evolve, const TableSchema *table)
{
    for (size_t i = 0; i < evolve->waiting_count; i++)
        if (evolve->waiting[i].table == table)
            return &evolve->waiting[i];
    return NULL;
}

void evolve_forget(Evolve *evolve, const TableSchema *table)
{
    Waiting *waiting = find_waiting(evolve, table);

    if (waiting)
        *waiting = evolve->waiting[--evolve->waiting_count];
}

static Status remember_waiting(Evolve *evolve, TableSchema *table, Version version, Waiting **waiting,
                               Error *error)
{
    Waiting *grown;

    *waiting = find_waiting(evolve, table);
    if (*waiting == NULL) {
        grown = realloc(evolve->waiting, (evolve->waiting_count + 1) * sizeof *grown);
        if (grown == NULL)
            return status_fail(error, STATUS_RETRY, "out of memory");
        evolve->waiting = grown;
        *waiting = &grown[evolve->waiting_count++];
        **waiting = (Waiting){.table = table};
    }
    if (version > (*waiting)->version)
        (*waiting)->version = version;
    return STATUS_OK;
}

/* Of the agent's own notes about the storage table that the view shows. */
static void append_noted(Text *sql, const Evolve *evolve, const CatalogRow *shown, const char *notes)
{
    Text name = {0};

    if (strcmp(shown->database, evolve->config->clickhouse_database) != 0)
        text_appendf(&name, "%s.", shown->database);
    text_append(&name, shown->storage, strlen(shown->storage));
    text_appendf(sql, ", (SELECT max(version) FROM `%s` WHERE table = ", notes);
    if (name.failed)
        sql->failed = true;
    else
        text_append_literal(sql, name.data, name.size);
    text_append(sql, ")", 1);
    text_free(&name);
}

/*
 * The highest version that went to the storage table that the view shows: of a row, a truncate or a sweep.
 * *gone: there is no such table any more.
 */
static Status newest_shown(Evolve *evolve, const CatalogRow *shown, Version *newest, bool *gone, Error *error)
{
    const char *body = "";
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT toString(greatest((SELECT max(`_version`) FROM ");
    text_append_identifier(&sql, shown->database, strlen(shown->database));
    text_append(&sql, ".", 1);
    text_append_identifier(&sql, shown->storage, strlen(shown->storage));
    text_append(&sql, ")", 1);
    append_noted(&sql, evolve, shown, "_walhouse_truncates");
    append_noted(&sql, evolve, shown, "_walhouse_sweeps");
    text_appendf(&sql, "))");
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(evolve->client, NULL, sql.data, &body, NULL, error);
    text_free(&sql);
    *newest = 0;
    for (; status == STATUS_OK && *body >= '0' && *body <= '9'; body++)
        *newest = *newest * 10 + (Version)(*body - '0');
    *gone = clickhouse_exception_code(evolve->client) == UNKNOWN_TABLE;
    return *gone ? STATUS_OK : status;
}

/*
 * After what the snapshot has to be. A snapshot of an empty table leaves nothing in the old storage table but
 * its sweep or end, just below its floor: it must not count, as it ended before the new storage table was
 * needed.
 */
static uint64_t after_lsn(Version newest)
{
    return ((uint64_t)(newest >> 48) + 7) / 8 * 8;
}

/*
 * All of the table is needed as it was after the last change that went to the other storage table. The
 * source has asked for that by itself where the change of the schema says so (docs/snapshots.md).
 */
static Status ask_for_snapshot(Evolve *evolve, TableSchema *table, const CatalogRow *shown, Version newest,
                               Version version, Error *error)
{
    Text reason = {0};
    Status status = STATUS_OK;

    text_appendf(&reason,
                 "its rows go to storage table %s now, and view %s shows %s until that holds all of them",
                 table->target.storage_name, table->target.view_name, shown->storage);
    if (reason.failed)
        return status_fail(error, STATUS_RETRY, "out of memory");
    if (table_states_set(&evolve->metrics->tables, table->target.view_name, TABLE_FILLING,
                         EVOLVE_CODE_NEW_TABLE, reason.data,
                         "it ends with the snapshot: SELECT * FROM walhouse.snapshot_status"))
        log_info("table %s: %s", table->target.view_name, reason.data);
    /* Another epoch is a resync, which reads all tables. */
    if (shown->relation == table->schema.relation_oid && newest >> 112 == version >> 112)
        status = requests_snapshot(evolve->requests, table, after_lsn(newest), "new storage table", error);
    text_free(&reason);
    return status;
}

Status evolve_wait(Evolve *evolve, TableSchema *table, Version version, bool *gone, Error *error)
{
    const CatalogRow *shown = catalog_relation(&evolve->catalog, table->schema.relation_oid);
    Waiting *waiting;
    Version newest;
    Status status = remember_waiting(evolve, table, version, &waiting, error);

    *gone = false;
    if (shown == NULL)
        shown = catalog_view(&evolve->catalog, table->target.database, table->target.view_name);
    if (status != STATUS_OK || shown == NULL || waiting->asked)
        return status;
    status = newest_shown(evolve, shown, &newest, gone, error);
    if (status == STATUS_OK && !*gone)
        status = ask_for_snapshot(evolve, table, shown, newest, version, error);
    if (status == STATUS_OK)
        waiting->asked = true;
    return status;
}

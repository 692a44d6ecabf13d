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

/* *gone: there is no such storage table any more. */
static Status newest_shown(Evolve *evolve, const CatalogRow *shown, Version *newest, bool *gone, Error *error)
{
    /* These names are all that is known of it, and all that is asked for. */
    const Target storage = {.database = (char *)(uintptr_t)shown->database,
                            .storage_name = (char *)(uintptr_t)shown->storage,
                            .own_database =
                                strcmp(shown->database, evolve->config->clickhouse_database) != 0};
    Status status = truncate_newest(evolve->client, &storage, newest, error);

    *gone = clickhouse_exception_code(evolve->client) == CLICKHOUSE_UNKNOWN_TABLE;
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

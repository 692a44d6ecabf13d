/*
 * evolve.c - which schema is in force, and the view that shows it; see evolve.h.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ddl.h"
#include "agent/evolve_internal.h"
#include "agent/truncate.h"
#include "lib/clock.h"
#include "lib/log.h"

#define LOOK_AGAIN_MS 5000

Evolve *evolve_new(const Config *config, ClickHouse *client, Metrics *metrics, Requests *requests)
{
    Evolve *evolve = calloc(1, sizeof *evolve);

    if (evolve)
        *evolve = (Evolve){.config = config, .client = client, .metrics = metrics, .requests = requests};
    return evolve;
}

void evolve_free(Evolve *evolve)
{
    if (evolve == NULL)
        return;
    catalog_free(&evolve->catalog);
    free(evolve->waiting);
    free(evolve);
}

static const char *source_of(const Evolve *evolve)
{
    return evolve->config->kafka_topic_prefix;
}

/* ---- the view ---- */

static Status read_catalog(Evolve *evolve, Error *error)
{
    Status status = catalog_read(evolve->client, source_of(evolve), &evolve->catalog, error);

    evolve->read_at_ms = status == STATUS_OK ? clock_ms() : 0;
    return status;
}

static CatalogRow row_of(const TableSchema *table, Version version)
{
    return (CatalogRow){.relation = table->schema.relation_oid,
                        .fingerprint = table->fingerprint,
                        .database = table->target.database,
                        .view = table->target.view_name,
                        .storage = table->target.storage_name,
                        .version = version};
}

bool evolve_is_shown(const Evolve *evolve, const TableSchema *table)
{
    CatalogRow row = row_of(table, 0);

    return evolve->read_at_ms > 0 && catalog_judge(&evolve->catalog, &row, 0) == CLAIM_IN_FORCE;
}

/* The view, until nobody has changed the catalog while it was made. */
static Status show(Evolve *evolve, const char *database, const char *view, Error *error)
{
    Status status = STATUS_OK;
    bool again = true;

    for (int round = 0; round < EVOLVE_ROUNDS_MAX && status == STATUS_OK && again; round++) {
        const CatalogRow *shown = catalog_view(&evolve->catalog, database, view);
        uint64_t fingerprint = shown ? shown->fingerprint : 0;

        status = catalog_show(evolve->client, source_of(evolve), &evolve->catalog, database, view, error);
        if (status == STATUS_OK)
            status = read_catalog(evolve, error);
        shown = catalog_view(&evolve->catalog, database, view);
        again = fingerprint != (shown ? shown->fingerprint : 0);
    }
    return status;
}

/*
 * The view of the schema in force. Columns may have been widened, here or by an agent that ended before it
 * could make the view anew, and the rules may want other names.
 */
static Status show_anew(Evolve *evolve, const TableSchema *table, Error *error)
{
    const CatalogRow *shown = catalog_relation(&evolve->catalog, table->schema.relation_oid);
    Text definition = {0};
    Text recorded = {0};
    Status status;

    ddl_view_definition(&definition, &table->target);
    status = definition.failed
                 ? status_fail(error, STATUS_RETRY, "out of memory")
                 : catalog_definition(evolve->client, source_of(evolve), shown, &recorded, error);
    if (status == STATUS_OK && strcmp(recorded.data, definition.data) != 0)
        status = catalog_record(evolve->client, source_of(evolve), shown, definition.data, error);
    if (status == STATUS_OK)
        status = show(evolve, table->target.database, table->target.view_name, error);
    text_free(&definition);
    text_free(&recorded);
    return status;
}

Status evolve_fit(Evolve *evolve, TableSchema *table, Error *error)
{
    Status status = evolve_fit_storage(evolve, table, error);

    if (status == STATUS_OK)
        status = read_catalog(evolve, error);
    if (status == STATUS_OK && evolve_is_shown(evolve, table))
        status = show_anew(evolve, table, error);
    table->ready = status == STATUS_OK;
    return status;
}

static Status take_over(Evolve *evolve, TableSchema *table, const CatalogRow *row, Error *error)
{
    const CatalogRow *own = catalog_relation(&evolve->catalog, row->relation);
    char *old_database = own ? strdup(own->database) : NULL;
    char *old_view = own ? strdup(own->view) : NULL;
    Text definition = {0};
    Status status;

    ddl_view_definition(&definition, &table->target);
    if (definition.failed || (own && (old_database == NULL || old_view == NULL)))
        status = status_fail(error, STATUS_RETRY, "out of memory");
    else
        status = catalog_record(evolve->client, source_of(evolve), row, definition.data, error);
    if (status == STATUS_OK)
        status = read_catalog(evolve, error);
    if (status == STATUS_OK)
        status = show(evolve, row->database, row->view, error);
    if (status == STATUS_OK && old_view &&
        (strcmp(old_view, row->view) != 0 || strcmp(old_database, row->database) != 0))
        status = show(evolve, old_database, old_view, error);
    if (status == STATUS_OK) {
        log_info("view %s shows schema %016llx, of storage table %s", row->view,
                 (unsigned long long)row->fingerprint, row->storage);
        labels_add(&evolve->metrics->schema_changes, own ? "view_switched" : "view_created", 1);
        table_states_clear(&evolve->metrics->tables, row->view, EVOLVE_CODE_NEW_TABLE);
    }
    free(old_database);
    free(old_view);
    text_free(&definition);
    return status;
}

Status evolve_follow(Evolve *evolve, TableSchema *table, Version version, Error *error)
{
    CatalogRow row = row_of(table, version);
    Version whole = 0;
    bool gone = false;
    Claim claim;
    Status status = read_catalog(evolve, error);

    if (status != STATUS_OK)
        return status;
    claim = catalog_judge(&evolve->catalog, &row, 0);
    if (claim == CLAIM_WAITS) {
        status = truncate_whole(evolve->client, &table->target, &whole, error);
        claim = catalog_judge(&evolve->catalog, &row, whole);
    }
    if (status == STATUS_OK && claim == CLAIM_WAITS)
        status = evolve_wait(evolve, table, version, &gone, error);
    if (status != STATUS_OK || (claim == CLAIM_WAITS && !gone))
        return status;
    evolve_forget(evolve, table);
    return claim == CLAIM_TAKES || gone ? take_over(evolve, table, &row, error) : STATUS_OK;
}

Status evolve_look(Evolve *evolve, Error *error)
{
    Status status = STATUS_OK;

    if (clock_ms() - evolve->read_at_ms < LOOK_AGAIN_MS)
        return STATUS_OK;
    status = read_catalog(evolve, error);
    for (size_t i = evolve->waiting_count; i-- > 0 && status == STATUS_OK;)
        if (i < evolve->waiting_count)
            status = evolve_follow(evolve, evolve->waiting[i].table, evolve->waiting[i].version, error);
    return status;
}

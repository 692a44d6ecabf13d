/*
 * evolve.c - tables and views follow the schemas; see evolve.h.
 */
#include "agent/evolve.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/catalog.h"
#include "agent/ddl.h"
#include "agent/plan.h"
#include "agent/truncate.h"
#include "lib/log.h"

#define LOOK_AGAIN_MS  5000
#define ROUNDS_MAX     10 /* others may change the same things meanwhile */
#define CODE_NEW_TABLE "new_storage"

/* A schema whose storage table is not whole yet. */
typedef struct Waiting {
    TableSchema *table;
    Version version;
    bool asked; /* a snapshot was asked for */
} Waiting;

struct Evolve {
    const Config *config;
    ClickHouse *client;
    Metrics *metrics;
    Requests *requests;
    Catalog catalog;
    int64_t read_at_ms; /* the catalog; 0: never */
    Waiting *waiting;
    size_t waiting_count;
};

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

static Status run(Evolve *evolve, Text *sql, Error *error)
{
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(evolve->client, NULL, sql->data, NULL, NULL, error);

    text_free(sql);
    return status;
}

static void note(Evolve *evolve, const Target *target, const char *kind, const char *what)
{
    labels_add(&evolve->metrics->schema_changes, kind, 1);
    log_info("table %s: %s: %s", target->view_name, kind, what);
}

/* ---- the storage table ---- */

static bool replace_text(char **text, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return false;
    free(*text);
    *text = copy;
    return true;
}

/* A name that no other identity has: the table's, and the hash of what the storage table is for. */
static void append_name_apart(Text *name, const Target *target, const char *comment)
{
    char hex[WH_FINGERPRINT_HEX_SIZE];

    wh_fingerprint_hex(wh_schema_fingerprint((WhSlice){(const uint8_t *)comment, strlen(comment)}), hex);
    text_appendf(name, "%s_%s", target->storage_base, hex);
}

/* The table of an earlier release, or somebody's own. */
static Status adopt(Evolve *evolve, Target *target, const Storage *base, const char *identity, Error *error)
{
    Text reason = {0};
    Text sql = {0};
    Status status;

    if (!plan_may_adopt(target, base, &reason)) {
        status = status_fail(error, STATUS_STOP,
                             "%s is there and was not made for table %s: %s; rename or drop it in ClickHouse",
                             target->storage_base, target->view_name, reason.data ? reason.data : "");
        text_free(&reason);
        return status;
    }
    text_appendf(&sql, "ALTER TABLE ");
    text_append_identifier(&sql, target->database, strlen(target->database));
    text_append(&sql, ".", 1);
    text_append_identifier(&sql, base->name, strlen(base->name));
    text_appendf(&sql, " MODIFY COMMENT ");
    text_append_literal(&sql, identity, strlen(identity));
    return run(evolve, &sql, error);
}

static Status create_database(Evolve *evolve, const Target *target, Error *error)
{
    Text sql = {0};

    text_appendf(&sql, "CREATE DATABASE IF NOT EXISTS ");
    text_append_identifier(&sql, target->database, strlen(target->database));
    return run(evolve, &sql, error);
}

/* Makes a storage table for rows that none of those that are there can take. */
static Status create(Evolve *evolve, Target *target, const Storages *storages, const char *comment,
                     Error *error)
{
    Text name = {0};
    Text sql = {0};
    Status status;

    if (storages->count == 0 && storages->base.name == NULL)
        text_append(&name, target->storage_base, strlen(target->storage_base));
    else
        append_name_apart(&name, target, comment);
    if (name.failed || !replace_text(&target->storage_name, name.data))
        status = status_fail(error, STATUS_RETRY, "out of memory");
    else {
        status = target->own_database ? create_database(evolve, target, error) : STATUS_OK;
        ddl_create_table(&sql, target, comment);
        if (status == STATUS_OK)
            status = run(evolve, &sql, error);
        if (status == STATUS_OK)
            note(evolve, target, "table_created", name.data);
    }
    text_free(&name);
    text_free(&sql);
    return status;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static Status create_or_adopt(Evolve *evolve, Target *target, const Storages *storages, const char *identity,
                              const Plan *refused, Error *error)
{
    Text comment = {0};
    Status status;

    if (storages->count == 0 && storages->base.name && !starts(storages->base.comment, "walhouse "))
        return adopt(evolve, target, &storages->base, identity, error);
    text_append(&comment, identity, strlen(identity));
    if (refused->conflicts.size > 0) {
        text_appendf(&comment, STORAGE_TYPES_MARK "%s", refused->conflicts.data);
        log_info("%s: its rows go to a new storage table", refused->reason.data);
    }
    status = comment.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                            : create(evolve, target, storages, comment.data, error);
    text_free(&comment);
    return status;
}

static void note_change(Evolve *evolve, const Target *target, const Plan *plan)
{
    for (uint32_t i = 0; i < plan->column_count; i++)
        if (plan->columns[i].action != PLAN_KEEP)
            note(evolve, target, plan->columns[i].action == PLAN_ADD ? "column_added" : "column_widened",
                 plan->columns[i].stored);
}

/* Adds and widens columns. */
static Status change(Evolve *evolve, const Target *target, const Plan *plan, Error *error)
{
    Text sql = {0};
    const char *separator = " ";
    Status status;

    text_appendf(&sql, "ALTER TABLE ");
    target_append_storage(&sql, target);
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const PlanColumn *column = &plan->columns[i];

        if (column->action == PLAN_KEEP)
            continue;
        text_appendf(&sql, "%s", separator);
        if (column->action == PLAN_ADD)
            ddl_add_column(&sql, &target->columns[i], column->stored);
        else
            ddl_widen_column(&sql, &target->columns[i], column->stored, column->type, column->was);
        separator = ", ";
    }
    status = run(evolve, &sql, error);
    if (status == STATUS_OK)
        note_change(evolve, target, plan);
    return status;
}

static Status take_names(Target *target, const Plan *plan, Error *error)
{
    for (uint32_t i = 0; i < plan->column_count; i++)
        if (!replace_text(&target->columns[i].stored, plan->columns[i].stored) ||
            !replace_text(&target->columns[i].stored_type, plan->columns[i].type))
            return status_fail(error, STATUS_RETRY, "out of memory");
    target->converts = plan->converts;
    return STATUS_OK;
}

/* One look and at most one change; *done when there was nothing to change. */
static Status fit_once(Evolve *evolve, Target *target, const char *identity, bool *done, Error *error)
{
    Storages storages;
    Plan plan = {0};
    Plan first = {0}; /* why the first table does not fit, which names the next one */
    bool fits = false;
    Status status = storage_read(evolve->client, target, identity, &storages, error);

    for (size_t i = 0; i < storages.count && status == STATUS_OK && !fits; i++) {
        status = plan_fit(&plan, target, &storages.tables[i], error);
        fits = status == STATUS_OK && plan.conflicts.size == 0;
        if (fits && !replace_text(&target->storage_name, storages.tables[i].name))
            status = status_fail(error, STATUS_RETRY, "out of memory");
        if (fits)
            break;
        if (i == 0)
            first = plan;
        else
            plan_free(&plan);
        plan = (Plan){0};
    }
    *done = fits && !plan.changes;
    if (status == STATUS_OK && *done)
        status = take_names(target, &plan, error);
    else if (status == STATUS_OK && fits)
        status = change(evolve, target, &plan, error);
    else if (status == STATUS_OK)
        status = create_or_adopt(evolve, target, &storages, identity, &first, error);
    plan_free(&plan);
    plan_free(&first);
    storage_free(&storages);
    return status;
}

static Status refuse_system_names(const Target *target, Error *error)
{
    static const char *const reserved[] = {"_version", "_deleted", "_commit_time", "_loaded_time"};

    for (uint32_t i = 0; i < target->column_count; i++)
        for (size_t r = 0; r < sizeof reserved / sizeof reserved[0]; r++)
            if (strcmp(target->columns[i].name, reserved[r]) == 0)
                return status_fail(error, STATUS_STOP,
                                   "column %s of %s has the name of a system column: rename it in Postgres",
                                   reserved[r], target->view_name);
    return STATUS_OK;
}

/* ---- the view ---- */

static Status read_catalog(Evolve *evolve, Error *error)
{
    Status status = catalog_read(evolve->client, source_of(evolve), &evolve->catalog, error);

    evolve->read_at_ms = status == STATUS_OK ? now_ms() : 0;
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

    for (int round = 0; round < ROUNDS_MAX && status == STATUS_OK && again; round++) {
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
    Text identity = {0};
    bool done = false;
    Status status = refuse_system_names(&table->target, error);

    storage_append_identity(&identity, source_of(evolve), table->schema.relation_oid, &table->target);
    if (status == STATUS_OK && identity.failed)
        status = status_fail(error, STATUS_RETRY, "out of memory");
    for (int round = 0; round < ROUNDS_MAX && status == STATUS_OK && !done; round++)
        status = fit_once(evolve, &table->target, identity.data, &done, error);
    text_free(&identity);
    if (status == STATUS_OK && !done)
        status = status_fail(error, STATUS_STOP,
                             "%s does not become what %s needs, whatever is changed: is there "
                             "another table of that name?",
                             table->target.storage_name, table->target.view_name);
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
        table_states_clear(&evolve->metrics->tables, row->view, CODE_NEW_TABLE);
    }
    free(old_database);
    free(old_view);
    text_free(&definition);
    return status;
}

/* ---- storage tables that are not whole yet ---- */

static Waiting *find_waiting(Evolve *evolve, const TableSchema *table)
{
    for (size_t i = 0; i < evolve->waiting_count; i++)
        if (evolve->waiting[i].table == table)
            return &evolve->waiting[i];
    return NULL;
}

static void forget_waiting(Evolve *evolve, const TableSchema *table)
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

static Status ask_number(Evolve *evolve, Text *sql, Version *number, Error *error)
{
    const char *body = "";
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(evolve->client, NULL, sql->data, &body, NULL, error);

    text_free(sql);
    *number = 0;
    for (; status == STATUS_OK && *body >= '0' && *body <= '9'; body++)
        *number = *number * 10 + (Version)(*body - '0');
    return status;
}

/* The highest version in the storage table that the view shows; *gone: there is no such table any more. */
static Status newest_shown(Evolve *evolve, const CatalogRow *shown, Version *newest, bool *gone, Error *error)
{
    Text sql = {0};
    Status status;

    text_appendf(&sql, "SELECT toString(max(`_version`)) FROM ");
    text_append_identifier(&sql, shown->database, strlen(shown->database));
    text_append(&sql, ".", 1);
    text_append_identifier(&sql, shown->storage, strlen(shown->storage));
    status = ask_number(evolve, &sql, newest, error);
    *gone = clickhouse_exception_code(evolve->client) == 60; /* UNKNOWN_TABLE */
    return *gone ? STATUS_OK : status;
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
    if (table_states_set(&evolve->metrics->tables, table->target.view_name, TABLE_FILLING, CODE_NEW_TABLE,
                         reason.data, "it ends with the snapshot: SELECT * FROM walhouse.snapshot_status"))
        log_info("table %s: %s", table->target.view_name, reason.data);
    /* Another epoch is a resync, which reads all tables. */
    if (shown->relation == table->schema.relation_oid && newest >> 112 == version >> 112)
        status =
            requests_snapshot(evolve->requests, table, (uint64_t)(newest >> 48), "new storage table", error);
    text_free(&reason);
    return status;
}

static Status wait_for_rows(Evolve *evolve, TableSchema *table, Version version, bool *gone, Error *error)
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
        status = truncate_floor(evolve->client, table, &whole, error);
        claim = catalog_judge(&evolve->catalog, &row, whole);
    }
    if (status == STATUS_OK && claim == CLAIM_WAITS)
        status = wait_for_rows(evolve, table, version, &gone, error);
    if (status != STATUS_OK || (claim == CLAIM_WAITS && !gone))
        return status;
    forget_waiting(evolve, table);
    return claim == CLAIM_TAKES || gone ? take_over(evolve, table, &row, error) : STATUS_OK;
}

Status evolve_look(Evolve *evolve, Error *error)
{
    Status status = STATUS_OK;

    if (now_ms() - evolve->read_at_ms < LOOK_AGAIN_MS)
        return STATUS_OK;
    status = read_catalog(evolve, error);
    for (size_t i = evolve->waiting_count; i-- > 0 && status == STATUS_OK;)
        if (i < evolve->waiting_count)
            status = evolve_follow(evolve, evolve->waiting[i].table, evolve->waiting[i].version, error);
    return status;
}

/*
 * evolve_fit.c - the storage table that takes rows of a schema; see evolve.h.
 *
 *      Target --storage_read(), plan_fit()--> fits as it is
 *                                         --> columns added, widened
 *                                         --> one of an earlier release: adopted; none: made
 *
 * Each round looks, and changes one thing at most: another agent may do the same at this moment.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ddl.h"
#include "agent/evolve_internal.h"
#include "agent/plan.h"
#include "lib/log.h"

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

Status evolve_fit_storage(Evolve *evolve, TableSchema *table, Error *error)
{
    const char *source = evolve->config->kafka_topic_prefix;
    Text identity = {0};
    bool done = false;
    Status status = refuse_system_names(&table->target, error);

    storage_append_identity(&identity, source, table->schema.relation_oid, &table->target);
    if (status == STATUS_OK && identity.failed)
        status = status_fail(error, STATUS_RETRY, "out of memory");
    for (int round = 0; round < EVOLVE_ROUNDS_MAX && status == STATUS_OK && !done; round++)
        status = fit_once(evolve, &table->target, identity.data, &done, error);
    text_free(&identity);
    if (status == STATUS_OK && !done)
        status = status_fail(error, STATUS_STOP,
                             "%s does not become what %s needs, whatever is changed: is there "
                             "another table of that name?",
                             table->target.storage_name, table->target.view_name);
    return status;
}

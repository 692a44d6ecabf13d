/*
 * catalog.c - which schema of each relation is in force; see catalog.h.
 */
#include "agent/catalog.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- judging ---- */

const CatalogRow *catalog_relation(const Catalog *catalog, uint32_t relation)
{
    for (size_t i = 0; i < catalog->count; i++)
        if (catalog->rows[i].relation == relation)
            return &catalog->rows[i];
    return NULL;
}

static bool has_view(const CatalogRow *row, const char *database, const char *view)
{
    return strcmp(row->view, view) == 0 && strcmp(row->database, database) == 0;
}

const CatalogRow *catalog_view(const Catalog *catalog, const char *database, const char *view)
{
    const CatalogRow *holder = NULL;

    for (size_t i = 0; i < catalog->count; i++)
        if (has_view(&catalog->rows[i], database, view) &&
            (holder == NULL || catalog->rows[i].version > holder->version))
            holder = &catalog->rows[i];
    return holder;
}

static unsigned epoch_of(Version version)
{
    return (unsigned)(version >> 112);
}

static bool is_same_place(const CatalogRow *a, const CatalogRow *b)
{
    return strcmp(a->storage, b->storage) == 0 && strcmp(a->database, b->database) == 0;
}

Claim catalog_judge(const Catalog *catalog, const CatalogRow *candidate, Version whole)
{
    const CatalogRow *own = catalog_relation(catalog, candidate->relation);
    const CatalogRow *holder = catalog_view(catalog, candidate->database, candidate->view);

    if (own && own == holder && own->fingerprint == candidate->fingerprint && is_same_place(own, candidate))
        return CLAIM_IN_FORCE;
    if (own && candidate->version < own->version)
        return CLAIM_LATE;
    if (holder && holder != own && candidate->version <= holder->version)
        return CLAIM_LATE;
    if (own && !is_same_place(own, candidate) && whole <= own->version)
        return CLAIM_WAITS;
    if (own == NULL && holder && epoch_of(candidate->version) > epoch_of(holder->version) &&
        whole <= holder->version)
        return CLAIM_WAITS;
    return CLAIM_TAKES;
}

/* ---- the table ---- */

/* *body is borrowed from the client. */
static Status ask(ClickHouse *client, Text *sql, const char **body, size_t *size, Error *error)
{
    Status status = sql->failed ? status_fail(error, STATUS_RETRY, "out of memory")
                                : clickhouse_query(client, NULL, sql->data, body, size, error);

    text_free(sql);
    return status;
}

static bool take_row(json_t *json, CatalogRow *row)
{
    const char *fingerprint = json_string_value(json_array_get(json, 1));
    const char *version = json_string_value(json_array_get(json, 5));

    row->relation = (uint32_t)json_integer_value(json_array_get(json, 0));
    row->database = json_string_value(json_array_get(json, 2));
    row->view = json_string_value(json_array_get(json, 3));
    row->storage = json_string_value(json_array_get(json, 4));
    if (fingerprint == NULL || version == NULL || !row->database || !row->view || !row->storage)
        return false;
    row->fingerprint = strtoull(fingerprint, NULL, 16);
    return *version_parse(version, &row->version) == '\0';
}

static Status take_rows(Catalog *catalog, Error *error)
{
    json_t *rows = json_array_get(catalog->answer, 0);

    catalog->rows = calloc(json_array_size(rows) + 1, sizeof *catalog->rows);
    if (catalog->rows == NULL || !json_is_array(rows))
        return status_fail(error, STATUS_RETRY,
                           "ClickHouse's answer about _walhouse_tables is no JSON array");
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (!take_row(json_array_get(rows, i), &catalog->rows[catalog->count++]))
            return status_fail(error, STATUS_RETRY,
                               "ClickHouse's answer about _walhouse_tables has another shape");
    return STATUS_OK;
}

void catalog_free(Catalog *catalog)
{
    free(catalog->rows);
    json_decref(catalog->answer);
    *catalog = (Catalog){0};
}

Status catalog_read(ClickHouse *client, const char *source, Catalog *catalog, Error *error)
{
    Text sql = {0};
    const char *body;
    size_t size;
    Status status;

    catalog_free(catalog);
    text_appendf(&sql,
                 "SELECT groupArray((relation, latest.1, latest.2, latest.3, latest.4, latest.5)) FROM ("
                 "SELECT relation, argMax((fingerprint, database, view, storage, toString(version)), "
                 "version) AS latest FROM `_walhouse_tables` WHERE source = ");
    text_append_literal(&sql, source, strlen(source));
    text_appendf(&sql, " GROUP BY relation ORDER BY relation) FORMAT JSONCompactEachRow");
    status = ask(client, &sql, &body, &size, error);
    if (status != STATUS_OK)
        return status;
    catalog->answer = json_loadb(body, size, 0, NULL);
    status = take_rows(catalog, error);
    if (status != STATUS_OK)
        catalog_free(catalog);
    return status;
}

static void append_literal(Text *text, const char *value)
{
    text_append_literal(text, value, strlen(value));
}

Status catalog_record(ClickHouse *client, const char *source, const CatalogRow *row, const char *definition,
                      Error *error)
{
    char digits[VERSION_DIGITS_MAX + 1];
    Text sql = {0};

    version_print(row->version, digits);
    text_appendf(&sql,
                 "INSERT INTO `_walhouse_tables` (source, relation, fingerprint, database, view, storage, "
                 "definition, version) SELECT ");
    append_literal(&sql, source);
    text_appendf(&sql, ", %u, '%016llx', ", row->relation, (unsigned long long)row->fingerprint);
    append_literal(&sql, row->database);
    text_appendf(&sql, ", ");
    append_literal(&sql, row->view);
    text_appendf(&sql, ", ");
    append_literal(&sql, row->storage);
    text_appendf(&sql, ", ");
    append_literal(&sql, definition);
    text_appendf(&sql, ", toUInt128('%s')", digits);
    return ask(client, &sql, NULL, NULL, error);
}

/* ---- the view ---- */

static void append_place(Text *text, const char *database, const char *view)
{
    text_append_identifier(text, database, strlen(database));
    text_append(text, ".", 1);
    text_append_identifier(text, view, strlen(view));
}

Status catalog_definition(ClickHouse *client, const char *source, const CatalogRow *row, Text *definition,
                          Error *error)
{
    const char *body = "";
    size_t size = 0;
    Text sql = {0};
    Status status;

    /* A row may have been written once more, with another definition. */
    text_appendf(&sql, "SELECT argMax(definition, (version, time)) FROM `_walhouse_tables` WHERE source = ");
    append_literal(&sql, source);
    text_appendf(&sql, " AND relation = %u AND fingerprint = '%016llx' FORMAT RawBLOB", row->relation,
                 (unsigned long long)row->fingerprint);
    status = ask(client, &sql, &body, &size, error);
    if (status != STATUS_OK)
        return status;
    text_append(definition, body, size);
    return definition->failed ? status_fail(error, STATUS_RETRY, "out of memory") : STATUS_OK;
}

Status catalog_show(ClickHouse *client, const char *source, const Catalog *catalog, const char *database,
                    const char *view, Error *error)
{
    const CatalogRow *holder = catalog_view(catalog, database, view);
    Text definition = {0};
    Text sql = {0};
    Status status;

    if (holder == NULL) {
        text_appendf(&sql, "DROP VIEW IF EXISTS ");
        append_place(&sql, database, view);
        return ask(client, &sql, NULL, NULL, error);
    }
    status = catalog_definition(client, source, holder, &definition, error);
    if (status == STATUS_OK) {
        /* A view keeps the types of its columns from when it was made, so it is made anew each time. */
        text_appendf(&sql, "CREATE OR REPLACE VIEW ");
        append_place(&sql, database, view);
        text_appendf(&sql, " AS %s", definition.data);
        status = ask(client, &sql, NULL, NULL, error);
    }
    text_free(&definition);
    return status;
}

/*
 * catalog.h - which schema of each relation is in force, and so what its view shows: the table
 * `_walhouse_tables`, which all agents share.
 *
 *      schema, version of an event --catalog_judge()--> takes over? --catalog_record()--> _walhouse_tables
 *                                                                   --catalog_show()----> the view
 *
 * In force is the schema of the event with the highest version: old schemas are sent again after restarts,
 * and snapshots of a new one overtake the stream, so neither the order of arrival nor that of the schema
 * topic says it. A row keeps the version with which its schema took over; a schema in force writes nothing
 * more.
 */
#ifndef WALHOUSE_AGENT_CATALOG_H
#define WALHOUSE_AGENT_CATALOG_H

#include "agent/clickhouse.h"
#include "agent/text.h"
#include "agent/version.h"

/* A schema that is in force for its relation, or wants to be. */
typedef struct CatalogRow {
    uint32_t relation;
    uint64_t fingerprint;
    const char *database; /* of view and storage table */
    const char *view;
    const char *storage;
    Version version;
} CatalogRow;

/* One row for each relation. */
typedef struct Catalog {
    CatalogRow *rows;
    size_t count;
    void *answer; /* what the texts are borrowed from */
} Catalog;

typedef enum Claim {
    CLAIM_IN_FORCE,
    CLAIM_LATE,  /* a later schema, or another relation of this name, is in force */
    CLAIM_WAITS, /* its storage table does not hold all rows yet */
    CLAIM_TAKES  /* it takes over */
} Claim;

/*
 * Pure. whole is the storage table's floor: every row of the source from before is in it, or gone; 0: none. A
 * new storage table of the same relation becomes the view's when it is whole from after the other was in
 * force. So does a table of another relation that follows in a later epoch: a copy of the source, whose rows
 * are not in the stream. In the same epoch it has been made anew, and all its rows are.
 */
Claim catalog_judge(const Catalog *catalog, const CatalogRow *candidate, Version whole);

/* The row of a relation; the row whose view has this name. NULL: none. */
const CatalogRow *catalog_relation(const Catalog *catalog, uint32_t relation);
const CatalogRow *catalog_view(const Catalog *catalog, const char *database, const char *view);

/* Reads it anew; what there was is freed in any case. */
Status catalog_read(ClickHouse *client, const char *source, Catalog *catalog, Error *error);
void catalog_free(Catalog *catalog);

/* definition: the view's SELECT, so that any agent can make the view. */
Status catalog_record(ClickHouse *client, const char *source, const CatalogRow *row, const char *definition,
                      Error *error);

/* The definition of a row of the catalog; text_free() it in any case. */
Status catalog_definition(ClickHouse *client, const char *source, const CatalogRow *row, Text *definition,
                          Error *error);

/* Makes the view what the catalog says, or drops it where nothing has its name any more. */
Status catalog_show(ClickHouse *client, const char *source, const Catalog *catalog, const char *database,
                    const char *view, Error *error);

#endif

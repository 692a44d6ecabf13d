/*
 * evolve_internal.h - what evolve.c, evolve_fit.c and evolve_wait.c share of an Evolve.
 *
 *      evolve.c       which schema is in force, and the view that shows it
 *      evolve_fit.c   the storage table of a schema: found, made, changed
 *      evolve_wait.c  storage tables that are not whole yet, and what is asked for them
 */
#ifndef WALHOUSE_AGENT_EVOLVE_INTERNAL_H
#define WALHOUSE_AGENT_EVOLVE_INTERNAL_H

#include "agent/catalog.h"
#include "agent/evolve.h"

#define EVOLVE_CODE_NEW_TABLE "new_storage"
#define EVOLVE_ROUNDS_MAX     10 /* others may change the same things meanwhile */

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

/* Finds the storage table of these rows, makes it, adds and widens columns. Statuses as evolve_fit(). */
Status evolve_fit_storage(Evolve *evolve, TableSchema *table, Error *error);

/*
 * Keeps the schema in mind, and asks the source for a snapshot once. *gone: what the view shows is no more,
 * and there is nothing to wait for.
 */
Status evolve_wait(Evolve *evolve, TableSchema *table, Version version, bool *gone, Error *error);
void evolve_forget(Evolve *evolve, const TableSchema *table);

#endif

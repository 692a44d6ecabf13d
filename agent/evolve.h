/*
 * evolve.h - tables and views in ClickHouse follow the schemas of their relations in Postgres.
 *
 *      schema --evolve_fit()-----> its storage table: found, made or changed (storage.h, plan.h)
 *      rows loaded --evolve_follow()--> the schema takes over, and the view shows it (catalog.h)
 *
 * docs/evolution.md says what is followed and how. Several agents may do it at once: whatever is made is
 * looked at again before it is used. It belongs to the loader's thread.
 */
#ifndef WALHOUSE_AGENT_EVOLVE_H
#define WALHOUSE_AGENT_EVOLVE_H

#include "agent/clickhouse.h"
#include "agent/metrics.h"
#include "agent/registry.h"
#include "agent/request.h"
#include "agent/version.h"

typedef struct Evolve Evolve;

/* NULL: out of memory. All of them outlive it. */
Evolve *evolve_new(const Config *config, ClickHouse *client, Metrics *metrics, Requests *requests);
void evolve_free(Evolve *evolve);

/*
 * Finds the storage table that takes rows of this schema, makes it and adds and widens columns as needed; the
 * target's storage_name, stored names and converts are then right. STATUS_STOP: it cannot be done, and
 * *error says why.
 */
Status evolve_fit(Evolve *evolve, TableSchema *table, Error *error);

/* Is this the schema that its view shows, as far as known? Asks nobody. */
bool evolve_is_shown(const Evolve *evolve, const TableSchema *table);

/* Rows or a truncate of this schema were loaded, up to this version: the view follows if it has to. */
Status evolve_follow(Evolve *evolve, TableSchema *table, Version version, Error *error);

/* What other agents have done, and schemas that waited for their storage tables; now and then. */
Status evolve_look(Evolve *evolve, Error *error);

#endif

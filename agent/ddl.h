/*
 * ddl.h - tables and views in ClickHouse for the schemas that Postgres's tables have.
 */
#ifndef WALHOUSE_AGENT_DDL_H
#define WALHOUSE_AGENT_DDL_H

#include "agent/clickhouse.h"
#include "agent/registry.h"
#include "agent/text.h"

/* The statements, for ddl_ensure() and for tests. Names are quoted. Check text->failed. */
void ddl_create_table(Text *text, const Target *target);

/*
 * Makes the storage table and the view of current rows fit to take rows of this schema: creates them, adds
 * columns. STATUS_STOP: a table is there that cannot take them, and *error says why and what to do. Several
 * agents may do it at once.
 */
Status ddl_ensure(ClickHouse *client, TableSchema *table, Error *error);

/* The database and the agent's own tables. */
Status ddl_ensure_system(ClickHouse *client, const Config *config, Error *error);

#endif

/*
 * ddl.h - statements for the tables and views in ClickHouse that Postgres's tables become.
 *
 * evolve.h decides which of them are needed.
 */
#ifndef WALHOUSE_AGENT_DDL_H
#define WALHOUSE_AGENT_DDL_H

#include "agent/clickhouse.h"
#include "agent/storage.h"
#include "agent/target.h"
#include "agent/text.h"

/* Names are quoted. Check text->failed. */

/* The storage table; the comment is its identity (storage.h). */
void ddl_create_table(Text *text, const Target *target, const char *comment);

/* What follows ALTER TABLE. */
void ddl_add_column(Text *text, const TargetColumn *column, const char *stored);
/* was: what it was before it became String, or NULL. */
void ddl_widen_column(Text *text, const TargetColumn *column, const char *stored, const char *type,
                      const char *was);

/* The SELECT of the view of current rows: the target's columns under their names, whatever they are called in
 * the storage table. */
void ddl_view_definition(Text *text, const Target *target);

/* The database and the agent's own tables. */
Status ddl_ensure_system(ClickHouse *client, const Config *config, Error *error);

#endif

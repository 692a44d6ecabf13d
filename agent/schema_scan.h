/*
 * schema_scan.h - the schemas that the schema topic has now, for the subcommands, which look and end.
 *
 *      <prefix>.__schema, read once --> Registry
 *                            '--> what is no schema, to whoever wants to know
 */
#ifndef WALHOUSE_AGENT_SCHEMA_SCAN_H
#define WALHOUSE_AGENT_SCHEMA_SCAN_H

#include "agent/registry.h"

/* Told of a message that this version cannot read as a schema. */
typedef void (*SchemaRefused)(void *context, int64_t offset, const Error *why);

/*
 * registry_free() it. NULL: *error says why not. A topic that does not exist has no schemas: *exists says so.
 * refused: NULL, nobody wants to know.
 */
Registry *schema_scan(const Config *config, bool *exists, SchemaRefused refused, void *context, Error *error);

#endif

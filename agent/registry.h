/*
 * registry.h - the schemas that the schema topic has announced, by fingerprint, and the tables they belong
 * to.
 *
 * The main thread fills it; other threads ask for lists. A schema is never changed or removed once it is
 * here, so a pointer to one stays valid for as long as the registry.
 */
#ifndef WALHOUSE_AGENT_REGISTRY_H
#define WALHOUSE_AGENT_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/rowmap.h"
#include "agent/status.h"
#include "agent/target.h"
#include "extension/common/rowbinary.h"
#include "extension/common/schema.h"

/* One version of a table's shape, ready for checking and copying bodies. */
typedef struct TableSchema {
    uint64_t fingerprint;
    WhSchema schema; /* slices borrow from bytes */
    WhType *types;   /* one a column */
    uint8_t *bytes;
    uint8_t *delete_tail; /* the defaults of the columns that a delete does not carry */
    size_t delete_tail_size;
    char *topic;
    Target target;
    RowMap *map;       /* of a table with rules; NULL: bodies are copied */
    char *rules_error; /* the table's rules do not fit it, and nothing of it can be loaded; NULL: they do */
    const TableRules *section; /* of the rules, which it is under; NULL: none */
    bool ready;                /* loader's: the table in ClickHouse has what this schema needs */
} TableSchema;

typedef struct Registry Registry;

/* NULL: out of memory. config outlives it. */
Registry *registry_new(const Config *config);
void registry_free(Registry *registry);

/*
 * Takes a message of the schema topic. *added is NULL when the fingerprint was known. STATUS_REJECT: the
 * bytes are no schema, or of a kind that this version does not know.
 */
Status registry_add(Registry *registry, const void *value, size_t size, const TableSchema **added,
                    Error *error);

/*
 * Shapes all schemas anew by other rules, which outlive the registry or the next call; no batch may hold
 * rows, nor another thread a schema beyond registry_each_table(). STATUS_STOP: something of a table that rows
 * are loaded into cannot be changed, and nothing was. STATUS_FATAL: out of memory, and nothing was changed.
 */
Status registry_use_rules(Registry *registry, const Rules *rules, Error *error);

/* NULL: not announced (yet). */
TableSchema *registry_find(Registry *registry, uint64_t fingerprint);

/* Calls visit for every known table once, with its newest schema; any thread may. */
void registry_each_table(Registry *registry, void (*visit)(void *context, const TableSchema *table),
                         void *context);

/* Do rules keep the values of the key out of the warehouse? While nobody knows what they hide, they do. */
bool registry_hides_key(const TableSchema *table);
/* The same of the tables whose events are in a topic. */
bool registry_topic_hides_key(Registry *registry, const char *topic);

/* Has any schema this name, "schema.table"? */
bool registry_knows(Registry *registry, const char *table);

#endif

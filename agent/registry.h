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
    bool ready; /* loader's: the table in ClickHouse has what this schema needs */
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

/* NULL: not announced (yet). */
TableSchema *registry_find(Registry *registry, uint64_t fingerprint);

/* Calls visit for every known table once, with its newest schema; any thread may. */
void registry_each_table(Registry *registry, void (*visit)(void *context, const TableSchema *table),
                         void *context);

#endif

/*
 * registry.c - the schemas that the schema topic has announced; see registry.h.
 *
 *      message --> checked --> TableSchema, by fingerprint
 *                              (types parsed, names in ClickHouse, the tail of a delete)
 *
 * Schemas are few (one a table and shape), so a sorted array serves: the hot path keeps the last one it asked
 * for.
 */
#include "agent/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMAS_MAX             100000
#define DEFAULT_VALUE_BYTES_MAX 32

struct Registry {
    pthread_mutex_t lock;  /* of the arrays: one thread adds, others list */
    TableSchema **schemas; /* by fingerprint */
    TableSchema **newest;  /* in the order they came, for listing: a table's last one counts */
    size_t count;
    size_t capacity;
};

Registry *registry_new(void)
{
    Registry *registry = calloc(1, sizeof *registry);

    if (registry && pthread_mutex_init(&registry->lock, NULL) != 0) {
        free(registry);
        registry = NULL;
    }
    return registry;
}

static void schema_free(TableSchema *table)
{
    if (table == NULL)
        return;
    free(table->schema.columns);
    free(table->types);
    free(table->bytes);
    free(table->delete_tail);
    free(table->topic);
    free(table->view_name);
    free(table->storage_name);
    free(table);
}

void registry_free(Registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t i = 0; i < registry->count; i++)
        schema_free(registry->schemas[i]);
    free(registry->schemas);
    free(registry->newest);
    (void)pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* The index of fingerprint, or where it belongs. */
static size_t find_place(const Registry *registry, uint64_t fingerprint)
{
    size_t low = 0, high = registry->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (registry->schemas[middle]->fingerprint < fingerprint)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

TableSchema *registry_find(Registry *registry, uint64_t fingerprint)
{
    size_t place = find_place(registry, fingerprint);

    return place < registry->count && registry->schemas[place]->fingerprint == fingerprint
               ? registry->schemas[place]
               : NULL;
}

/* "table" for Postgres's public.table, "schema.table" for others, with prefix before it; malloc'ed. */
static char *clickhouse_name(const char *prefix, const WhSchema *schema)
{
    bool is_public = wh_slice_equals(schema->schema_name, "public");
    size_t schema_size = is_public ? 0 : schema->schema_name.size + 1;
    size_t prefix_size = strlen(prefix);
    char *name = malloc(prefix_size + schema_size + schema->table_name.size + 1);
    char *p = name;

    if (name == NULL)
        return NULL;
    memcpy(p, prefix, prefix_size);
    p += prefix_size;
    if (!is_public) {
        memcpy(p, schema->schema_name.data, schema->schema_name.size);
        p += schema->schema_name.size;
        *p++ = '.';
    }
    memcpy(p, schema->table_name.data, schema->table_name.size);
    p[schema->table_name.size] = '\0';
    return name;
}

/* STATUS_REJECT for a type that this version does not know. */
static Status parse_types(TableSchema *table, Error *error)
{
    const WhSchema *schema = &table->schema;
    WhWriter tail = wh_writer(table->delete_tail, (size_t)schema->column_count * DEFAULT_VALUE_BYTES_MAX);

    for (uint32_t i = 0; i < schema->column_count; i++) {
        const WhColumn *column = &schema->columns[i];

        if (!wh_type_parse(column->clickhouse_type, column->nullable, &table->types[i]))
            return status_fail(error, STATUS_REJECT,
                               "column %.*s has the unknown type %.*s: is the agent too old?",
                               (int)column->name.size, (const char *)column->name.data,
                               (int)column->clickhouse_type.size, (const char *)column->clickhouse_type.data);
        if (i >= schema->key_column_count)
            wh_type_put_default(&tail, &table->types[i]);
    }
    table->delete_tail_size = tail.length;
    return STATUS_OK;
}

static Status fill_schema(TableSchema *table, const WhSchemaMessage *message, Error *error)
{
    const char *problem;
    size_t offset;
    WhColumn *columns;

    table->fingerprint = message->fingerprint;
    table->bytes = malloc(message->schema.size);
    table->schema.columns = calloc(WH_COLUMNS_MAX, sizeof *table->schema.columns);
    table->topic = strndup((const char *)message->topic.data, message->topic.size);
    if (table->bytes == NULL || table->schema.columns == NULL || table->topic == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    memcpy(table->bytes, message->schema.data, message->schema.size);
    if (!wh_schema_get((WhSlice){table->bytes, message->schema.size}, &table->schema, table->schema.columns,
                       WH_COLUMNS_MAX, &problem, &offset))
        return status_fail(error, STATUS_REJECT, "%s at byte %zu of the schema", problem, offset);
    if (table->schema.column_count == 0)
        return status_fail(error, STATUS_REJECT, "the table has no columns");
    columns = realloc(table->schema.columns, table->schema.column_count * sizeof *columns);
    if (columns)
        table->schema.columns = columns;
    table->types = calloc(table->schema.column_count, sizeof *table->types);
    table->delete_tail = calloc(table->schema.column_count, DEFAULT_VALUE_BYTES_MAX);
    table->view_name = clickhouse_name("", &table->schema);
    table->storage_name = clickhouse_name("_", &table->schema);
    if (table->types == NULL || table->delete_tail == NULL || table->view_name == NULL ||
        table->storage_name == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    return parse_types(table, error);
}

static bool make_room(Registry *registry)
{
    size_t capacity = registry->capacity ? registry->capacity * 2 : 64;
    TableSchema **schemas, **newest;

    if (registry->count < registry->capacity)
        return true;
    schemas = realloc(registry->schemas, capacity * sizeof *schemas);
    if (schemas == NULL)
        return false;
    registry->schemas = schemas;
    newest = realloc(registry->newest, capacity * sizeof *newest);
    if (newest == NULL)
        return false;
    registry->newest = newest;
    registry->capacity = capacity;
    return true;
}

static Status insert_schema(Registry *registry, TableSchema *table, Error *error)
{
    size_t place;
    bool ok;

    (void)pthread_mutex_lock(&registry->lock);
    ok = registry->count < SCHEMAS_MAX && make_room(registry);
    if (ok) {
        place = find_place(registry, table->fingerprint);
        memmove(&registry->schemas[place + 1], &registry->schemas[place],
                (registry->count - place) * sizeof *registry->schemas);
        registry->schemas[place] = table;
        registry->newest[registry->count++] = table;
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return ok ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory for schemas");
}

Status registry_add(Registry *registry, const void *value, size_t size, const TableSchema **added,
                    Error *error)
{
    WhSchemaMessage message;
    const char *problem;
    size_t offset;
    TableSchema *table;
    Status status;

    *added = NULL;
    if (!wh_schema_message_get((WhSlice){value, size}, &message, &problem, &offset))
        return status_fail(error, STATUS_REJECT, "%s at byte %zu", problem, offset);
    if (registry_find(registry, message.fingerprint))
        return STATUS_OK;
    table = calloc(1, sizeof *table);
    if (table == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = fill_schema(table, &message, error);
    if (status == STATUS_OK)
        status = insert_schema(registry, table, error);
    if (status == STATUS_OK)
        *added = table;
    else
        schema_free(table);
    return status;
}

void registry_each_table(Registry *registry, void (*visit)(void *context, const TableSchema *table),
                         void *context)
{
    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count; i++) {
        bool superseded = false;

        for (size_t later = i + 1; later < registry->count && !superseded; later++)
            superseded = strcmp(registry->newest[i]->view_name, registry->newest[later]->view_name) == 0;
        if (!superseded)
            visit(context, registry->newest[i]);
    }
    (void)pthread_mutex_unlock(&registry->lock);
}

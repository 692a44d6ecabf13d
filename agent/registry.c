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

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ruled.h"

#define SCHEMAS_MAX             100000
#define DEFAULT_VALUE_BYTES_MAX 32
/* ClickHouse keeps a table in files of its name, with the database's, a UUID and more around it: 255 bytes in
 * all. */
#define VIEW_FILE_NAME_BYTES_MAX 160

struct Registry {
    const Config *config;
    const Rules *rules;
    pthread_mutex_t lock;  /* of the arrays: one thread adds, others list */
    TableSchema **schemas; /* by fingerprint */
    TableSchema **newest;  /* in the order they came, for listing: a table's last one counts */
    size_t count;
    size_t capacity;
};

Registry *registry_new(const Config *config)
{
    Registry *registry = calloc(1, sizeof *registry);

    if (registry && pthread_mutex_init(&registry->lock, NULL) != 0) {
        free(registry);
        registry = NULL;
    }
    if (registry) {
        registry->config = config;
        registry->rules = config->rules;
    }
    return registry;
}

/* What the table's rules, or their absence, made of it. */
static void forget_rules(TableSchema *table)
{
    target_free(&table->target);
    rowmap_free(table->map);
    free(table->rules_error);
    table->map = NULL;
    table->rules_error = NULL;
    table->section = NULL;
}

static void schema_free(TableSchema *table)
{
    if (table == NULL)
        return;
    forget_rules(table);
    free(table->schema.columns);
    free(table->types);
    free(table->bytes);
    free(table->delete_tail);
    free(table->topic);
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

/* What a name takes as ClickHouse writes it into file names: word characters stay, others take three bytes.
 */
static size_t file_name_size(const uint8_t *name, size_t size)
{
    size_t taken = 0;

    for (size_t i = 0; i < size; i++)
        taken += isalnum(name[i]) || name[i] == '_' ? 1 : 3;
    return taken;
}

/* Ends the name, cut between two characters where it is too long, in '_' and the hash of both names. */
static size_t end_in_hash(uint8_t *name, size_t size, const WhSchema *schema)
{
    uint8_t names[2 * WH_NAME_BYTES_MAX + 1];
    WhWriter w = wh_writer(names, sizeof names);
    char hex[WH_FINGERPRINT_HEX_SIZE];

    wh_put_bytes(&w, schema->schema_name.data, schema->schema_name.size);
    wh_put_u8(&w, 0);
    wh_put_bytes(&w, schema->table_name.data, schema->table_name.size);
    wh_fingerprint_hex(wh_schema_fingerprint((WhSlice){names, w.length}), hex);
    while (file_name_size(name, size) > VIEW_FILE_NAME_BYTES_MAX - WH_FINGERPRINT_HEX_SIZE)
        for (size--; size > 0 && (name[size] & 0xC0) == 0x80; size--)
            ;
    name[size++] = '_';
    memcpy(name + size, hex, WH_FINGERPRINT_HEX_SIZE - 1);
    return size + WH_FINGERPRINT_HEX_SIZE - 1;
}

/*
 * "table" for Postgres's public.table, "schema.table" for others; malloc'ed. A hash is appended to what
 * another table could be called, too (a table's name with a dot in it, a view's that begins as storage
 * tables' do), and to what is too long for ClickHouse's files.
 */
static char *view_name(const WhSchema *schema)
{
    bool is_public = wh_slice_equals(schema->schema_name, "public");
    uint8_t name[2 * WH_NAME_BYTES_MAX + 1 + WH_FINGERPRINT_HEX_SIZE];
    WhWriter w = wh_writer(name, sizeof name);
    size_t size;

    if (!is_public) {
        wh_put_bytes(&w, schema->schema_name.data, schema->schema_name.size);
        wh_put_u8(&w, '.');
    }
    wh_put_bytes(&w, schema->table_name.data, schema->table_name.size);
    size = w.length;
    if (memchr(schema->table_name.data, '.', schema->table_name.size) || name[0] == '_' ||
        file_name_size(name, size) > VIEW_FILE_NAME_BYTES_MAX)
        size = end_in_hash(name, size, schema);
    return strndup((const char *)name, size);
}

/* All versions of a table that are known, itself among them; free() *versions. */
static bool find_relation(const Registry *registry, const TableSchema *table, const WhSchema ***versions,
                          size_t *count)
{
    *count = 1;
    *versions = calloc(registry->count + 1, sizeof **versions);
    if (*versions == NULL)
        return false;
    (*versions)[0] = &table->schema;
    for (size_t i = 0; i < registry->count; i++)
        if (registry->newest[i] != table &&
            registry->newest[i]->schema.relation_oid == table->schema.relation_oid)
            (*versions)[(*count)++] = &registry->newest[i]->schema;
    return true;
}

/* The target of a schema whose types are parsed, under the rules. */
static Status make_target(const Registry *registry, const Rules *rules, TableSchema *table, Error *error)
{
    char *name = view_name(&table->schema);
    const WhSchema **versions = NULL;
    size_t count;
    Status status =
        name ? target_copy(&table->target, registry->config->clickhouse_database, name, &table->schema, error)
             : status_fail(error, STATUS_FATAL, "out of memory");

    free(name);
    if (status != STATUS_OK || rules == NULL || rules->count == 0)
        return status;
    if (!find_relation(registry, table, &versions, &count))
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = ruled_apply(table, rules, (Relation){versions, count}, error);
    free(versions);
    return status;
}

/* A table keeps its storage table's name when it is renamed; where that is not made yet, it gets the name of
 * the version that was announced first. Every agent reads the same. */
static Status share_storage(const Registry *registry, TableSchema *table, Error *error)
{
    Target *target = &table->target;
    const Target *first = NULL;
    char *base, *name;

    for (size_t i = 0; i < registry->count && first == NULL; i++)
        if (registry->newest[i]->schema.relation_oid == table->schema.relation_oid &&
            strcmp(registry->newest[i]->target.database, target->database) == 0)
            first = &registry->newest[i]->target;
    if (first == NULL)
        return STATUS_OK;
    base = strdup(first->storage_base);
    name = strdup(first->storage_base);
    if (base == NULL || name == NULL) {
        free(base);
        free(name);
        return status_fail(error, STATUS_FATAL, "out of memory");
    }
    free(target->storage_base);
    free(target->storage_name);
    target->storage_base = base;
    target->storage_name = name;
    return STATUS_OK;
}

static Status make_shared_target(const Registry *registry, const Rules *rules, TableSchema *table,
                                 Error *error)
{
    Status status = make_target(registry, rules, table, error);

    return status == STATUS_OK ? share_storage(registry, table, error) : status;
}

/*
 * Of two tables that would be one view the one that was announced first is it. fresh: count of them as other
 * rules make them; NULL: as they are. Where a table has another name by now, its last one counts.
 */
static Status refuse_rival(const Registry *registry, const TableSchema *fresh, size_t count,
                           TableSchema *table, Error *error)
{
    for (size_t i = 0; i < count; i++) {
        const TableSchema *other = fresh ? &fresh[i] : registry->newest[i];
        bool is_last = ruled_are_rivals(table, other);

        for (size_t later = i + 1; later < registry->count && is_last; later++)
            is_last = registry->newest[later]->schema.relation_oid != other->schema.relation_oid;
        if (is_last)
            return ruled_refuse_rival(table, other, error);
    }
    return STATUS_OK;
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

static Status fill_schema(const Registry *registry, TableSchema *table, const WhSchemaMessage *message,
                          Error *error)
{
    Status status;
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
    if (table->types == NULL || table->delete_tail == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = parse_types(table, error);
    if (status == STATUS_OK)
        status = make_shared_target(registry, registry->rules, table, error);
    return status == STATUS_OK && registry->rules && registry->rules->count > 0
               ? refuse_rival(registry, NULL, registry->count, table, error)
               : status;
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
    status = fill_schema(registry, table, &message, error);
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
            superseded =
                registry->newest[i]->schema.relation_oid == registry->newest[later]->schema.relation_oid ||
                strcmp(registry->newest[i]->target.view_name, registry->newest[later]->target.view_name) == 0;
        if (!superseded)
            visit(context, registry->newest[i]);
    }
    (void)pthread_mutex_unlock(&registry->lock);
}

bool registry_hides_key(const TableSchema *table)
{
    for (uint32_t i = 0; table->map && i < table->schema.key_column_count; i++)
        if (!rowmap_may_show(table->map, i))
            return true;
    return table->rules_error != NULL;
}

bool registry_topic_hides_key(Registry *registry, const char *topic)
{
    bool hides = false;

    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count && !hides; i++)
        hides = strcmp(registry->newest[i]->topic, topic) == 0 && registry_hides_key(registry->newest[i]);
    (void)pthread_mutex_unlock(&registry->lock);
    return hides;
}

bool registry_knows(Registry *registry, const char *table)
{
    bool known = false;

    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count && !known; i++) {
        const WhSchema *schema = &registry->newest[i]->schema;
        size_t size = schema->schema_name.size;

        known = strncmp(table, (const char *)schema->schema_name.data, size) == 0 && table[size] == '.' &&
                wh_slice_equals(schema->table_name, table + size + 1);
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return known;
}

/* ---- other rules ---- */

/* fresh, one of all, gets what the rules make of the table, beside what it borrows from it. */
static Status shape_anew(const Registry *registry, const Rules *rules, const TableSchema *table,
                         const TableSchema *all, TableSchema *fresh, Error *error)
{
    Status status;

    *fresh = *table;
    fresh->target = (Target){0};
    fresh->map = NULL;
    fresh->rules_error = NULL;
    fresh->section = NULL;
    status = make_shared_target(registry, rules, fresh, error);
    if (status == STATUS_OK && rules && rules->count > 0)
        status = refuse_rival(registry, all, (size_t)(fresh - all), fresh, error);
    if (status != STATUS_OK || !table->ready)
        return status;
    return fresh->rules_error ? status_fail(error, STATUS_STOP, "%s", fresh->rules_error)
                              : ruled_can_follow(table, fresh, error);
}

static void take_fresh(TableSchema *table, TableSchema *fresh)
{
    /* Most tables have no rules, before and after: they stay ready. */
    if (table->target.copies && table->rules_error == NULL && fresh->target.copies &&
        fresh->rules_error == NULL) {
        forget_rules(fresh);
        return;
    }
    forget_rules(table);
    table->target = fresh->target;
    table->map = fresh->map;
    table->rules_error = fresh->rules_error;
    table->section = fresh->section;
    table->ready = false;
    if (table->map)
        rowmap_move(table->map, &table->schema);
}

Status registry_use_rules(Registry *registry, const Rules *rules, Error *error)
{
    TableSchema *fresh = calloc(registry->count + 1, sizeof *fresh);
    size_t done = 0;
    Status status = fresh ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");

    for (; status == STATUS_OK && done < registry->count; done++)
        status = shape_anew(registry, rules, registry->newest[done], fresh, &fresh[done], error);
    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < done; i++) {
        if (status == STATUS_OK)
            take_fresh(registry->newest[i], &fresh[i]);
        else
            forget_rules(&fresh[i]);
    }
    (void)pthread_mutex_unlock(&registry->lock);
    free(fresh);
    if (status == STATUS_OK)
        registry->rules = rules;
    return status;
}

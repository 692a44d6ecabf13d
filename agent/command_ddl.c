/*
 * command_ddl.c - `walhouse-agent ddl`: what would be created in ClickHouse for the tables that the schema
 * topic knows.
 *
 *      <prefix>.__schema, read once --> Registry, under the rules --> statements on standard output
 *                                                               \--> rules that fit no table on standard
 * error
 */
#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/command.h"
#include "agent/ddl.h"
#include "agent/history.h"
#include "agent/registry.h"
#include "agent/schema_scan.h"

typedef struct Listing {
    const char *only; /* schema.table; NULL: all */
    const Config *config;
    Registry *registry;
    size_t shown;
    bool failed;
} Listing;

static void refuse_schema(void *context, int64_t offset, const Error *why)
{
    Listing *listing = context;

    (void)fprintf(stderr, "walhouse-agent: the schema at offset %lld cannot be read: %s\n", (long long)offset,
                  why->text);
    listing->failed = true;
}

static bool is_wanted(const Listing *listing, const WhSchema *schema)
{
    size_t size = schema->schema_name.size;

    return listing->only == NULL ||
           (strncmp(listing->only, (const char *)schema->schema_name.data, size) == 0 &&
            listing->only[size] == '.' && wh_slice_equals(schema->table_name, listing->only + size + 1));
}

/* The statement, or in a cluster those that it becomes; it is freed. */
static void append_statement(Text *text, const Config *config, Text *sql)
{
    Text parts[2] = {{0}};

    if (config->clickhouse_cluster[0] == '\0')
        text_append(&parts[0], sql->data, sql->size);
    else if (!sql->failed)
        cluster_rewrite(config->clickhouse_cluster, sql->data, &parts[0], &parts[1]);
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].size > 0)
            text_appendf(text, "%s;\n", parts[i].data);
        text->failed = text->failed || parts[i].failed;
        text_free(&parts[i]);
    }
    text->failed = text->failed || sql->failed;
    text_free(sql);
}

static void append_statements(Text *text, const Config *config, const TableSchema *table)
{
    const Target *target = &table->target;
    Text identity = {0};
    Text sql = {0};

    storage_append_identity(&identity, config->kafka_topic_prefix, table->schema.relation_oid, target);
    ddl_create_table(&sql, target, identity.data ? identity.data : "");
    append_statement(text, config, &sql);
    text_appendf(&sql, "CREATE OR REPLACE VIEW ");
    target_append_view(&sql, target);
    text_appendf(&sql, " AS ");
    ddl_view_definition(&sql, target);
    append_statement(text, config, &sql);
    if (target->history_name) {
        history_create_statement(&sql, target);
        append_statement(text, config, &sql);
    }
    text->failed = text->failed || identity.failed;
    text_free(&identity);
}

/* One statement a line. */
static void print_table(void *context, const TableSchema *table)
{
    Listing *listing = context;
    Text text = {0};

    if (!is_wanted(listing, &table->schema))
        return;
    listing->shown++;
    if (table->rules_error) {
        (void)fprintf(stderr, "walhouse-agent: %s\n", table->rules_error);
        listing->failed = true;
        return;
    }
    text_appendf(&text, "-- %.*s.%.*s\n", (int)table->schema.schema_name.size,
                 (const char *)table->schema.schema_name.data, (int)table->schema.table_name.size,
                 (const char *)table->schema.table_name.data);
    append_statements(&text, listing->config, table);
    listing->failed |= text.failed;
    (void)printf("%s", text.failed ? "" : text.data);
    text_free(&text);
}

/* A section whose table is not known yet may be right, or misspelt. */
static void look_for_strangers(const Listing *listing, const Rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        if (!registry_knows(listing->registry, rules->tables[i].table))
            (void)fprintf(stderr, "walhouse-agent: [table %s]: the schema topic does not know such a table\n",
                          rules->tables[i].table);
}

static Status list(const Config *config, Listing *listing, Error *error)
{
    bool exists;
    Status status;

    listing->registry = schema_scan(config, &exists, refuse_schema, listing, error);
    if (listing->registry == NULL)
        return STATUS_FATAL;
    if (!exists)
        return status_fail(error, STATUS_FATAL,
                           "there is no topic %.200s.__schema: has the pipeline sent anything yet?",
                           config->kafka_topic_prefix);
    status = registry_use_rules(listing->registry, config->rules, error);
    if (status != STATUS_OK)
        return status;
    registry_each_table(listing->registry, print_table, listing);
    look_for_strangers(listing, config->rules);
    if (listing->only && listing->shown == 0)
        return status_fail(error, STATUS_FATAL, "the schema topic does not know the table %s", listing->only);
    return STATUS_OK;
}

int command_ddl(const Config *config, int argc, char **argv)
{
    Listing listing = {.only = argc > 1 ? argv[1] : NULL, .config = config};
    Error error;
    Status status;

    if (argc > 2) {
        (void)fprintf(stderr, "walhouse-agent: ddl takes one table, as public.orders (see --help)\n");
        return EXIT_USAGE;
    }
    status = list(config, &listing, &error);
    registry_free(listing.registry);
    if (status != STATUS_OK)
        (void)fprintf(stderr, "walhouse-agent: %s\n", error.text);
    return status == STATUS_OK && !listing.failed ? 0 : EXIT_TROUBLE;
}

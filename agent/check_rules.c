/*
 * check_rules.c - do the sections [table ...] fit the tables that the schema topic announces? See check.h.
 */
#include <string.h>

#include "agent/check.h"
#include "agent/layout.h"

typedef struct RulesCheck {
    Check *check;
    ClickHouse *client;        /* NULL: it cannot be asked, as is said elsewhere */
    const TableRules *section; /* NULL: every table's rules are looked at */
    bool found;
} RulesCheck;

/* Of the first storage table: which one takes the rows now is found out when they are loaded. */
static void compare_layout(RulesCheck *r, const Target *target)
{
    Text differences = {0};
    Error error;

    if (layout_compare(r->client, target, &differences, &error) == STATUS_OK && differences.size > 0)
        check_wrong(r->check, LAYOUT_WAY_OUT, "%s", differences.data);
    text_free(&differences);
}

static void look_at_table(void *context, const TableSchema *table)
{
    RulesCheck *r = context;

    if (table->rules_error)
        check_wrong(r->check, "mend the table's section; a running agent reads it again on SIGHUP",
                    "rules of %s: %s", table->target.view_name, table->rules_error);
    else if (table->section && r->client)
        compare_layout(r, &table->target);
}

static void look_for_table(void *context, const TableSchema *table)
{
    RulesCheck *r = context;
    const WhSlice *schema = &table->schema.schema_name;
    const WhSlice *name = &table->schema.table_name;
    const char *given = r->section->table;

    if (strlen(given) == schema->size + 1 + name->size && memcmp(given, schema->data, schema->size) == 0 &&
        given[schema->size] == '.' && memcmp(given + schema->size + 1, name->data, name->size) == 0)
        r->found = true;
}

void check_rules(Check *check, const Config *config, Registry *registry)
{
    RulesCheck r = {.check = check};
    Error error = {""};

    /* With all versions of a table known: a column that only an older one had is no error. */
    if (config->rules->count > 0 && registry_use_rules(registry, config->rules, &error) == STATUS_FATAL)
        check_wrong(check, "try again", "%s", error.text);
    r.client = config->rules->count > 0 ? clickhouse_open(config, &error) : NULL;
    registry_each_table(registry, look_at_table, &r);
    clickhouse_close(r.client);
    for (size_t i = 0; i < config->rules->count; i++) {
        r = (RulesCheck){.check = check, .section = &config->rules->tables[i]};
        registry_each_table(registry, look_for_table, &r);
        if (r.found)
            check_right(check, "section [table %s] has a table", r.section->table);
        else
            check_wrong(check,
                        "compare the name with walhouse.tables; a table is announced with its first event",
                        "section [table %s]: no such table is announced", r.section->table);
    }
}

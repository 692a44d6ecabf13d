/*
 * rules.c - reading the [table schema.name] sections; see rules.h.
 */
#include "agent/rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nearest.h"
#include "lib/secret_file.h"

#define SECTION_PREFIX "table "

typedef enum SettingKind {
    SET_COLUMNS,
    SET_DROP,
    SET_FILTER,
    SET_DATABASE,
    SET_TABLE,
    SET_ORDER_BY,
    SET_PARTITION_BY,
    SET_TTL,
    SET_HISTORY,
    SET_RENAME,
    SET_MASK,
    SET_CODEC,
    SET_CONSTANT
} SettingKind;

/* A name that ends in a dot is followed by a column's. */
static const struct {
    const char *name;
    SettingKind kind;
} known[] = {{"columns", SET_COLUMNS},   {"drop", SET_DROP},       {"filter", SET_FILTER},
             {"database", SET_DATABASE}, {"table", SET_TABLE},     {"order_by", SET_ORDER_BY},
             {"ttl", SET_TTL},           {"history", SET_HISTORY}, {"partition_by", SET_PARTITION_BY},
             {"rename.", SET_RENAME},    {"mask.", SET_MASK},      {"codec.", SET_CODEC},
             {"constant.", SET_CONSTANT}};

#define KNOWN_COUNT (sizeof known / sizeof known[0])

const char *rules_setting_name(size_t i)
{
    return i < KNOWN_COUNT ? known[i].name : NULL;
}

Rules *rules_new(void)
{
    return calloc(1, sizeof(Rules));
}

static void free_table(TableRules *table)
{
    for (size_t i = 0; i < table->setting_count; i++) {
        free(table->settings[i].name);
        free(table->settings[i].value);
    }
    for (size_t i = 0; i < table->column_count; i++)
        free(table->columns[i].name);
    free(table->settings);
    free(table->columns);
    free(table->constants);
    free(table->table);
}

void rules_free(Rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        free_table(&rules->tables[i]);
    if (rules->salt)
        explicit_bzero(rules->salt, rules->salt_size);
    free(rules->salt);
    free(rules->tables);
    free(rules);
}

/* ---- taking lines ---- */

/* The index in known[], or KNOWN_COUNT. */
static size_t find_known(const char *name)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        size_t size = strlen(known[i].name);

        if (known[i].name[size - 1] == '.' ? strncmp(name, known[i].name, size) == 0 && name[size]
                                           : strcmp(name, known[i].name) == 0)
            return i;
    }
    return KNOWN_COUNT;
}

static Status refuse_name(const char *section, const char *name, Error *error)
{
    const char *dot = strchr(name, '.');
    char head[NEAREST_BYTES_MAX + 1];
    const char *best = known[0].name;
    size_t best_distance = SIZE_MAX;

    (void)snprintf(head, sizeof head, "%.*s", dot ? (int)(dot - name + 1) : (int)strlen(name), name);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        size_t distance = nearest_distance(head, known[i].name);

        if (distance < best_distance) {
            best_distance = distance;
            best = known[i].name;
        }
    }
    return status_fail(error, STATUS_FATAL, "unknown setting [%s] %s; did you mean %s%s?", section, name,
                       best,
                       best[strlen(best) - 1] != '.' ? ""
                       : dot                         ? dot + 1
                                                     : "COLUMN");
}

static TableRules *find_section(const Rules *rules, const char *table)
{
    for (size_t i = 0; i < rules->count; i++)
        if (strcmp(rules->tables[i].table, table) == 0)
            return &rules->tables[i];
    return NULL;
}

/* NULL: out of memory. */
static TableRules *open_section(Rules *rules, const char *table)
{
    TableRules *found = find_section(rules, table);
    TableRules *tables;

    if (found)
        return found;
    tables = realloc(rules->tables, (rules->count + 1) * sizeof *tables);
    if (tables == NULL)
        return NULL;
    rules->tables = tables;
    tables[rules->count] = (TableRules){.table = strdup(table)};
    return tables[rules->count].table ? &tables[rules->count++] : NULL;
}

static bool add_setting(TableRules *table, const char *name, const char *value)
{
    Setting *settings = realloc(table->settings, (table->setting_count + 1) * sizeof *settings);
    Setting added = {strdup(name), strdup(value)};

    if (settings)
        table->settings = settings;
    if (settings == NULL || added.name == NULL || added.value == NULL) {
        free(added.name);
        free(added.value);
        return false;
    }
    settings[table->setting_count++] = added;
    return true;
}

Status rules_take(Rules *rules, const char *section, const char *name, const char *value, Error *error)
{
    const char *table_name = section + strlen(SECTION_PREFIX);
    TableRules *table;

    if (strchr(table_name, '.') == NULL)
        return status_fail(error, STATUS_FATAL, "[%s] lacks the table's schema: [table public.%s]?", section,
                           table_name);
    if (find_known(name) == KNOWN_COUNT)
        return refuse_name(section, name, error);
    table = open_section(rules, table_name);
    if (table == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    for (size_t i = 0; i < table->setting_count; i++)
        if (strcmp(table->settings[i].name, name) == 0)
            return status_fail(error, STATUS_FATAL, "[%s] %s is given twice", section, name);
    return add_setting(table, name, value) ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

/* ---- reading them ---- */

static Status fail_setting(Error *error, const TableRules *table, const Setting *setting, const char *wanted)
{
    return status_fail(error, STATUS_FATAL, "[table %s] %s = %.100s: %s", table->table, setting->name,
                       setting->value, wanted);
}

/* NULL: out of memory. The rule stays where it is only until the next one is asked for. */
static ColumnRule *column_rule(TableRules *table, const char *name, size_t size)
{
    ColumnRule *columns;

    for (size_t i = 0; i < table->column_count; i++)
        if (strncmp(table->columns[i].name, name, size) == 0 && table->columns[i].name[size] == '\0')
            return &table->columns[i];
    columns = realloc(table->columns, (table->column_count + 1) * sizeof *columns);
    if (columns == NULL)
        return NULL;
    table->columns = columns;
    columns[table->column_count] = (ColumnRule){.name = strndup(name, size)};
    return columns[table->column_count].name ? &columns[table->column_count++] : NULL;
}

/* Names separated by commas. */
static Status read_names(TableRules *table, const Setting *setting, SettingKind kind, Error *error)
{
    const char *at = setting->value;

    for (;;) {
        size_t size = strcspn(at, ",");
        size_t before = strspn(at, " \t");
        const char *name = at + before;
        size_t name_size = size > before ? size - before : 0;
        ColumnRule *rule;

        while (name_size > 0 && isspace((unsigned char)name[name_size - 1]))
            name_size--;
        if (name_size == 0)
            return fail_setting(error, table, setting, "it takes columns, separated by commas");
        rule = column_rule(table, name, name_size);
        if (rule == NULL)
            return status_fail(error, STATUS_FATAL, "out of memory");
        rule->chosen |= kind == SET_COLUMNS;
        rule->dropped |= kind == SET_DROP;
        if (at[size] == '\0')
            return STATUS_OK;
        at += size + 1;
    }
}

static Status read_mask(const TableRules *table, const Setting *setting, ColumnRule *rule, Error *error)
{
    static const char fixed[] = "fixed:", partial[] = "partial:";
    const char *value = setting->value;
    unsigned long shown;
    char *end;

    if (strcmp(value, "hash") == 0) {
        rule->mask = MASK_HASH;
        return STATUS_OK;
    }
    if (strncmp(value, fixed, sizeof fixed - 1) == 0) {
        rule->mask = MASK_FIXED;
        rule->fixed = value + sizeof fixed - 1;
        return STATUS_OK;
    }
    if (strncmp(value, partial, sizeof partial - 1) == 0 &&
        isdigit((unsigned char)value[sizeof partial - 1])) {
        shown = strtoul(value + sizeof partial - 1, &end, 10);
        if (*end == '\0' && shown <= RULES_PARTIAL_MAX) {
            rule->mask = MASK_PARTIAL;
            rule->shown = (unsigned)shown;
            return STATUS_OK;
        }
    }
    return fail_setting(error, table, setting, "it takes hash, fixed:TEXT or partial:N");
}

static Status read_column_setting(TableRules *table, const Setting *setting, SettingKind kind, Error *error)
{
    const char *name = strchr(setting->name, '.') + 1;
    ColumnRule *rule = column_rule(table, name, strlen(name));

    if (rule == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    if (setting->value[0] == '\0')
        return fail_setting(error, table, setting, "it is empty");
    if (kind == SET_MASK)
        return read_mask(table, setting, rule, error);
    if (kind == SET_RENAME)
        rule->rename = setting->value;
    else
        rule->codec = setting->value;
    return STATUS_OK;
}

/* "Decimal(12, 2) 1.50": the type ends at the first blank outside of parentheses. */
static Status read_constant(TableRules *table, const Setting *setting, Error *error)
{
    const char *value = setting->value;
    ConstantRule *constants = realloc(table->constants, (table->constant_count + 1) * sizeof *constants);
    size_t size = 0;
    int depth = 0;

    if (constants == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    table->constants = constants;
    for (; value[size] && (value[size] != ' ' || depth > 0); size++)
        depth += (value[size] == '(') - (value[size] == ')');
    if (size == 0 || depth != 0)
        return fail_setting(error, table, setting, "it takes a type and a value: String eu-west");
    constants[table->constant_count].name = strchr(setting->name, '.') + 1;
    constants[table->constant_count].type = (WhSlice){(const uint8_t *)value, size};
    value += size + (value[size] == ' ');
    constants[table->constant_count++].value = (WhSlice){(const uint8_t *)value, strlen(value)};
    return STATUS_OK;
}

static Status read_text(const TableRules *table, const Setting *setting, const char **field, Error *error)
{
    if (setting->value[0] == '\0')
        return fail_setting(error, table, setting, "it is empty");
    *field = setting->value;
    return STATUS_OK;
}

static Status read_setting(TableRules *table, const Setting *setting, Error *error)
{
    SettingKind kind = known[find_known(setting->name)].kind;

    switch (kind) {
    case SET_COLUMNS:
        table->chooses = true;
        return read_names(table, setting, kind, error);
    case SET_DROP:
        return read_names(table, setting, kind, error);
    case SET_FILTER:
        return read_text(table, setting, &table->filter, error);
    case SET_DATABASE:
        return read_text(table, setting, &table->database, error);
    case SET_TABLE:
        return read_text(table, setting, &table->view, error);
    case SET_ORDER_BY:
        return read_text(table, setting, &table->order_by, error);
    case SET_PARTITION_BY:
        return read_text(table, setting, &table->partition_by, error);
    case SET_TTL:
        return read_text(table, setting, &table->ttl, error);
    case SET_HISTORY:
        table->history = strcmp(setting->value, "true") == 0;
        return table->history || strcmp(setting->value, "false") == 0
                   ? STATUS_OK
                   : fail_setting(error, table, setting, "it takes true or false");
    case SET_CONSTANT:
        return read_constant(table, setting, error);
    default:
        return read_column_setting(table, setting, kind, error);
    }
}

/* Contradictions that need no schema to be seen. */
static Status check_table(const TableRules *table, Error *error)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const ColumnRule *rule = &table->columns[i];

        if (rule->chosen && rule->dropped)
            return status_fail(error, STATUS_FATAL, "[table %s] column %s is in columns and in drop",
                               table->table, rule->name);
    }
    if (table->view && (table->view[0] == '_' || strchr(table->view, '`')))
        return status_fail(error, STATUS_FATAL,
                           "[table %s] table = %s: names that begin with _ are the agent's own", table->table,
                           table->view);
    return STATUS_OK;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Two tables must not become one view. */
static Status check_views(const Rules *rules, Error *error)
{
    for (size_t i = 0; i < rules->count; i++)
        for (size_t j = 0; j < i; j++) {
            const TableRules *a = &rules->tables[j], *b = &rules->tables[i];

            if (a->view && same_text(a->view, b->view) && same_text(a->database, b->database))
                return status_fail(error, STATUS_FATAL, "[table %s] and [table %s] have the same table = %s",
                                   a->table, b->table, a->view);
        }
    return STATUS_OK;
}

static bool has_hash(const Rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        for (size_t j = 0; j < rules->tables[i].column_count; j++)
            if (rules->tables[i].columns[j].mask == MASK_HASH)
                return true;
    return false;
}

static Status read_salt(Rules *rules, const char *path, Error *error)
{
    char secret[SECRET_BYTES_MAX + 1], problem[128];

    if (path[0] == '\0')
        return status_fail(
            error, STATUS_FATAL,
            "a column has mask = hash, and [rules] salt_file is missing: a file whose first line is "
            "a secret (openssl rand -hex 32)");
    /* Short ones can be guessed. */
    if (!secret_file_read(path, RULES_SALT_BYTES_MIN, secret, problem, sizeof problem))
        return status_fail(error, STATUS_FATAL, "[rules] salt_file %.200s %s", path, problem);
    rules->salt_size = strlen(secret);
    rules->salt = (uint8_t *)strdup(secret);
    explicit_bzero(secret, sizeof secret);
    return rules->salt ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

Status rules_finish(Rules *rules, const char *salt_file, Error *error)
{
    Status status = STATUS_OK;

    for (size_t i = 0; i < rules->count && status == STATUS_OK; i++) {
        TableRules *table = &rules->tables[i];

        for (size_t j = 0; j < table->setting_count && status == STATUS_OK; j++)
            status = read_setting(table, &table->settings[j], error);
        if (status == STATUS_OK)
            status = check_table(table, error);
    }
    if (status == STATUS_OK)
        status = check_views(rules, error);
    return status == STATUS_OK && has_hash(rules) ? read_salt(rules, salt_file, error) : status;
}

const TableRules *rules_find(const Rules *rules, WhSlice schema_name, WhSlice table_name)
{
    for (size_t i = 0; i < rules->count; i++) {
        const char *table = rules->tables[i].table;
        size_t size = strlen(table);

        if (size == schema_name.size + 1 + table_name.size && table[schema_name.size] == '.' &&
            memcmp(table, schema_name.data, schema_name.size) == 0 &&
            memcmp(table + schema_name.size + 1, table_name.data, table_name.size) == 0)
            return &rules->tables[i];
    }
    return NULL;
}

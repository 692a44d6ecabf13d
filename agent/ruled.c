/*
 * ruled.c - schema versions under rules; see ruled.h.
 */
#include "agent/ruled.h"

#include <stdlib.h>
#include <string.h>

static bool copy_text(char **field, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        return false;
    free(*field);
    *field = copy;
    return true;
}

static bool fill_column(TargetColumn *target, const ShapeColumn *shaped, const WhSchema *schema)
{
    target->source = shaped->source == SHAPE_CONSTANT ? TARGET_CONSTANT : shaped->source;
    target->attribute_number =
        shaped->source == SHAPE_CONSTANT ? 0 : schema->columns[shaped->source].attribute_number;
    target->stored = strndup((const char *)shaped->name.data, shaped->name.size);
    target->name = shaped->view_name ? strdup(shaped->view_name)
                                     : strndup((const char *)shaped->name.data, shaped->name.size);
    target->type = strdup(shaped->type);
    target->codec = shaped->codec ? strdup(shaped->codec) : NULL;
    return target->stored && target->name && target->type && (shaped->codec == NULL || target->codec);
}

static bool fill_columns(Target *target, const Shape *shape, const WhSchema *schema)
{
    TargetColumn *columns = calloc(shape->column_count, sizeof *columns);
    Target old = {.columns = target->columns, .column_count = target->column_count};
    bool ok = columns != NULL;

    target->columns = columns;
    target->column_count = 0;
    for (size_t i = 0; ok && i < shape->column_count; i++) {
        target->column_count++;
        ok = fill_column(&columns[i], &shape->columns[i], schema);
    }
    target_free(&old);
    return ok;
}

/* "_orders" for a view "orders", "orders_history". malloc'ed. */
static char *name_around(const char *before, const char *view, const char *behind)
{
    Text text = {0};

    text_appendf(&text, "%s%s%s", before, view, behind);
    if (text.failed)
        text_free(&text);
    return text.data;
}

static bool fill_names(Target *target, const TableRules *rules)
{
    target->own_database = rules->database && strcmp(rules->database, target->database) != 0;
    if (rules->database && !copy_text(&target->database, rules->database))
        return false;
    if (rules->view && !copy_text(&target->view_name, rules->view))
        return false;
    if (rules->view) {
        free(target->storage_base);
        free(target->storage_name);
        target->storage_base = name_around("_", rules->view, "");
        target->storage_name = name_around("_", rules->view, "");
    }
    if (rules->history)
        target->history_name = name_around("", target->view_name, "_history");
    return target->storage_base && target->storage_name && (target->history_name || !rules->history);
}

/* The layout moves from the shape to the target. */
static void move_layout(Target *target, Shape *shape)
{
    target->order_by = shape->order_by;
    target->partition_by = shape->partition_by;
    target->ttl = shape->ttl;
    shape->order_by = shape->partition_by = shape->ttl = NULL;
}

Status ruled_apply(TableSchema *table, const Rules *rules, Relation relation, Error *error)
{
    const TableRules *table_rules = shape_rules(rules, &table->schema, relation);
    Shape shape;
    Error reason;
    Status status;

    if (table_rules == NULL)
        return STATUS_OK;
    table->section = table_rules;
    status = shape_build(&shape, rules, table_rules, &table->schema, table->types, relation, &reason);
    if (status == STATUS_STOP) {
        table->rules_error = strdup(reason.text);
        /* Its state is told under the name that its view is to have. */
        status = table->rules_error && fill_names(&table->target, table_rules) ? STATUS_OK : STATUS_FATAL;
    } else if (status == STATUS_OK) {
        if (!fill_names(&table->target, table_rules) || !fill_columns(&table->target, &shape, &table->schema))
            status = STATUS_FATAL;
        move_layout(&table->target, &shape);
        table->target.copies = false;
        table->map = shape.map;
        shape.map = NULL;
    }
    shape_free(&shape);
    return status == STATUS_OK ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

/* "public.orders"; malloc'ed. */
static char *qualified_name(const WhSchema *schema)
{
    Text text = {0};

    text_appendf(&text, "%.*s.%.*s", (int)schema->schema_name.size, (const char *)schema->schema_name.data,
                 (int)schema->table_name.size, (const char *)schema->table_name.data);
    if (text.failed)
        text_free(&text);
    return text.data;
}

bool ruled_are_rivals(const TableSchema *table, const TableSchema *other)
{
    /* Whatever a table is called by and by, it is under one section; and one of a name may follow another. */
    return table->section != other->section && table->rules_error == NULL && other->rules_error == NULL &&
           table->schema.relation_oid != other->schema.relation_oid &&
           strcmp(table->target.view_name, other->target.view_name) == 0 &&
           strcmp(table->target.database, other->target.database) == 0;
}

Status ruled_refuse_rival(TableSchema *table, const TableSchema *other, Error *error)
{
    char *own = qualified_name(&table->schema);
    char *others = qualified_name(&other->schema);
    Text reason = {0};

    if (own && others)
        text_appendf(&reason,
                     "table %s and table %s would both be view %s: give one of them another name, with "
                     "table = in a section [table %s]",
                     own, others, table->target.view_name, table->section ? own : others);
    free(others);
    if (own == NULL || reason.data == NULL || reason.failed) {
        free(own);
        text_free(&reason);
        return status_fail(error, STATUS_FATAL, "out of memory");
    }
    table->rules_error = reason.data;
    /* The state of the other one goes by the view's name. */
    free(table->target.view_name);
    table->target.view_name = own;
    return STATUS_OK;
}

static bool differ(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

static const TargetColumn *find_column(const Target *target, const TargetColumn *wanted)
{
    for (uint32_t i = 0; i < target->column_count; i++)
        if (wanted->attribute_number > 0 ? target->columns[i].attribute_number == wanted->attribute_number
                                         : strcmp(target->columns[i].stored, wanted->stored) == 0)
            return &target->columns[i];
    return NULL;
}

Status ruled_can_follow(const TableSchema *old, const TableSchema *fresh, Error *error)
{
    const Target *a = &old->target, *b = &fresh->target;
    const char *what = differ(a->database, b->database)           ? "database"
                       : differ(a->view_name, b->view_name)       ? "table"
                       : differ(a->order_by, b->order_by)         ? "order_by"
                       : differ(a->partition_by, b->partition_by) ? "partition_by"
                       : differ(a->ttl, b->ttl)                   ? "ttl"
                                                                  : NULL;

    if (what)
        return status_fail(
            error, STATUS_STOP,
            "%s of table %s cannot be changed while rows are loaded: stop the agents, drop or rename "
            "%s in ClickHouse, start them and take a snapshot",
            what, a->view_name, a->storage_name);
    for (uint32_t i = 0; i < b->column_count; i++) {
        const TargetColumn *column = find_column(a, &b->columns[i]);

        if (column && strcmp(column->type, b->columns[i].type) != 0)
            return status_fail(
                error, STATUS_STOP,
                "column %s of table %s is %s, and would be %s by the new rules: that cannot be changed "
                "while rows are loaded",
                column->name, a->view_name, column->type, b->columns[i].type);
        if (column && differ(column->codec, b->columns[i].codec))
            return status_fail(
                error, STATUS_STOP,
                "the codec of column %s of table %s cannot be changed while rows are loaded: ALTER TABLE %s "
                "MODIFY COLUMN in ClickHouse does it",
                column->name, a->view_name, a->storage_name);
    }
    return STATUS_OK;
}

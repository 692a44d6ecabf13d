/*
 * shape_layout.c - the expressions of a table's rules, over columns of its schema; see shape_internal.h.
 *
 *      order_by, partition_by, ttl, codec --names resolved--> SQL of the storage table
 *      filter -----------------------------names resolved--> Filter of the RowMap
 *
 * Sorting and partitions are functions of the key, as ReplacingMergeTree looks for older versions of a row
 * under the same sorting key in the same partition.
 */
#include <stdlib.h>

#include "agent/expression.h"
#include "agent/shape_internal.h"

/* ---- layout ---- */

/* Who may stand in an expression. */
typedef struct Layout {
    ShapeBuilder *b;
    const char *setting;
    bool key_only;
    bool times; /* _commit_time and _loaded_time too */
    uint32_t keys_alone;
} Layout;

static bool fail_layout(const Layout *layout, WhSlice name, const char *why)
{
    (void)shape_refuse(layout->b, "%s: %.*s %s", layout->setting, (int)name.size, (const char *)name.data,
                       why);
    return false;
}

static bool append_layout_column(void *context, WhSlice name, bool alone, Text *sql, Error *error)
{
    Layout *layout = context;
    const ShapeBuilder *b = layout->b;
    const WhColumn *column = shape_resolve(b, name);
    bool is_loaded_column = false;

    if (layout->times && (wh_slice_equals(name, "_commit_time") || wh_slice_equals(name, "_loaded_time"))) {
        text_append_identifier(sql, (const char *)name.data, name.size);
        return true;
    }
    if (column == NULL) {
        (void)shape_refuse_unknown(layout->b, layout->setting, name);
        return false;
    }
    (void)error;
    for (size_t i = 0; i < b->shape->column_count; i++)
        is_loaded_column |= b->shape->columns[i].source == (uint32_t)(column - b->schema->columns);
    if (!is_loaded_column)
        return fail_layout(layout, name, "is not loaded");
    if (layout->key_only && b->schema->key_column_count > 0 && column->key_position == 0)
        return fail_layout(
            layout, name,
            "is not of the key: a row whose value changes would leave its older version behind, as "
            "versions of a row are found under one sorting key in one partition");
    layout->keys_alone += alone && column->key_position > 0;
    text_append_identifier(sql, (const char *)column->name.data, column->name.size);
    return true;
}

static Status build_expression(Layout *layout, const char *text, char **sql)
{
    ShapeBuilder *b = layout->b;
    Text out = {0};
    Error reason = {""};
    Status status = expression_append(text, append_layout_column, layout, &out, &reason);

    if (status == STATUS_OK && out.failed)
        status = shape_out_of_memory(b);
    else if (status != STATUS_OK)
        status = reason.text[0] ? shape_refuse(b, "%s: %s", layout->setting, reason.text) : STATUS_STOP;
    if (status == STATUS_OK)
        *sql = out.data;
    else
        text_free(&out);
    return status;
}

static Status build_order_by(ShapeBuilder *b)
{
    Layout layout = {.b = b, .setting = "order_by", .key_only = true};
    Status status;
    Text log = {0};

    if (b->table->order_by == NULL)
        return STATUS_OK;
    status = build_expression(&layout, b->table->order_by, &b->shape->order_by);
    if (status != STATUS_OK)
        return status;
    if (layout.keys_alone != b->schema->key_column_count)
        return shape_refuse(
            b, "order_by = %.100s: each key column stands in it once, by itself: rows are told apart by it",
            b->table->order_by);
    if (b->schema->key_column_count > 0)
        return STATUS_OK;
    /* Without a key rows are told apart by their version. */
    text_appendf(&log, "%s, `_version`", b->shape->order_by);
    free(b->shape->order_by);
    b->shape->order_by = log.failed ? NULL : log.data;
    return log.failed ? shape_out_of_memory(b) : STATUS_OK;
}

Status shape_build_layout(ShapeBuilder *b)
{
    Layout partition = {.b = b, .setting = "partition_by", .key_only = true};
    Layout ttl = {.b = b, .setting = "ttl", .times = true};
    Status status = build_order_by(b);

    if (status == STATUS_OK && b->table->partition_by)
        status = build_expression(&partition, b->table->partition_by, &b->shape->partition_by);
    if (status == STATUS_OK && b->table->ttl)
        status = build_expression(&ttl, b->table->ttl, &b->shape->ttl);
    for (size_t i = 0; i < b->table->column_count && status == STATUS_OK; i++) {
        const ColumnRule *rule = &b->table->columns[i];
        Text unused = {0};
        Error reason;

        if (rule->codec == NULL)
            continue;
        if (expression_append(rule->codec, NULL, NULL, &unused, &reason) != STATUS_OK)
            status = shape_refuse(b, "codec.%s: %s", rule->name, reason.text);
        text_free(&unused);
    }
    return status;
}

/* ---- the filter ---- */

static bool resolve_filter(void *context, WhSlice name, uint32_t *column, Error *error)
{
    ShapeBuilder *b = context;
    const WhColumn *found = shape_resolve(b, name);

    (void)error;
    *column = found ? (uint32_t)(found - b->schema->columns) : FILTER_NO_COLUMN;
    return found || shape_is_known(b->relation, name) || shape_refuse_unknown(b, "filter", name) == STATUS_OK;
}

Status shape_build_filter(ShapeBuilder *b)
{
    Error reason = {""};

    if (b->table->filter == NULL)
        return STATUS_OK;
    b->shape->map->filter = filter_compile(b->table->filter, b->schema, resolve_filter, b, &reason);
    if (b->shape->map->filter == NULL && reason.text[0])
        return shape_refuse(b, "filter: %s", reason.text);
    return b->shape->map->filter ? STATUS_OK : STATUS_STOP;
}

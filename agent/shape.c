/*
 * shape.c - rules and a schema become a table's columns and a RowMap; see shape.h.
 *
 * What may not be told apart: two rows of one key. So key columns stay, whole or hashed; what sorts and parts
 * rows is in shape_layout.c.
 */
#include "agent/shape_internal.h"

#include <stdlib.h>
#include <string.h>

#include "agent/nearest.h"
#include "agent/scalar.h"

Status shape_refuse(ShapeBuilder *b, const char *format, ...)
{
    va_list arguments;
    char text[sizeof b->error->text];

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return status_fail(b->error, STATUS_STOP, "[table %.100s] %.400s", b->table->table, text);
}

Status shape_out_of_memory(ShapeBuilder *b)
{
    return status_fail(b->error, STATUS_FATAL, "out of memory");
}

/* ---- names ---- */

static bool same_name(WhSlice a, WhSlice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static const WhColumn *find_column(const WhSchema *schema, WhSlice name)
{
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (same_name(schema->columns[i].name, name))
            return &schema->columns[i];
    return NULL;
}

/* Was the column called so in any version of the table? */
static bool was_called(Relation relation, uint32_t attribute_number, WhSlice name)
{
    for (size_t i = 0; i < relation.count; i++) {
        const WhColumn *column = find_column(relation.versions[i], name);

        if (column && column->attribute_number == attribute_number)
            return true;
    }
    return false;
}

bool shape_is_known(Relation relation, WhSlice name)
{
    for (size_t i = 0; i < relation.count; i++)
        if (find_column(relation.versions[i], name))
            return true;
    return false;
}

Status shape_refuse_unknown(ShapeBuilder *b, const char *what, WhSlice name)
{
    char given[NEAREST_BYTES_MAX + 1], candidate[NEAREST_BYTES_MAX + 1], best[NEAREST_BYTES_MAX + 1] = "";
    size_t best_distance = SIZE_MAX;

    (void)snprintf(given, sizeof given, "%.*s", (int)name.size, (const char *)name.data);
    for (uint32_t i = 0; i < b->schema->column_count; i++) {
        WhSlice other = b->schema->columns[i].name;
        size_t distance;

        (void)snprintf(candidate, sizeof candidate, "%.*s", (int)other.size, (const char *)other.data);
        distance = nearest_distance(given, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            memcpy(best, candidate, sizeof best);
        }
    }
    return shape_refuse(b, "%s: the table has no column %s; did you mean %s?", what, given, best);
}

const WhColumn *shape_resolve(const ShapeBuilder *b, WhSlice name)
{
    const WhColumn *column = find_column(b->schema, name);

    for (uint32_t i = 0; i < b->schema->column_count && column == NULL; i++)
        if (was_called(b->relation, b->schema->columns[i].attribute_number, name))
            column = &b->schema->columns[i];
    return column;
}

static WhSlice slice_of(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

/* A rule that hides is taken for every column that has ever had the name. */
static bool hides(const ShapeBuilder *b, const ColumnRule *rule, const WhColumn *column)
{
    return was_called(b->relation, column->attribute_number, slice_of(rule->name));
}

static Status check_names(ShapeBuilder *b)
{
    for (size_t i = 0; i < b->table->column_count; i++)
        if (!shape_is_known(b->relation, slice_of(b->table->columns[i].name)))
            return shape_refuse_unknown(b, "a rule", slice_of(b->table->columns[i].name));
    return STATUS_OK;
}

/* ---- columns ---- */

static bool is_loaded(const ShapeBuilder *b, const WhColumn *column)
{
    bool chosen = !b->table->chooses;

    for (size_t i = 0; i < b->table->column_count; i++) {
        const ColumnRule *rule = &b->table->columns[i];

        if (rule->dropped && hides(b, rule, column))
            return false;
        chosen |= rule->chosen && shape_resolve(b, slice_of(rule->name)) == column;
    }
    return chosen;
}

static const ColumnRule *find_mask(const ShapeBuilder *b, const WhColumn *column)
{
    for (size_t i = 0; i < b->table->column_count; i++)
        if (b->table->columns[i].mask != MASK_NONE && hides(b, &b->table->columns[i], column))
            return &b->table->columns[i];
    return NULL;
}

/* What the rules say of a column beside hiding it. */
static void take_looks(const ShapeBuilder *b, const WhColumn *column, ShapeColumn *shaped)
{
    for (size_t i = 0; i < b->table->column_count; i++) {
        const ColumnRule *rule = &b->table->columns[i];

        if ((rule->rename == NULL && rule->codec == NULL) || shape_resolve(b, slice_of(rule->name)) != column)
            continue;
        if (rule->rename)
            shaped->view_name = rule->rename;
        if (rule->codec)
            shaped->codec = rule->codec;
    }
}

static Status use_fixed(ShapeBuilder *b, const WhColumn *column, const ColumnRule *rule, RowStep *step)
{
    WhSlice text = slice_of(rule->fixed);
    size_t capacity = 1 + WH_VARINT_BYTES_MAX + SCALAR_HEAD_BYTES_MAX + text.size;
    ScalarType type;
    ScalarValue value;
    const char *wanted;
    uint8_t *bytes;
    WhWriter w;

    if (!scalar_type(column->clickhouse_type, &type))
        return shape_refuse(b, "mask.%s = fixed: a column of type %.*s takes hash only", rule->name,
                            (int)column->clickhouse_type.size, (const char *)column->clickhouse_type.data);
    wanted = scalar_parse(&type, text, &value);
    if (wanted)
        return shape_refuse(b, "mask.%s = fixed:%.100s: the column takes %s", rule->name, rule->fixed,
                            wanted);
    bytes = malloc(capacity);
    if (bytes == NULL)
        return shape_out_of_memory(b);
    w = wh_writer(bytes, capacity);
    if (column->nullable)
        wh_put_u8(&w, 0);
    scalar_put(&w, &type, &value);
    step->fixed = (WhSlice){bytes, w.length};
    step->kind = ROW_FIXED;
    return STATUS_OK;
}

static Status use_mask(ShapeBuilder *b, const WhColumn *column, const ColumnRule *rule, RowStep *step)
{
    bool is_variant =
        column->clickhouse_type.size > 8 && memcmp(column->clickhouse_type.data, "Variant(", 8) == 0;

    if (column->key_position > 0 && rule->mask != MASK_HASH)
        return shape_refuse(b, "mask.%s: rows are told apart by this key column, so it takes hash only",
                            rule->name);
    switch (rule->mask) {
    case MASK_HASH:
        step->kind = ROW_HASH;
        step->nullable = column->nullable || is_variant;
        return STATUS_OK;
    case MASK_FIXED:
        return use_fixed(b, column, rule, step);
    default:
        if (!wh_slice_equals(column->clickhouse_type, "String"))
            return shape_refuse(
                b, "mask.%s = partial: the column is %.*s in ClickHouse, and partial is for texts",
                rule->name, (int)column->clickhouse_type.size, (const char *)column->clickhouse_type.data);
        step->kind = ROW_PARTIAL;
        step->shown = rule->shown;
        return STATUS_OK;
    }
}

/* malloc'ed; NULL: out of memory. */
static char *type_name(const WhColumn *column, const RowStep *step)
{
    bool is_text = step->kind == ROW_HASH || step->kind == ROW_PARTIAL;
    WhSlice type = is_text ? slice_of("String") : column->clickhouse_type;
    Text text = {0};

    text_appendf(&text, "%s%.*s%s", step->nullable ? "Nullable(" : "", (int)type.size,
                 (const char *)type.data, step->nullable ? ")" : "");
    if (text.failed)
        text_free(&text);
    return text.failed ? NULL : text.data;
}

static Status add_column(ShapeBuilder *b, uint32_t index)
{
    const WhColumn *column = &b->schema->columns[index];
    const ColumnRule *mask = find_mask(b, column);
    RowStep *step = &b->shape->map->steps[index];
    ShapeColumn *shaped = &b->shape->columns[b->shape->column_count];
    Status status = STATUS_OK;

    if (!is_loaded(b, column)) {
        if (column->key_position > 0)
            return shape_refuse(
                b, "key column %.*s must be loaded: rows are told apart by it (mask.%.*s = hash hides it)",
                (int)column->name.size, (const char *)column->name.data, (int)column->name.size,
                (const char *)column->name.data);
        step->kind = ROW_SKIP;
        return STATUS_OK;
    }
    if (mask)
        status = use_mask(b, column, mask, step);
    if (status != STATUS_OK)
        return status;
    *shaped = (ShapeColumn){.source = index, .name = column->name, .type = type_name(column, step)};
    take_looks(b, column, shaped);
    b->shape->column_count++;
    return shaped->type ? STATUS_OK : shape_out_of_memory(b);
}

static Status put_constant(ShapeBuilder *b, const ConstantRule *constant, WhWriter *w)
{
    ScalarType type;
    ScalarValue value;
    const char *wanted;

    if (!scalar_type(constant->type, &type))
        return shape_refuse(
            b, "constant.%s: %.*s is not a type that a constant can have, written as in Decimal(4, 2)",
            constant->name, (int)constant->type.size, (const char *)constant->type.data);
    wanted = scalar_parse(&type, constant->value, &value);
    if (wanted)
        return shape_refuse(b, "constant.%s: %.*s takes %s", constant->name, (int)constant->type.size,
                            (const char *)constant->type.data, wanted);
    scalar_put(w, &type, &value);
    return STATUS_OK;
}

static Status add_constants(ShapeBuilder *b)
{
    RowMap *map = b->shape->map;
    size_t capacity = 1;
    Status status = STATUS_OK;
    WhWriter w;

    for (size_t i = 0; i < b->table->constant_count; i++)
        capacity += WH_VARINT_BYTES_MAX + SCALAR_HEAD_BYTES_MAX + b->table->constants[i].value.size;
    map->constants = malloc(capacity);
    if (map->constants == NULL)
        return shape_out_of_memory(b);
    w = wh_writer(map->constants, capacity);
    for (size_t i = 0; i < b->table->constant_count && status == STATUS_OK; i++) {
        const ConstantRule *constant = &b->table->constants[i];
        ShapeColumn *shaped = &b->shape->columns[b->shape->column_count];

        *shaped = (ShapeColumn){.source = SHAPE_CONSTANT,
                                .name = slice_of(constant->name),
                                .type = strndup((const char *)constant->type.data, constant->type.size)};
        b->shape->column_count++;
        status = shaped->type ? put_constant(b, constant, &w) : shape_out_of_memory(b);
    }
    map->constants_size = w.length;
    return status;
}

static WhSlice shown_name(const ShapeColumn *column)
{
    return column->view_name ? slice_of(column->view_name) : column->name;
}

/* Neither the table nor the view may have a name twice, nor one of the agent's. */
static Status check_shown_names(ShapeBuilder *b)
{
    const Shape *shape = b->shape;

    if (shape->column_count == 0)
        return shape_refuse(b, "no column is left");
    for (size_t i = 0; i < shape->column_count; i++) {
        WhSlice name = shown_name(&shape->columns[i]);

        if ((shape->columns[i].source == SHAPE_CONSTANT || shape->columns[i].view_name) &&
            name.data[0] == '_')
            return shape_refuse(b, "%.*s: names that begin with _ are the agent's own", (int)name.size,
                                (const char *)name.data);
        for (size_t j = 0; j < i; j++)
            if (same_name(name, shown_name(&shape->columns[j])) ||
                same_name(shape->columns[i].name, shape->columns[j].name))
                return shape_refuse(b, "two columns would be called %.*s", (int)name.size,
                                    (const char *)name.data);
    }
    return STATUS_OK;
}

/* ---- all of it ---- */

static Status build(ShapeBuilder *b)
{
    Status status = check_names(b);

    for (uint32_t i = 0; i < b->schema->column_count && status == STATUS_OK; i++)
        status = add_column(b, i);
    if (status == STATUS_OK)
        status = add_constants(b);
    if (status == STATUS_OK)
        status = check_shown_names(b);
    if (status == STATUS_OK)
        status = shape_build_layout(b);
    if (status == STATUS_OK)
        status = shape_build_filter(b);
    if (status == STATUS_OK && !rowmap_finish(b->shape->map))
        status = shape_out_of_memory(b);
    return status;
}

Status shape_build(Shape *shape, const Rules *rules, const TableRules *table, const WhSchema *schema,
                   const WhType *types, Relation relation, Error *error)
{
    ShapeBuilder b = {.shape = shape,
                      .rules = rules,
                      .table = table,
                      .schema = schema,
                      .types = types,
                      .relation = relation,
                      .error = error};

    *shape = (Shape){.columns = calloc(schema->column_count + table->constant_count, sizeof *shape->columns),
                     .map = rowmap_new(schema, types)};
    if (shape->columns == NULL || shape->map == NULL)
        return shape_out_of_memory(&b);
    shape->map->has_operation = table->history;
    if (rules->salt) {
        shape->map->salt = malloc(rules->salt_size);
        if (shape->map->salt == NULL)
            return shape_out_of_memory(&b);
        memcpy(shape->map->salt, rules->salt, rules->salt_size);
        shape->map->salt_size = rules->salt_size;
    }
    return build(&b);
}

void shape_free(Shape *shape)
{
    for (size_t i = 0; i < shape->column_count; i++)
        free(shape->columns[i].type);
    free(shape->columns);
    free(shape->order_by);
    free(shape->partition_by);
    free(shape->ttl);
    rowmap_free(shape->map);
    *shape = (Shape){0};
}

const TableRules *shape_rules(const Rules *rules, const WhSchema *schema, Relation relation)
{
    const TableRules *table = rules_find(rules, schema->schema_name, schema->table_name);

    for (size_t i = relation.count; i-- > 0 && table == NULL;)
        table = rules_find(rules, relation.versions[i]->schema_name, relation.versions[i]->table_name);
    return table;
}

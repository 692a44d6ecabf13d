/*
 * rowmap.c - rows of tables with rules; see rowmap.h.
 */
#include "agent/rowmap.h"

#include <stdlib.h>
#include <string.h>

#include "agent/mask.h"

#define DEFAULT_BYTES_MAX 32
/* What a mask may add to a value: a length, a NULL byte, a hash or stars. */
#define MASK_EXTRA_BYTES (WH_VARINT_BYTES_MAX + 1 + MASK_HASH_DIGITS)

RowMap *rowmap_new(const WhSchema *schema, const WhType *types)
{
    RowMap *map = calloc(1, sizeof *map);

    if (map == NULL)
        return NULL;
    *map = (RowMap){.schema = schema, .types = types};
    map->steps = calloc(schema->column_count, sizeof *map->steps);
    map->values = calloc(schema->column_count, sizeof *map->values);
    if (map->steps == NULL || map->values == NULL) {
        rowmap_free(map);
        return NULL;
    }
    for (uint32_t i = 0; i < schema->column_count; i++)
        map->steps[i] = (RowStep){.kind = ROW_COPY, .nullable = schema->columns[i].nullable};
    return map;
}

void rowmap_free(RowMap *map)
{
    if (map == NULL)
        return;
    for (uint32_t i = 0; map->steps && i < map->schema->column_count; i++)
        free((void *)(uintptr_t)map->steps[i].fixed.data);
    if (map->salt)
        explicit_bzero(map->salt, map->salt_size);
    free(map->salt);
    filter_free(map->filter);
    free(map->steps);
    free(map->values);
    free(map->constants);
    free(map->tail);
    free(map);
}

static void put_default(const RowMap *map, uint32_t column, WhWriter *w)
{
    const RowStep *step = &map->steps[column];

    switch (step->kind) {
    case ROW_SKIP:
        break;
    case ROW_COPY:
        wh_type_put_default(w, &map->types[column]);
        break;
    case ROW_FIXED:
        wh_put_bytes(w, step->fixed.data, step->fixed.size);
        break;
    default:                          /* a String */
        wh_put_u8(w, step->nullable); /* NULL, or no bytes */
    }
}

bool rowmap_finish(RowMap *map)
{
    size_t capacity = map->constants_size;
    WhWriter w;

    map->extra_bytes = map->has_operation;
    for (uint32_t i = 0; i < map->schema->column_count; i++) {
        const RowStep *step = &map->steps[i];

        capacity += DEFAULT_BYTES_MAX + step->fixed.size;
        if (step->kind >= ROW_HASH)
            map->extra_bytes += MASK_EXTRA_BYTES + step->fixed.size;
    }
    map->tail = malloc(capacity);
    if (map->tail == NULL)
        return false;
    w = wh_writer(map->tail, capacity);
    for (uint32_t i = map->schema->key_column_count; i < map->schema->column_count; i++)
        put_default(map, i, &w);
    wh_put_bytes(&w, map->constants, map->constants_size);
    map->tail_size = w.length;
    map->extra_bytes += map->tail_size + map->constants_size;
    return !w.full;
}

void rowmap_move(RowMap *map, const WhSchema *schema)
{
    map->schema = schema;
}

void rowmap_split(RowMap *map, WhReader *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        map->values[i] = wh_type_get(r, &map->types[i]);
}

bool rowmap_matches(const RowMap *map)
{
    return map->filter == NULL || filter_matches(map->filter, map->values);
}

static uint8_t *put_bytes(uint8_t *out, const void *data, size_t size)
{
    if (size > 0)
        memcpy(out, data, size);
    return out + size;
}

static uint8_t *put_partial(uint8_t *out, const RowStep *step, WhSlice value)
{
    WhReader r = wh_reader(value.data, value.size);
    WhSlice shown = mask_shown(wh_get_str(&r, SIZE_MAX), step->shown);

    out = wh_store_varint(out, MASK_STARS + shown.size);
    memset(out, '*', MASK_STARS);
    return put_bytes(out + MASK_STARS, shown.data, shown.size);
}

static uint8_t *put_hash(const RowMap *map, uint8_t *out, uint32_t column, WhSlice value)
{
    char digits[MASK_HASH_DIGITS];

    if (!mask_hash(map->schema->columns[column].clickhouse_type, value, (WhSlice){map->salt, map->salt_size},
                   digits))
        return NULL;
    return put_bytes(wh_store_varint(out, MASK_HASH_DIGITS), digits, MASK_HASH_DIGITS);
}

/* NULL stays NULL under a hash and a partial mask. */
static bool is_null(const RowMap *map, uint32_t column)
{
    const WhSlice *value = &map->values[column];

    if (map->schema->columns[column].nullable)
        return value->data[0] == 1;
    return map->types[column].nodes[0].kind == WH_TYPE_VARIANT && value->data[0] == WH_VARIANT_NULL;
}

static uint8_t *put_value(const RowMap *map, uint8_t *out, uint32_t column)
{
    const RowStep *step = &map->steps[column];
    WhSlice value = map->values[column];

    switch (step->kind) {
    case ROW_SKIP:
        return out;
    case ROW_COPY:
        return put_bytes(out, value.data, value.size);
    case ROW_FIXED:
        return put_bytes(out, step->fixed.data, step->fixed.size);
    default:
        break;
    }
    if (step->nullable) {
        *out++ = is_null(map, column);
        if (is_null(map, column))
            return out;
    }
    if (map->schema->columns[column].nullable) {
        value.data++;
        value.size--;
    }
    return step->kind == ROW_PARTIAL ? put_partial(out, step, value) : put_hash(map, out, column, value);
}

uint8_t *rowmap_put(const RowMap *map, uint8_t *out, bool key_only, char operation)
{
    uint32_t count = key_only ? map->schema->key_column_count : map->schema->column_count;

    for (uint32_t i = 0; i < count && out; i++)
        out = put_value(map, out, i);
    if (out == NULL)
        return NULL;
    out = key_only ? put_bytes(out, map->tail, map->tail_size)
                   : put_bytes(out, map->constants, map->constants_size);
    if (map->has_operation)
        *out++ = (uint8_t)operation;
    return out;
}

bool rowmap_reads(const RowMap *map, uint32_t column)
{
    RowStepKind kind = map->steps[column].kind;

    return kind != ROW_SKIP && kind != ROW_FIXED;
}

bool rowmap_filters_by(const RowMap *map, uint32_t column)
{
    return map->filter && filter_reads(map->filter, column);
}

bool rowmap_may_show(const RowMap *map, uint32_t column)
{
    return map->steps[column].kind == ROW_COPY;
}

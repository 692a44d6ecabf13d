/*
 * target.c - what a schema becomes in ClickHouse; see target.h.
 */
#include "agent/target.h"

#include <stdlib.h>
#include <string.h>

/* What an insert says beside the columns of the source. */
static const char *const system_columns[][2] = {
    {"_version", "UInt128"}, {"_deleted", "UInt8"}, {"_commit_time", "DateTime64(6, 'UTC')"}};
#define SYSTEM_COLUMNS (sizeof system_columns / sizeof system_columns[0])

static char *column_type(const WhColumn *column)
{
    Text text = {0};

    text_appendf(&text, "%s%.*s%s", column->nullable ? "Nullable(" : "", (int)column->clickhouse_type.size,
                 (const char *)column->clickhouse_type.data, column->nullable ? ")" : "");
    if (text.failed)
        text_free(&text);
    return text.data;
}

static bool copy_column(TargetColumn *target, const WhColumn *column, uint32_t index)
{
    target->name = strndup((const char *)column->name.data, column->name.size);
    target->stored = strndup((const char *)column->name.data, column->name.size);
    target->type = column_type(column);
    target->attribute_number = column->attribute_number;
    target->source = index;
    return target->name && target->stored && target->type;
}

static char *storage_name(const char *view_name)
{
    size_t size = strlen(view_name) + 1;
    char *name = malloc(size + 1);

    if (name) {
        name[0] = '_';
        memcpy(name + 1, view_name, size);
    }
    return name;
}

Status target_copy(Target *target, const char *database, const char *view_name, const WhSchema *schema,
                   Error *error)
{
    bool ok;

    *target = (Target){.database = strdup(database),
                       .view_name = strdup(view_name),
                       .storage_base = storage_name(view_name),
                       .storage_name = storage_name(view_name),
                       .columns = calloc(schema->column_count + 1, sizeof *target->columns),
                       .key_column_count = schema->key_column_count,
                       .copies = true};
    ok = target->database && target->view_name && target->storage_base && target->storage_name &&
         target->columns;
    for (uint32_t i = 0; ok && i < schema->column_count; i++) {
        target->column_count++;
        ok = copy_column(&target->columns[i], &schema->columns[i], i);
    }
    return ok ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

void target_free(Target *target)
{
    for (uint32_t i = 0; i < target->column_count; i++) {
        free(target->columns[i].name);
        free(target->columns[i].stored);
        free(target->columns[i].type);
        free(target->columns[i].stored_type);
        free(target->columns[i].codec);
    }
    free(target->columns);
    free(target->database);
    free(target->view_name);
    free(target->storage_base);
    free(target->storage_name);
    free(target->order_by);
    free(target->partition_by);
    free(target->ttl);
    free(target->history_name);
    *target = (Target){0};
}

static void append_name(Text *text, const char *name)
{
    text_append_identifier(text, name, strlen(name));
}

void target_append_columns(Text *text, const Target *target)
{
    for (uint32_t i = 0; i < target->column_count; i++) {
        append_name(text, target->columns[i].stored);
        text_appendf(text, ", ");
    }
    if (target->history_name)
        text_appendf(text, "`_operation`, ");
    for (size_t i = 0; i < SYSTEM_COLUMNS; i++)
        text_appendf(text, "%s`%s`", i ? ", " : "", system_columns[i][0]);
}

void target_append_storage(Text *text, const Target *target)
{
    append_name(text, target->database);
    text_append(text, ".", 1);
    append_name(text, target->storage_name);
}

void target_append_view(Text *text, const Target *target)
{
    append_name(text, target->database);
    text_append(text, ".", 1);
    append_name(text, target->view_name);
}

void target_append_state_name(Text *text, const Target *target)
{
    Text name = {0};

    text_appendf(&name, "%s%s%s", target->own_database ? target->database : "",
                 target->own_database ? "." : "", target->storage_name);
    if (name.failed)
        text->failed = true;
    else
        text_append_literal(text, name.data, name.size);
    text_free(&name);
}

bool target_same_storage(const Target *a, const Target *b)
{
    return strcmp(a->storage_name, b->storage_name) == 0 && strcmp(a->database, b->database) == 0;
}

void target_append_history(Text *text, const Target *target)
{
    append_name(text, target->database);
    text_append(text, ".", 1);
    append_name(text, target->history_name);
}

void target_put_header(WhWriter *w, const Target *target)
{
    wh_put_varint(w, target->column_count + (target->history_name != NULL) + SYSTEM_COLUMNS);
    for (uint32_t i = 0; i < target->column_count; i++)
        wh_put_str(w, target->columns[i].stored, strlen(target->columns[i].stored));
    if (target->history_name)
        wh_put_str(w, "_operation", strlen("_operation"));
    for (size_t i = 0; i < SYSTEM_COLUMNS; i++)
        wh_put_str(w, system_columns[i][0], strlen(system_columns[i][0]));
    for (uint32_t i = 0; i < target->column_count; i++)
        wh_put_str(w, target->columns[i].type, strlen(target->columns[i].type));
    if (target->history_name)
        wh_put_str(w, TARGET_OPERATION_TYPE, strlen(TARGET_OPERATION_TYPE));
    for (size_t i = 0; i < SYSTEM_COLUMNS; i++)
        wh_put_str(w, system_columns[i][1], strlen(system_columns[i][1]));
}

void target_append_structure(Text *text, const Target *target)
{
    for (uint32_t i = 0; i < target->column_count; i++) {
        append_name(text, target->columns[i].stored);
        text_appendf(text, " %s, ", target->columns[i].type);
    }
    if (target->history_name)
        text_appendf(text, "`_operation` " TARGET_OPERATION_TYPE ", ");
    for (size_t i = 0; i < SYSTEM_COLUMNS; i++)
        text_appendf(text, "%s`%s` %s", i ? ", " : "", system_columns[i][0], system_columns[i][1]);
}

size_t target_header_room(const Target *target)
{
    enum { stored_bytes = 64 }; /* of Postgres's names, unless it was built otherwise */
    size_t size = 512;

    for (uint32_t i = 0; i < target->column_count; i++)
        size += strlen(target->columns[i].name) + stored_bytes + strlen(target->columns[i].type) +
                2 * WH_VARINT_BYTES_MAX;
    return size;
}

size_t target_header_bytes_max(const Target *target)
{
    size_t size = 512;

    for (uint32_t i = 0; i < target->column_count; i++)
        size += strlen(target->columns[i].stored) + strlen(target->columns[i].type) + 2 * WH_VARINT_BYTES_MAX;
    return size;
}

/*
 * plan.c - what has to be done to a storage table; see plan.h.
 */
#include "agent/plan.h"

#include <stdlib.h>
#include <string.h>

#include "agent/typejoin.h"

static const StorageColumn *find_name(const Storage *storage, const char *name)
{
    for (size_t i = 0; i < storage->column_count; i++)
        if (strcmp(storage->columns[i].name, name) == 0)
            return &storage->columns[i];
    return NULL;
}

/* Two agents may have added the same attribute under two names: the column that came first counts. */
static const StorageColumn *find_attribute(const Storage *storage, const TargetColumn *column)
{
    for (size_t i = 0; i < storage->column_count && column->attribute_number > 0; i++)
        if (storage->columns[i].attribute_number == column->attribute_number)
            return &storage->columns[i];
    return column->attribute_number > 0 ? NULL : find_name(storage, column->stored);
}

/* Is the name spoken for, in the table or by an earlier column of the plan? */
static bool is_taken(const Plan *plan, const Storage *storage, const char *name)
{
    for (uint32_t i = 0; i < plan->column_count; i++)
        if (plan->columns[i].stored && strcmp(plan->columns[i].stored, name) == 0)
            return true;
    return find_name(storage, name) != NULL;
}

/* The attribute's name, or with its number where another column has that. */
static char *name_column(const Plan *plan, const Storage *storage, const TargetColumn *column)
{
    Text name = {0};

    text_append(&name, column->stored, strlen(column->stored));
    while (!name.failed && is_taken(plan, storage, name.data))
        text_appendf(&name, "_%u", column->attribute_number);
    if (name.failed)
        text_free(&name);
    return name.data;
}

static void add_conflict(Plan *plan, const Target *target, const TargetColumn *column, const char *found)
{
    bool first = plan->conflicts.size == 0;

    text_appendf(&plan->conflicts, "%s%u:%s", first ? "" : ",", column->attribute_number, column->type);
    if (first && found)
        text_appendf(&plan->reason, "column %s of %s is %s now, and no type holds both that and %s",
                     column->name, target->view_name, column->type, found);
    else if (first)
        text_appendf(&plan->reason, "the key column %s is not there", column->name);
}

/* The type with Nullable(), so that late rows of either kind fit it. */
static char *nullable_of(const char *type)
{
    Text text = {0};

    if (strncmp(type, "Nullable(", 9) == 0)
        return strdup(type);
    text_appendf(&text, "Nullable(%s)", type);
    if (text.failed)
        text_free(&text);
    return text.data;
}

static bool is_text(const char *type)
{
    return strcmp(type, "String") == 0 || strcmp(type, "Nullable(String)") == 0;
}

/*
 * Is this what the column holds as text since it was widened? A text that became a number, by contrast, is
 * not loaded as text for ever.
 */
static bool was_widened_from(const StorageColumn *found, const char *type)
{
    Text joined = {0};
    bool is = found->was && type_join(&joined, found->was, type) && strcmp(joined.data, found->was) == 0;

    text_free(&joined);
    return is;
}

/* The type that the column is to have; false: there is none. */
static bool choose_type(const StorageColumn *found, const TargetColumn *column, Text *type)
{
    if (!type_join(type, found->type, column->type))
        return false;
    if (is_text(found->type) && !is_text(column->type) && !was_widened_from(found, column->type))
        return false;
    return !found->in_order || strcmp(type->data, found->type) == 0;
}

static void plan_column(Plan *plan, const Target *target, uint32_t index, const Storage *storage)
{
    const TargetColumn *column = &target->columns[index];
    const StorageColumn *found = find_attribute(storage, column);
    PlanColumn *planned = &plan->columns[index];
    Text type = {0};

    if (found == NULL) {
        planned->action = PLAN_ADD;
        planned->stored = name_column(plan, storage, column);
        planned->type = strdup(column->type);
        if (index < target->key_column_count)
            add_conflict(plan, target, column, NULL);
    } else if (choose_type(found, column, &type)) {
        planned->action = strcmp(type.data, found->type) == 0 ? PLAN_KEEP : PLAN_WIDEN;
        planned->stored = strdup(found->name);
        planned->type = strdup(type.data);
        if (is_text(type.data) && !is_text(found->type))
            planned->was = nullable_of(found->type);
        else if (found->was)
            planned->was = strdup(found->was);
    } else {
        planned->stored = strdup(found->name);
        planned->type = strdup(found->type);
        add_conflict(plan, target, column, found->type);
    }
    text_free(&type);
    plan->changes = plan->changes || planned->action != PLAN_KEEP;
    plan->converts = plan->converts || (planned->type && strcmp(planned->type, column->type) != 0);
}

Status plan_fit(Plan *plan, const Target *target, const Storage *storage, Error *error)
{
    bool ok;

    *plan = (Plan){.columns = calloc(target->column_count + 1, sizeof *plan->columns)};
    ok = plan->columns != NULL;
    plan->column_count = ok ? target->column_count : 0;
    for (uint32_t i = 0; i < target->column_count && ok; i++) {
        plan_column(plan, target, i, storage);
        ok = plan->columns[i].stored && plan->columns[i].type;
    }
    ok = ok && !plan->conflicts.failed && !plan->reason.failed;
    return ok ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory");
}

void plan_free(Plan *plan)
{
    for (uint32_t i = 0; i < plan->column_count; i++) {
        free(plan->columns[i].stored);
        free(plan->columns[i].type);
        free(plan->columns[i].was);
    }
    free(plan->columns);
    text_free(&plan->conflicts);
    text_free(&plan->reason);
    *plan = (Plan){0};
}

bool plan_may_adopt(const Target *target, const Storage *storage, Text *reason)
{
    if (strstr(storage->engine, "ReplacingMergeTree") == NULL) {
        text_appendf(reason, "its engine is %s", storage->engine);
        return false;
    }
    for (uint32_t i = 0; i < target->column_count; i++) {
        const TargetColumn *column = &target->columns[i];
        const StorageColumn *found = find_attribute(storage, column);
        bool in_key = i < target->key_column_count;

        if (in_key && (found == NULL || !found->in_order || strcmp(found->type, column->type) != 0)) {
            text_appendf(reason, "column %s of %s's key is not %s in its ORDER BY", column->name,
                         target->view_name, column->type);
            return false;
        }
        if (!in_key && found && found->in_order) {
            text_appendf(reason, "its ORDER BY has column %s, which is not in the key of %s", found->name,
                         target->view_name);
            return false;
        }
    }
    return true;
}

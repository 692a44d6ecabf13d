/*
 * budget.c - how often a table may be loaded; see budget.h.
 */
#include "agent/budget.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN 1000 /* millitokens */

void budget_init(Budget *budget, int64_t rate, int64_t now_ms)
{
    *budget = (Budget){.rate = rate, .millitokens = 2 * rate * TOKEN, .filled_at_ms = now_ms};
}

static void fill(Budget *budget, int64_t now_ms)
{
    int64_t most = 2 * budget->rate * TOKEN;
    int64_t passed = now_ms - budget->filled_at_ms;

    if (passed <= 0)
        return;
    /* A millisecond brings rate millitokens; after two seconds the bucket is full anyway. */
    budget->millitokens += passed < 2000 ? passed * budget->rate : most;
    if (budget->millitokens > most)
        budget->millitokens = most;
    budget->filled_at_ms = now_ms;
}

void budget_take(Budget *budget, int64_t tokens, int64_t now_ms)
{
    fill(budget, now_ms);
    budget->millitokens -= tokens * TOKEN;
}

int64_t budget_wait_ms(Budget *budget, int64_t now_ms)
{
    fill(budget, now_ms);
    if (budget->millitokens >= TOKEN)
        return 0;
    return (TOKEN - budget->millitokens + budget->rate - 1) / budget->rate;
}

void budgets_init(Budgets *budgets, int64_t rate)
{
    *budgets = (Budgets){.rate = rate};
}

void budgets_fini(Budgets *budgets)
{
    for (size_t i = 0; i < budgets->count; i++)
        free(budgets->tables[i].table);
    free(budgets->tables);
    *budgets = (Budgets){0};
}

/* Where the table is, or is to be put. */
static size_t find_place(const Budgets *budgets, const char *table)
{
    size_t first = 0;
    size_t end = budgets->count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (strcmp(budgets->tables[middle].table, table) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

Budget *budgets_of(Budgets *budgets, const char *table, int64_t now_ms)
{
    size_t place = find_place(budgets, table);
    TableBudget *here;
    char *name;

    if (place < budgets->count && strcmp(budgets->tables[place].table, table) == 0)
        return &budgets->tables[place].budget;
    if (budgets->count == budgets->capacity) {
        size_t capacity = budgets->capacity ? 2 * budgets->capacity : 16;
        TableBudget *grown = realloc(budgets->tables, capacity * sizeof *grown);

        if (grown == NULL)
            return NULL;
        budgets->tables = grown;
        budgets->capacity = capacity;
    }
    name = strdup(table);
    if (name == NULL)
        return NULL;
    here = &budgets->tables[place];
    memmove(here + 1, here, (budgets->count - place) * sizeof *here);
    budgets->count++;
    here->table = name;
    budget_init(&here->budget, budgets->rate, now_ms);
    return &here->budget;
}

/* The budget of one of the batch's buffers; NULL: it is no insert, or there is no memory and so no bound. */
static Budget *budget_of_buffer(Budgets *budgets, const TableBuffer *buffer, int64_t now_ms)
{
    return buffer->row_count > 0 ? budgets_of(budgets, buffer->table->target.storage_name, now_ms) : NULL;
}

int64_t budgets_wait_ms(Budgets *budgets, const Batch *batch, int64_t now_ms)
{
    /* What goes into no table is bounded as if it were one: dead letters, offsets. */
    Budget *budget = batch->rows == 0 ? budgets_of(budgets, "", now_ms) : NULL;
    int64_t longest = budget ? budget_wait_ms(budget, now_ms) : 0;

    for (size_t i = 0; i < batch->table_count; i++) {
        int64_t wait;

        budget = budget_of_buffer(budgets, &batch->tables[i], now_ms);
        wait = budget ? budget_wait_ms(budget, now_ms) : 0;
        longest = wait > longest ? wait : longest;
    }
    return longest;
}

void budgets_take(Budgets *budgets, const Batch *batch, int64_t now_ms)
{
    Budget *budget = batch->rows == 0 ? budgets_of(budgets, "", now_ms) : NULL;

    if (budget)
        budget_take(budget, 1, now_ms);
    for (size_t i = 0; i < batch->table_count; i++) {
        budget = budget_of_buffer(budgets, &batch->tables[i], now_ms);
        if (budget)
            budget_take(budget, 1, now_ms);
    }
}

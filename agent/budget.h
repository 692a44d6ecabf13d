/*
 * budget.h - how often a table may be loaded: at once while its batches are few, so many a second on average
 * when there are more.
 *
 * A token bucket for each storage table, which fills at rate tokens a second up to two seconds' worth.
 * ClickHouse merges parts in the background; more parts a second than it merges would end in "too many
 * parts". A busy table does not hold up a quiet one, but where both are in one batch.
 */
#ifndef WALHOUSE_AGENT_BUDGET_H
#define WALHOUSE_AGENT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/batch.h"

typedef struct Budget {
    int64_t rate; /* tokens a second */
    int64_t millitokens;
    int64_t filled_at_ms;
} Budget;

void budget_init(Budget *budget, int64_t rate, int64_t now_ms);
/* Takes tokens; what is not there is owed. */
void budget_take(Budget *budget, int64_t tokens, int64_t now_ms);
/* Milliseconds until there is a token; 0: there is one. */
int64_t budget_wait_ms(Budget *budget, int64_t now_ms);

typedef struct TableBudget {
    char *table;
    Budget budget;
} TableBudget;

/* By name, sorted; grows with the tables. */
typedef struct Budgets {
    int64_t rate;
    TableBudget *tables;
    size_t count;
    size_t capacity;
} Budgets;

void budgets_init(Budgets *budgets, int64_t rate);
void budgets_fini(Budgets *budgets);
/* The table's budget, valid until the next call; NULL: out of memory. */
Budget *budgets_of(Budgets *budgets, const char *table, int64_t now_ms);
/* Milliseconds until every table that the batch goes into may have one more part. */
int64_t budgets_wait_ms(Budgets *budgets, const Batch *batch, int64_t now_ms);
/* Takes a token for each insert that the batch will be. */
void budgets_take(Budgets *budgets, const Batch *batch, int64_t now_ms);

#endif

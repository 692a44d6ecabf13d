/*
 * budget.h - how often batches may be loaded: at once while there are few, so many a second on average when
 * there are more.
 *
 * A token bucket that fills at rate tokens a second up to two seconds' worth. ClickHouse merges parts in the
 * background; more parts a second than it merges would end in "too many parts".
 */
#ifndef WALHOUSE_AGENT_BUDGET_H
#define WALHOUSE_AGENT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Budget {
    int64_t rate; /* tokens a second */
    int64_t millitokens;
    int64_t filled_at_ms;
} Budget;

void budget_init(Budget *budget, int64_t rate, int64_t now_ms);
/* Takes a token if there is one. */
bool budget_take(Budget *budget, int64_t now_ms);
/* Milliseconds until there is a token; 0: there is one. */
int64_t budget_wait_ms(Budget *budget, int64_t now_ms);

#endif

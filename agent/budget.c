/*
 * budget.c - how often batches may be loaded; see budget.h.
 */
#include "agent/budget.h"

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

bool budget_take(Budget *budget, int64_t now_ms)
{
    fill(budget, now_ms);
    if (budget->millitokens < TOKEN)
        return false;
    budget->millitokens -= TOKEN;
    return true;
}

int64_t budget_wait_ms(Budget *budget, int64_t now_ms)
{
    fill(budget, now_ms);
    if (budget->millitokens >= TOKEN)
        return 0;
    return (TOKEN - budget->millitokens + budget->rate - 1) / budget->rate;
}

/* budget_test.c - few batches go at once, many at the rate. */
#include "agent/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int take_for(Budget *budget, int64_t from_ms, int64_t to_ms)
{
    int taken = 0;

    for (int64_t now = from_ms; now < to_ms; now++)
        while (budget_wait_ms(budget, now) == 0) {
            budget_take(budget, 1, now);
            taken++;
        }
    return taken;
}

static void test_burst_then_rate(void **state)
{
    Budget budget;

    (void)state;
    budget_init(&budget, 10, 1000);
    assert_int_equal(take_for(&budget, 1000, 1001), 20);
    /* Ten seconds of trying all the time: ten a second. */
    assert_int_equal(take_for(&budget, 1001, 11001), 100);
}

static void test_ten_a_second_never_wait(void **state)
{
    Budget budget;

    (void)state;
    budget_init(&budget, 10, 0);
    for (int64_t now = 0; now < 60000; now += 100) {
        assert_int_equal(budget_wait_ms(&budget, now), 0);
        budget_take(&budget, 1, now);
    }
}

static void test_wait(void **state)
{
    Budget budget;

    (void)state;
    budget_init(&budget, 4, 0);
    assert_int_equal(budget_wait_ms(&budget, 0), 0);
    assert_int_equal(take_for(&budget, 0, 1), 8);
    assert_int_equal(budget_wait_ms(&budget, 0), 250);
    assert_int_equal(budget_wait_ms(&budget, 249), 1);
    assert_int_equal(budget_wait_ms(&budget, 250), 0);
    budget_take(&budget, 1, 250);
    /* A clock that stands or goes back gives nothing. */
    assert_int_equal(budget_wait_ms(&budget, 250), 250);
    assert_int_equal(budget_wait_ms(&budget, 100), 250);
}

static void test_what_is_owed_is_waited_for(void **state)
{
    Budget budget;

    (void)state;
    budget_init(&budget, 10, 0);
    budget_take(&budget, 25, 0);
    assert_int_equal(budget_wait_ms(&budget, 0), 600);
    assert_int_equal(budget_wait_ms(&budget, 600), 0);
}

static void test_tables_have_budgets_of_their_own(void **state)
{
    Budgets budgets;
    char name[16];

    (void)state;
    budgets_init(&budgets, 1);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "t%d", i * 7919 % 200);
        budget_take(budgets_of(&budgets, name, 0), i % 2 ? 2 : 1, 0);
    }
    assert_int_equal(budgets.count, 200);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "t%d", i * 7919 % 200);
        assert_int_equal(budget_wait_ms(budgets_of(&budgets, name, 0), 0) > 0, i % 2);
    }
    assert_int_equal(budgets.count, 200);
    budgets_fini(&budgets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate), cmocka_unit_test(test_ten_a_second_never_wait),
        cmocka_unit_test(test_wait), cmocka_unit_test(test_what_is_owed_is_waited_for),
        cmocka_unit_test(test_tables_have_budgets_of_their_own)};

    return cmocka_run_group_tests_name("agent_budget", tests, NULL, NULL);
}

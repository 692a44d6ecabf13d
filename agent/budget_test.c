/* budget_test.c - few batches go at once, many at the rate. */
#include "agent/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int take_for(Budget *budget, int64_t from_ms, int64_t to_ms)
{
    int taken = 0;

    for (int64_t now = from_ms; now < to_ms; now++)
        while (budget_take(budget, now))
            taken++;
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
    for (int64_t now = 0; now < 60000; now += 100)
        assert_true(budget_take(&budget, now));
}

static void test_wait(void **state)
{
    Budget budget;

    (void)state;
    budget_init(&budget, 4, 0);
    assert_int_equal(budget_wait_ms(&budget, 0), 0);
    assert_int_equal(take_for(&budget, 0, 1), 8);
    assert_int_equal(budget_wait_ms(&budget, 0), 250);
    assert_false(budget_take(&budget, 249));
    assert_true(budget_take(&budget, 250));
    /* A clock that stands or goes back gives nothing. */
    assert_false(budget_take(&budget, 250));
    assert_false(budget_take(&budget, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_burst_then_rate),
                                       cmocka_unit_test(test_ten_a_second_never_wait),
                                       cmocka_unit_test(test_wait)};

    return cmocka_run_group_tests_name("agent_budget", tests, NULL, NULL);
}

/* track_test.c - what is known of an order, whoever is heard of first. */
#include "storefront/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1000000

static int set_up(void **state)
{
    *state = calloc(1, sizeof(Track));
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void test_line(void **state)
{
    Track *track = *state;
    TrackedOrder *order = track_add(track, 7, 4000, NOW);

    assert_true(track_is_awaited(order, STATION_KAFKA, NOW));
    track_take_slot(track, 90, 100, NOW + 1, NOW + 2);
    assert_int_equal(order->lsn, 100);
    assert_true(track_is_awaited(order, STATION_KAFKA, NOW + 2));
    /* More WAL was written since; the order's place in it stays. */
    track_take_slot(track, 100, 300, NOW + 20, NOW + 30);
    assert_false(track_is_awaited(order, STATION_KAFKA, NOW + 30));
    assert_int_equal(order->took_us[STATION_KAFKA], 30);
    assert_true(track_is_awaited(order, STATION_WAREHOUSE, NOW + 30));
    track_take_loaded(track, 7, 50);
    assert_int_equal(order->took_us[STATION_WAREHOUSE], 50);
    assert_int_equal(order->took_us[STATION_KAFKA], 30);
    assert_false(track_is_awaited(order, STATION_WAREHOUSE, NOW + 30));
}

/* A position that was read before the commit says nothing about it. */
static void test_answer_from_before_the_commit(void **state)
{
    Track *track = *state;
    TrackedOrder *order = track_add(track, 7, 4000, NOW);

    track_take_slot(track, 500, 100, NOW - 1, NOW + 1);
    assert_int_equal(order->lsn, 0);
    assert_false(order->passed[STATION_KAFKA]);
}

static void test_loaded_was_in_kafka(void **state)
{
    Track *track = *state;
    TrackedOrder *order = track_add(track, 7, 4000, NOW);

    track_take_loaded(track, 7, 50);
    assert_true(order->passed[STATION_KAFKA]);
    assert_int_equal(order->took_us[STATION_KAFKA], 50);

    order = track_add(track, 8, 4000, NOW);
    track_take_slot(track, 100, 100, NOW, NOW + 90);
    track_take_loaded(track, 8, 50);
    assert_int_equal(order->took_us[STATION_KAFKA], 50);
    track_take_loaded(track, 9, 50); /* nobody's */
}

static void test_order_from_before(void **state)
{
    Track *track = *state;
    TrackedOrder *order = track_add(track, 7, TRACK_UNKNOWN, NOW);

    track_take_slot(track, 100, 100, NOW - 1, NOW + 1);
    assert_true(order->passed[STATION_KAFKA]);
    assert_int_equal(order->took_us[STATION_KAFKA], TRACK_UNKNOWN);
    track_take_loaded(track, 7, 40);
    assert_int_equal(order->took_us[STATION_KAFKA], 40);
}

/* Who goes away is not waited for; who comes back is. */
static void test_nobody_looks(void **state)
{
    Track *track = *state;
    TrackedOrder *order = track_add(track, 7, 4000, NOW);

    assert_true(track_is_awaited(order, STATION_WAREHOUSE, NOW + TRACK_KEEP_US));
    assert_false(track_is_awaited(order, STATION_WAREHOUSE, NOW + TRACK_KEEP_US + 1));
    order->asked_at = NOW + TRACK_KEEP_US + 1;
    assert_true(track_is_awaited(order, STATION_WAREHOUSE, NOW + TRACK_KEEP_US + 1));
}

static void test_newest_are_kept(void **state)
{
    Track *track = *state;

    for (int64_t id = 1; id <= TRACK_ORDERS + 1; id++)
        (void)track_add(track, id, 1, NOW);
    assert_null(track_find(track, 1));
    assert_int_equal(track_find(track, 2)->id, 2);
    assert_int_equal(track_find(track, TRACK_ORDERS + 1)->id, TRACK_ORDERS + 1);
    assert_null(track_find(track, 999999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer_from_before_the_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loaded_was_in_kafka, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order_from_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_looks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newest_are_kept, set_up, tear_down)};

    return cmocka_run_group_tests_name("storefront_track", tests, NULL, NULL);
}

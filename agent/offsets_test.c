/*
 * offsets_test.c - where reading begins, and what of the past is remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/offsets.h"

#define REWIND_MS 60000

static const Server server = {.name = "host", .started = 1000};

static OffsetRow row_of(int64_t offset, int64_t safe)
{
    return (OffsetRow){.topic = "t", .topic_id = "one", .offset = offset, .safe = safe, .server = server};
}

static int64_t start_of(int64_t committed, bool marked, const OffsetRow *row, const Server *now)
{
    PartitionStart start = {.topic = "t",
                            .topic_id = "one",
                            .known = true,
                            .committed = committed,
                            .marked = marked,
                            .log_start = 7,
                            .start = -1};

    offsets_start(&start, row, now);
    assert_false(start.remade);
    return start.start;
}

static void the_lower_one_wins(void **state)
{
    OffsetRow row = row_of(100, 40);

    (void)state;
    assert_int_equal(start_of(90, true, &row, &server), 90);
    assert_int_equal(start_of(110, true, &row, &server), 100);
    assert_int_equal(start_of(-1, false, &row, &server), 100);
}

static void without_a_row(void **state)
{
    (void)state;
    assert_int_equal(start_of(-1, false, NULL, &server), 7);
    assert_int_equal(start_of(90, false, NULL, &server), 90); /* of an older version */
    assert_int_equal(start_of(90, true, NULL, &server), 0);   /* the warehouse has lost it */
}

static void a_server_that_started_again_is_trusted_less(void **state)
{
    OffsetRow row = row_of(100, 40);
    Server later = {.name = "host", .started = 1004};
    Server slop = {.name = "host", .started = 1003};
    Server other = {.name = "other", .started = 1000};

    (void)state;
    assert_int_equal(start_of(100, true, &row, &later), 40);
    assert_int_equal(start_of(100, true, &row, &slop), 100);
    assert_int_equal(start_of(100, true, &row, &other), 40);
    assert_int_equal(start_of(30, true, &row, &later), 30);
}

static void a_topic_made_anew_is_read_from_its_beginning(void **state)
{
    OffsetRow row = row_of(100, 40);
    PartitionStart start = {.topic = "t", .topic_id = "two", .committed = 90, .marked = true, .start = -1};

    (void)state;
    offsets_start(&start, &row, &server);
    assert_true(start.remade);
    assert_int_equal(start.start, 0);
    row.topic_id[0] = '\0'; /* not known: taken for the same */
    offsets_start(&start, &row, &server);
    assert_false(start.remade);
}

static void open_at(Offsets *offsets, int64_t at)
{
    PartitionStart start = {.topic = "t", .topic_id = "one", .start = at};

    offsets_init(offsets, REWIND_MS);
    assert_int_equal(offsets_see_server(offsets, &server), -1);
    assert_true(offsets_add(offsets, &start, NULL, 0));
}

/* One more message every 10 ms for an hour, and any moment of the last minute is never too far. */
static void the_past_is_never_too_far(void **state)
{
    Offsets offsets;
    const Place *place;

    (void)state;
    open_at(&offsets, 0);
    place = offsets_find(&offsets, "t", 0);
    for (int64_t now = 10; now <= 3600000; now += 10) {
        offsets_loaded(&offsets, "t", 0, now / 10, now);
        for (int64_t back = 0; back <= REWIND_MS && now % 1000 == 0; back += 7000) {
            int64_t then = now - back;

            assert_true(offsets_safe(place, then) <= (then > 0 ? then / 10 : 0));
            assert_true(offsets_safe(place, then) >= (then - 10000) / 10 || then < 10000);
        }
    }
    /* In the end all of it is old. */
    assert_int_equal(offsets_safe(place, 3600000), 360000);
    offsets_fini(&offsets);
}

static void an_idle_partition_forgets_nothing(void **state)
{
    Offsets offsets;
    const Place *place;

    (void)state;
    open_at(&offsets, 5);
    place = offsets_find(&offsets, "t", 0);
    offsets_loaded(&offsets, "t", 0, 50, 1000);
    offsets_loaded(&offsets, "t", 0, 60, 7200000);
    assert_int_equal(offsets_safe(place, 7200000 - REWIND_MS), 50);
    assert_int_equal(offsets_safe(place, 500), 50); /* older than what is kept: the base */
    offsets_loaded(&offsets, "t", 0, 55, 7200001);
    assert_int_equal(place->loaded, 60);
    offsets_loaded(&offsets, "t", 1, 99, 7200001); /* not ours */
    offsets_fini(&offsets);
}

static void the_warehouse_is_told_once_a_second(void **state)
{
    Offsets offsets;
    Text text = {0};

    (void)state;
    open_at(&offsets, 5);
    assert_true(offsets_are_due(&offsets, 0, false)); /* it has no row */
    offsets_statement(&offsets, &text, "g'", 0);
    assert_non_null(strstr(text.data, "VALUES ('g\\'', 't', 'one', 0, 5, 5, 'host', 1000)"));
    assert_true(offsets_are_due(&offsets, 1, false)); /* not there yet */
    offsets_noted(&offsets);
    assert_false(offsets_are_due(&offsets, 5000, false));
    offsets_loaded(&offsets, "t", 0, 9, 500);
    assert_false(offsets_are_due(&offsets, 999, false));
    assert_true(offsets_are_due(&offsets, 999, true));
    assert_true(offsets_are_due(&offsets, 1000, false));
    text_clear(&text);
    offsets_statement(&offsets, &text, "g", 1000);
    assert_non_null(strstr(text.data, "('g', 't', 'one', 0, 9, 5, 'host', 1000)"));
    offsets_noted(&offsets);
    /* And once more when nothing can be lost any more. */
    assert_false(offsets_are_due(&offsets, 500 + REWIND_MS - 1, false));
    assert_true(offsets_are_due(&offsets, 500 + REWIND_MS, false));
    text_free(&text);
    offsets_fini(&offsets);
}

static void servers_are_known_by_name(void **state)
{
    Offsets offsets;
    Server a = {.name = "a", .started = 100, .seen_ms = 1};
    Server b = {.name = "b", .started = 200, .seen_ms = 2};

    (void)state;
    offsets_init(&offsets, REWIND_MS);
    assert_int_equal(offsets_see_server(&offsets, &a), -1);
    assert_int_equal(offsets_see_server(&offsets, &b), -1);
    a.seen_ms = 3;
    assert_int_equal(offsets_see_server(&offsets, &a), -1);
    b.started = 300;
    b.seen_ms = 9;
    assert_int_equal(offsets_see_server(&offsets, &b), 2);
    assert_int_equal(offsets_see_server(&offsets, &b), -1);
    for (int i = 0; i < 2 * OFFSETS_SERVERS; i++) {
        (void)snprintf(a.name, sizeof a.name, "many %d", i);
        assert_int_equal(offsets_see_server(&offsets, &a), -1);
    }
    assert_int_equal(offsets.server_count, OFFSETS_SERVERS);
    offsets_fini(&offsets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lower_one_wins),
        cmocka_unit_test(without_a_row),
        cmocka_unit_test(a_server_that_started_again_is_trusted_less),
        cmocka_unit_test(a_topic_made_anew_is_read_from_its_beginning),
        cmocka_unit_test(the_past_is_never_too_far),
        cmocka_unit_test(an_idle_partition_forgets_nothing),
        cmocka_unit_test(the_warehouse_is_told_once_a_second),
        cmocka_unit_test(servers_are_known_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

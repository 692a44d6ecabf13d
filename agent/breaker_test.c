/*
 * breaker_test.c - batches of letters and rows, judged.
 */
#include "agent/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOPIC "shop.public.orders"

typedef struct Fixture {
    Breaker breaker;
    Batch batch;
    TableStates states;
    TableSchema table;
    TableBuffer buffer;
    BatchRow rows[64];
    int64_t offset; /* of the next message, of both partitions */
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->breaker.limit = 20;
    batch_init(&f->batch);
    assert_true(table_states_init(&f->states));
    f->table.topic = (char *)(uintptr_t)TOPIC;
    f->table.target.view_name = (char *)(uintptr_t) "orders";
    f->buffer = (TableBuffer){.table = &f->table, .rows = f->rows};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    f->batch.tables = NULL;
    f->batch.table_count = 0;
    batch_fini(&f->batch);
    breaker_fini(&f->breaker);
    table_states_fini(&f->states);
    free(f);
    return 0;
}

static void begin(Fixture *f)
{
    f->batch.tables = NULL;
    f->batch.table_count = 0;
    batch_reset(&f->batch, SIZE_MAX);
    f->buffer.row_count = f->buffer.rows_refused = f->buffer.rows_left = 0;
    f->buffer.stopped = false;
}

/* Messages go to two partitions in turn. */
static uint32_t add_message(Fixture *f)
{
    MessageView view = {.topic = TOPIC, .partition = (int32_t)(f->offset % 2), .offset = f->offset};
    uint32_t index;
    Error error;

    f->offset++;
    assert_int_equal(batch_add_message(&f->batch, &view, &index, &error), STATUS_OK);
    return index;
}

static void add_letter(Fixture *f, uint32_t message)
{
    Error error = {"not an event"}, failure;

    assert_int_equal(batch_add_letter(&f->batch, message, REASON_UNDECODABLE, &error, &failure), STATUS_OK);
}

static void add_letters(Fixture *f, int count)
{
    for (int i = 0; i < count; i++)
        add_letter(f, add_message(f));
}

static void add_row(Fixture *f)
{
    f->rows[f->buffer.row_count++].message = add_message(f);
}

static void judge(Fixture *f)
{
    Error error = {""};

    f->batch.tables = &f->buffer;
    f->batch.table_count = 1;
    assert_int_equal(breaker_judge(&f->breaker, &f->batch, &f->states, &error), STATUS_OK);
}

static size_t stopped(Fixture *f)
{
    return table_states_count(&f->states, TABLE_STOPPED);
}

/* The first messages that are neither loaded nor a letter, of both partitions; -1: it goes on. */
static void assert_places(const Fixture *f, int64_t even, int64_t odd)
{
    const int64_t expected[] = {even, odd};

    assert_int_equal(f->batch.partition_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const PartitionRange *range = &f->batch.partitions[i];
        int64_t place = expected[range->partition];

        assert_int_equal(range->stopped, place >= 0);
        if (place >= 0)
            assert_int_equal(range->first, place);
    }
}

static void test_trips_and_tries(void **state)
{
    Fixture *f = *state;

    add_letters(f, 15);
    judge(f);
    assert_int_equal(f->batch.letter_count, 15);
    assert_int_equal(breaker_allowance(&f->breaker, TOPIC), 5);
    begin(f);
    add_letters(f, 30); /* offsets 15 to 44 */
    judge(f);
    assert_int_equal(f->batch.letter_count, 5);
    assert_places(f, 20, 21);
    assert_int_equal(stopped(f), 1);
    /* A few more each time. */
    begin(f);
    f->offset = 20;
    add_letters(f, 25);
    judge(f);
    assert_int_equal(f->batch.letter_count, BREAKER_PROBE);
    assert_places(f, 30, 31);
    /* So few that all of them come through. */
    begin(f);
    f->offset = 30;
    add_letters(f, 4);
    judge(f);
    assert_int_equal(f->batch.letter_count, 4);
    assert_places(f, -1, -1);
    assert_int_equal(stopped(f), 0);
    assert_int_equal(breaker_allowance(&f->breaker, TOPIC), BREAKER_PROBE - 4);
    /* A row: all is well. */
    begin(f);
    add_letters(f, 3);
    add_row(f);
    judge(f);
    assert_int_equal(breaker_allowance(&f->breaker, TOPIC), 20);
    assert_int_equal(table_states_count(&f->states, TABLE_LOADING), 0);
}

static void test_rows_that_were_left(void **state)
{
    Fixture *f = *state;

    for (int i = 0; i < 40; i++)
        add_row(f);
    for (uint32_t i = 5; i < 25; i++)
        add_letter(f, i);
    f->buffer.rows_refused = 20;
    f->buffer.rows_left = 15;
    judge(f);
    assert_int_equal(f->batch.letter_count, 20);
    assert_places(f, 26, 25);
    assert_int_equal(stopped(f), 1);
    assert_int_equal(breaker_allowance(&f->breaker, TOPIC), BREAKER_PROBE);
}

/* Its messages come again, and so do the letters. */
static void test_a_table_that_is_stopped_anyway(void **state)
{
    Fixture *f = *state;

    add_letters(f, 30);
    add_row(f);
    f->buffer.stopped = true;
    judge(f);
    assert_int_equal(f->batch.letter_count, 0);
    assert_int_equal(breaker_allowance(&f->breaker, TOPIC), 20);
}

static void test_switched_off(void **state)
{
    Fixture *f = *state;

    f->breaker.limit = 0;
    add_letters(f, 60);
    judge(f);
    assert_int_equal(f->batch.letter_count, 60);
    assert_places(f, -1, -1);
    assert_true(breaker_allowance(&f->breaker, TOPIC) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trips_and_tries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_that_were_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_table_that_is_stopped_anyway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_switched_off, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}

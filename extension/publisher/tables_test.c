/*
 * tables_test.c - counters of tables: what is counted where, and whose turn it is to be reported.
 */
#include "tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLICE(text) ((WhSlice){(const uint8_t *)(text), sizeof(text) - 1})

static TableCounter *learn(Tables *tables, uint32_t oid, uint64_t fingerprint)
{
    WhSchema schema = {.relation_oid = oid,
                       .replica_identity = 'd',
                       .schema_name = SLICE("public"),
                       .table_name = SLICE("orders"),
                       .key_column_count = 2};

    return tables_learn(tables, &schema, fingerprint);
}

static void events_are_counted_by_kind(void **state)
{
    Tables tables = {.count = 0};
    TableCounter *counter = learn(&tables, 7, 11);
    WhEvent event = {.operation = WH_OP_INSERT, .commit_lsn = 80, .commit_time_us = 5};

    (void)state;
    table_count(counter, &event, false, 100);
    event.operation = WH_OP_UPDATE;
    event.commit_lsn = 88;
    table_count(counter, &event, false, 50);
    event.operation = WH_OP_SNAPSHOT;
    event.commit_lsn = 8;
    table_count(counter, &event, true, 1);
    event.operation = WH_OP_TRUNCATE;
    table_count(counter, &event, true, 1); /* a snapshot's sweep */
    assert_int_equal(counter->report.inserts, 1);
    assert_int_equal(counter->report.updates, 1);
    assert_int_equal(counter->report.deletes, 0);
    assert_int_equal(counter->report.truncates, 0);
    assert_int_equal(counter->report.snapshot_rows, 1);
    assert_int_equal(counter->report.bytes, 152);
    assert_int_equal(counter->report.last_commit_lsn, 88);
    assert_int_equal(counter->report.key_columns, 2);
    assert_string_equal(counter->report.table_name, "orders");
    table_count(NULL, &event, false, 1);
    tables_free(&tables);
}

static void a_new_schema_version_is_the_same_table(void **state)
{
    Tables tables = {.count = 0};
    TableCounter *counter = learn(&tables, 7, 11);

    (void)state;
    assert_ptr_equal(learn(&tables, 7, 12), counter);
    assert_int_equal(counter->report.schema_versions, 2);
    assert_int_equal(counter->report.fingerprint, 12);
    assert_ptr_not_equal(learn(&tables, 8, 13), counter);
    assert_int_equal(tables.count, 2);
    tables_free(&tables);
}

static void there_is_a_bound_and_it_is_said(void **state)
{
    Tables *tables = calloc(1, sizeof *tables);

    (void)state;
    assert_non_null(tables);
    for (uint32_t i = 0; i < TABLES_COUNTED_MAX; i++)
        assert_non_null(learn(tables, i + 1, i));
    assert_null(learn(tables, TABLES_COUNTED_MAX + 1, 0));
    assert_int_equal(tables->uncounted, 1);
    tables_free(tables);
    free(tables);
}

typedef struct Pipe {
    size_t room;
    uint32_t oids[16];
    size_t count;
} Pipe;

static bool take(void *context, const WhTableReport *report)
{
    Pipe *pipe = context;

    if (pipe->count == pipe->room)
        return false;
    pipe->oids[pipe->count++] = report->relation_oid;
    return true;
}

static void those_that_found_no_room_come_first_the_next_time(void **state)
{
    Tables tables = {.count = 0};
    WhEvent event = {.operation = WH_OP_INSERT};
    TableCounter *counters[3];
    Pipe pipe = {.room = 2};

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        counters[i] = learn(&tables, i + 1, i);
    tables_report(&tables, take, &pipe);
    table_count(counters[0], &event, false, 1);
    pipe.room = 4;
    tables_report(&tables, take, &pipe);
    tables_report(&tables, take, &pipe);
    assert_int_equal(pipe.count, 4);
    assert_memory_equal(pipe.oids, ((uint32_t[]){1, 2, 3, 1}), 4 * sizeof(uint32_t));
    tables_free(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_counted_by_kind),
        cmocka_unit_test(a_new_schema_version_is_the_same_table),
        cmocka_unit_test(there_is_a_bound_and_it_is_said),
        cmocka_unit_test(those_that_found_no_room_come_first_the_next_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

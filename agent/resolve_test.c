/*
 * resolve_test.c - values that events leave out, from other events, rows of the batch and rows of the
 * warehouse. The table is "orders": id, customer_id, note (attribute 3), total (attribute 5), placed_at.
 */
#include "agent/resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

#define NOTE  2
#define TOTAL 3

typedef struct Fixture {
    Vectors *vectors;
    Config config;
    char database[8];
    Registry *registry;
    TableSchema *table;
    Batch batch;
    Resolve resolve;
    TableBuffer out;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    const TableSchema *added = NULL;
    WhSlice bytes;
    Error error;

    assert_non_null(f);
    f->vectors = vectors_read("wire-1.txt");
    (void)strcpy(f->database, "shop");
    f->config.clickhouse_database = f->database;
    f->registry = registry_new(&f->config);
    bytes = vectors_find(f->vectors, "schema_message.orders");
    assert_int_equal(registry_add(f->registry, bytes.data, bytes.size, &added, &error), STATUS_OK);
    f->table = registry_find(f->registry, added->fingerprint);
    batch_init(&f->batch);
    assert_true(batch_open_buffer(&f->out, f->table));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    resolve_close(&f->resolve);
    batch_close_buffer(&f->out);
    batch_fini(&f->batch);
    registry_free(f->registry);
    vectors_free(f->vectors);
    free(f);
    return 0;
}

static Version version(uint64_t lsn)
{
    return (Version)7 << 112 | (Version)lsn << 48 | 1;
}

/* A value that begins with '-' is left out. */
static void add(Fixture *f, char operation, uint64_t id, uint64_t lsn, const char *note, int64_t total)
{
    uint8_t body[256], lists[3] = {0};
    WhWriter w = wh_writer(body, sizeof body);
    WhEvent event = {.operation = operation,
                     .epoch = 7,
                     .fingerprint = f->table->fingerprint,
                     .commit_lsn = lsn,
                     .ordinal = 1};
    MessageView view = {.topic = "shop.public.orders", .offset = (int64_t)f->batch.message_count};
    uint32_t index;
    Reason reason;
    Error error;

    wh_put_u64(&w, id);
    if (!wh_op_has_key_only(operation)) {
        wh_put_u64(&w, 1);
        wh_put_u64(&w, 2);
        wh_put_u8(&w, note[0] == '-');
        if (note[0] == '-')
            lists[++lists[0]] = NOTE;
        else
            wh_put_str(&w, note, strlen(note));
        wh_put_u64(&w, (uint64_t)(total < 0 ? 0 : total));
        if (total < 0)
            lists[++lists[0]] = TOTAL;
        wh_put_u64(&w, 3);
    }
    event.flags = lists[0] > 0 ? WH_EVENT_HAS_UNCHANGED : 0;
    event.lists = (WhSlice){lists, lists[0] > 0 ? 1u + lists[0] : 0};
    event.body = (WhSlice){body, w.length};
    view.key = (WhSlice){body, 8};
    assert_int_equal(batch_add_message(&f->batch, &view, &index, &error), STATUS_OK);
    assert_int_equal(batch_add_event(&f->batch, f->table, &event, index, &reason, &error), STATUS_OK);
}

static ResolveKey *open(Fixture *f, size_t keys)
{
    Error error;

    assert_int_equal(resolve_open(&f->resolve, &f->batch, &f->batch.tables[0], &error), STATUS_OK);
    assert_int_equal(f->resolve.key_count, keys);
    return f->resolve.keys;
}

static ResolveOutcome decide(Fixture *f, ResolveKey *key)
{
    resolve_decide(&f->resolve, key);
    return key->outcome;
}

/* The key's row, once it is made, has these values. */
static void assert_row(Fixture *f, ResolveKey *key, const char *note, uint64_t total, uint64_t lsn)
{
    const uint8_t *row;
    WhReader r;
    WhSlice text;

    assert_int_equal(decide(f, key), RESOLVE_ROW);
    assert_true(resolve_append(&f->resolve, key, &f->out));
    row = f->out.data + f->out.rows[f->out.row_count - 1].offset;
    r = wh_reader(row, f->out.size - f->out.rows[f->out.row_count - 1].offset);
    (void)wh_get_bytes(&r, 24);
    assert_int_equal(wh_get_u8(&r), 0);
    text = wh_get_bytes(&r, wh_get_varint(&r));
    assert_true(wh_slice_equals(text, note));
    assert_int_equal(wh_get_u64(&r), total);
    assert_int_equal(wh_get_u64(&r), 3);
    assert_true(version_load(wh_get_bytes(&r, 16).data) == version(lsn));
    assert_int_equal(wh_get_u8(&r), 0);
    (void)wh_get_u64(&r);
    wh_get_end(&r);
    assert_true(wh_reader_ok(&r));
}

static void test_from_rows_and_events_of_the_batch(void **state)
{
    Fixture *f = *state;
    ResolveKey *keys;

    add(f, 'I', 1, 8, "one", 10);
    add(f, 'I', 2, 16, "two", 20);
    add(f, 'U', 1, 24, "-", 11);
    add(f, 'U', 2, 32, "second", -1);
    add(f, 'U', 1, 40, "-", -1);
    add(f, 'U', 2, 48, "-", 21);
    add(f, 'U', 2, 56, "-", -1);
    assert_int_equal(f->batch.tables[0].row_count, 2);
    assert_int_equal(f->batch.unresolved_count, 5);
    assert_int_equal(f->batch.rows, 7);
    keys = open(f, 2);
    assert_int_equal(keys[0].outcome, RESOLVE_LOOK);
    assert_row(f, &keys[0], "one", 11, 40);
    assert_true(keys[0].source == version(8));
    assert_row(f, &keys[1], "second", 21, 56);
    assert_true(keys[1].source == version(32));
    assert_true(batch_move_rows(&f->batch.tables[0], &f->out));
    assert_int_equal(f->batch.tables[0].row_count, 4);
    assert_int_equal(f->out.size, f->out.header_size);
}

static void test_from_the_warehouse(void **state)
{
    static const uint8_t note[] = {0, 3, 'o', 'l', 'd'};
    const WhSlice values[] = {{note, sizeof note}};
    ResolveBase base = {.there = true, .values = values};
    Fixture *f = *state;
    ResolveKey *key;

    add(f, 'U', 1, 40, "-", 12);
    key = open(f, 1);
    assert_int_equal(f->resolve.column_count, 1);
    assert_int_equal(decide(f, key), RESOLVE_ASK);
    base.version = base.source = version(8);
    resolve_add_base(key, &base);
    assert_row(f, key, "old", 12, 40);
    assert_true(key->source == version(8));
    key->base.deleted = true;
    assert_int_equal(decide(f, key), RESOLVE_ASK);
    key->base.deleted = false;
    key->base.version = (Version)6 << 112 | (Version)8 << 48;
    assert_int_equal(decide(f, key), RESOLVE_ASK);
    base.version = version(40);
    resolve_add_base(key, &base);
    assert_int_equal(decide(f, key), RESOLVE_SUPERSEDED);
}

static void test_superseded_by_a_row_of_the_batch(void **state)
{
    Fixture *f = *state;

    add(f, 'U', 1, 40, "-", 12);
    add(f, 'U', 1, 48, "whole", 13);
    add(f, 'U', 2, 56, "-", 12);
    add(f, 'D', 2, 64, NULL, 0);
    assert_int_equal(open(f, 2)[0].outcome, RESOLVE_SUPERSEDED);
    assert_int_equal(f->resolve.keys[1].outcome, RESOLVE_SUPERSEDED);
}

static void test_after_a_delete_and_after_an_insert_from_nowhere(void **state)
{
    Fixture *f = *state;
    ResolveKey *keys;
    uint16_t numbers[WH_COLUMNS_MAX];

    add(f, 'I', 1, 8, "one", 10);
    add(f, 'D', 1, 16, NULL, 0);
    add(f, 'U', 1, 24, "-", 11);
    add(f, 'I', 2, 8, "two", 20);
    add(f, 'I', 2, 16, "-", 21);
    add(f, 'U', 2, 24, "-", 22);
    add(f, 'I', 3, 8, "-", 30);
    add(f, 'U', 3, 16, "three", -1);
    keys = open(f, 3);
    assert_int_equal(decide(f, &keys[0]), RESOLVE_ASK);
    assert_int_equal(resolve_left_alone(&f->resolve, &keys[0], numbers), 1);
    assert_int_equal(numbers[0], 3);
    assert_int_equal(decide(f, &keys[1]), RESOLVE_ASK);
    assert_int_equal(resolve_left_alone(&f->resolve, &keys[1], numbers), 0);
    /* What an insert does say is known. */
    assert_row(f, &keys[2], "three", 30, 16);
}

static void test_gaps(void **state)
{
    static const uint8_t note[] = {3, 0}, total[] = {5, 0};
    Fixture *f = *state;
    ResolveKey *key;
    ResolveGap gap = {.version = version(16), .columns = note, .column_count = 1};

    add(f, 'I', 1, 8, "one", 10);
    add(f, 'U', 1, 24, "-", 11);
    key = open(f, 1);
    gap.key = key->key;
    /* Another event left the same value alone, or came before the base, or after the event. */
    assert_true(resolve_add_gap(&f->resolve, &gap));
    gap.column_count = 0;
    gap.version = version(8);
    assert_true(resolve_add_gap(&f->resolve, &gap));
    gap.version = version(24);
    assert_true(resolve_add_gap(&f->resolve, &gap));
    assert_row(f, key, "one", 11, 24);
    gap.columns = total;
    gap.column_count = 1;
    gap.version = version(16);
    assert_true(resolve_add_gap(&f->resolve, &gap));
    assert_int_equal(decide(f, key), RESOLVE_ASK);
}

static void test_a_dead_letter_of_the_batch_is_a_gap(void **state)
{
    Fixture *f = *state;
    WhSlice bytes = vectors_find(f->vectors, "event.insert_out_of_range"); /* id 3, LSN 0x101a2b3c0 */
    MessageView view = {.topic = "shop.public.orders", .value = bytes};
    uint8_t id[8] = {3};
    uint32_t index;
    Error error = {""}, failure;

    add(f, 'I', 3, 8, "three", 30);
    view.key = (WhSlice){id, sizeof id};
    assert_int_equal(batch_add_message(&f->batch, &view, &index, &failure), STATUS_OK);
    assert_int_equal(batch_add_letter(&f->batch, index, REASON_VALUE_OUT_OF_RANGE, &error, &failure),
                     STATUS_OK);
    add(f, 'U', 3, 0x200000000, "-", 31);
    add(f, 'I', 4, 8, "four", 40);
    add(f, 'U', 4, 0x200000000, "-", 41);
    assert_int_equal(decide(f, open(f, 2)), RESOLVE_ASK);
    assert_row(f, &f->resolve.keys[1], "four", 41, 0x200000000);
}

static void test_a_row_too_large_is_a_gap_and_no_row(void **state)
{
    static const uint8_t note[] = {0, 3, 'o', 'l', 'd'};
    const WhSlice values[] = {{note, sizeof note}};
    Fixture *f = *state;
    ResolveKey *keys;

    add(f, 'I', 1, 8, "one", 10);
    add(f, 'L', 1, 16, NULL, 0);
    add(f, 'U', 1, 24, "-", 11);
    /* Below the row, and above it with all that was left out between. */
    add(f, 'I', 2, 8, "two", 20);
    add(f, 'U', 2, 16, "-", 21);
    add(f, 'L', 2, 24, NULL, 0);
    add(f, 'L', 3, 8, NULL, 0);
    add(f, 'U', 3, 16, "three", 30);
    add(f, 'U', 3, 24, "-", 31);
    add(f, 'L', 4, 16, NULL, 0);
    add(f, 'U', 4, 24, "-", 41);
    assert_int_equal(f->batch.gap_count, 4);
    assert_int_equal(f->batch.tables[0].row_count, 3);
    keys = open(f, 4);
    assert_int_equal(decide(f, &keys[0]), RESOLVE_ASK);
    assert_row(f, &keys[1], "two", 21, 16);
    assert_row(f, &keys[2], "three", 31, 24);
    /* Of the warehouse: its row is older than that, or the one that was asked for. */
    resolve_add_base(
        &keys[3],
        &(ResolveBase){.there = true, .values = values, .version = version(8), .source = version(8)});
    assert_int_equal(decide(f, &keys[3]), RESOLVE_ASK);
    resolve_add_base(
        &keys[3],
        &(ResolveBase){.there = true, .values = values, .version = version(20), .source = version(20)});
    assert_row(f, &keys[3], "old", 41, 24);
}

static void test_a_row_too_large_has_its_own_key(void **state)
{
    Fixture *f = *state;
    WhSlice bytes = vectors_find(f->vectors, "event.large");
    MessageView view = {.topic = "shop.public.orders", .value = bytes};
    WhReader r = wh_reader(bytes.data, bytes.size);
    uint8_t id[8] = {1};
    uint32_t index;
    Reason reason;
    WhEvent event;
    Error error;

    view.key = (WhSlice){id, sizeof id};
    assert_true(wh_event_get(&r, &event));
    assert_int_equal(batch_add_message(&f->batch, &view, &index, &error), STATUS_OK);
    assert_int_equal(batch_add_event(&f->batch, f->table, &event, index, &reason, &error), STATUS_REJECT);
    assert_int_equal(reason, REASON_UNDECODABLE);
    assert_int_equal(f->batch.gap_count, 0);
}

static void test_a_forgotten_topic_leaves_nothing(void **state)
{
    Fixture *f = *state;

    add(f, 'I', 1, 8, "one", 10);
    add(f, 'U', 1, 24, "-", 11);
    batch_forget_topic(&f->batch, "shop.public.orders");
    assert_int_equal(f->batch.unresolved_count, 0);
    assert_int_equal(f->batch.rows, 0);
    assert_int_equal(f->batch.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_rows_and_events_of_the_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_the_warehouse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_superseded_by_a_row_of_the_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_a_delete_and_after_an_insert_from_nowhere, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_gaps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_dead_letter_of_the_batch_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_too_large_is_a_gap_and_no_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_too_large_has_its_own_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_forgotten_topic_leaves_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

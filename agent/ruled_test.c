/*
 * ruled_test.c - events of a table with rules in a batch, and rules that are read again. Events and schemas
 * are the golden bytes that the publisher's tests read too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/batch.h"
#include "tests/unit/vectors.h"

/* orders: id Int64 key, customer_id UUID, note Nullable(String), total Decimal(12, 2), placed_at */
#define NOTE      2
#define PLACED_AT 4

typedef struct Line {
    const char *name, *value;
} Line;

typedef struct Fixture {
    Vectors *vectors;
    Config config;
    char database[8];
    Registry *registry;
    TableSchema *orders;
    Batch batch;
} Fixture;

static Rules *make_rules(const Line *lines)
{
    Rules *rules = rules_new();
    Error error = {""};

    assert_non_null(rules);
    for (; lines && lines->name; lines++)
        assert_int_equal(rules_take(rules, "table public.orders", lines->name, lines->value, &error),
                         STATUS_OK);
    assert_int_equal(rules_finish(rules, "", &error), STATUS_OK);
    return rules;
}

static void open_registry(Fixture *f, const Line *lines)
{
    WhSlice bytes = vectors_find(f->vectors, "schema_message.orders");
    const TableSchema *added = NULL;
    Error error = {""};

    f->config.rules = make_rules(lines);
    f->registry = registry_new(&f->config);
    assert_non_null(f->registry);
    assert_int_equal(registry_add(f->registry, bytes.data, bytes.size, &added, &error), STATUS_OK);
    f->orders = registry_find(f->registry, added->fingerprint);
    assert_non_null(f->orders);
}

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->vectors = vectors_read("wire-1.txt");
    (void)strcpy(f->database, "shop");
    f->config.clickhouse_database = f->database;
    batch_init(&f->batch);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    batch_fini(&f->batch);
    registry_free(f->registry);
    rules_free(f->config.rules);
    vectors_free(f->vectors);
    free(f);
    return 0;
}

static WhEvent get_event(Fixture *f, const char *name)
{
    WhSlice bytes = vectors_find(f->vectors, name);
    WhReader r = wh_reader(bytes.data, bytes.size);
    WhEvent event;

    assert_true(wh_event_get(&r, &event));
    return event;
}

static Status add(Fixture *f, const WhEvent *event, Reason *reason, Error *error)
{
    static const char topic[] = "shop.public.orders";
    MessageView view = {
        .topic = topic, .offset = (int64_t)f->batch.message_count, .key = {event->body.data, 8}};
    uint32_t index;

    assert_int_equal(batch_add_message(&f->batch, &view, &index, error), STATUS_OK);
    return batch_add_event(&f->batch, f->orders, event, index, reason, error);
}

static void assert_added(Fixture *f, const WhEvent *event)
{
    Reason reason;
    Error error = {""};

    if (add(f, event, &reason, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* The bytes of the newest row before its version, and whether it is deleted. */
static WhSlice last_row(const Fixture *f, bool *deleted)
{
    const TableBuffer *buffer = &f->batch.tables[0];
    size_t start = buffer->rows[buffer->row_count - 1].offset;

    *deleted = buffer->data[buffer->size - 9];
    return (WhSlice){buffer->data + start, buffer->size - start - BATCH_ROW_TAIL_BYTES};
}

static void test_masked_row(void **state)
{
    Fixture *f = *state;
    static const char expected[] = "\x01\0\0\0\0\0\0\0\0\1x\2eu";
    WhEvent event;
    bool deleted;
    WhSlice row;

    open_registry(f, (Line[]){{"columns", "id, note"},
                              {"mask.note", "fixed:x"},
                              {"constant.region", "String eu"},
                              {NULL, NULL}});
    event = get_event(f, "event.insert");
    assert_added(f, &event);
    row = last_row(f, &deleted);
    assert_false(deleted);
    assert_int_equal(row.size, sizeof expected - 1);
    assert_memory_equal(row.data, expected, row.size);
    event = get_event(f, "event.delete");
    assert_added(f, &event);
    row = last_row(f, &deleted);
    assert_true(deleted);
    assert_int_equal(row.size, sizeof expected - 1);
    assert_memory_equal(row.data + 8, expected + 8, row.size - 8);
}

static void test_filtered_row(void **state)
{
    Fixture *f = *state;
    WhEvent event;
    bool deleted;

    open_registry(f, (Line[]){{"filter", "note = 'first'"}, {"columns", "id"}, {NULL, NULL}});
    event = get_event(f, "event.insert");
    assert_added(f, &event);
    (void)last_row(f, &deleted);
    assert_false(deleted);
}

static void test_row_that_is_filtered_out(void **state)
{
    Fixture *f = *state;
    WhEvent event;
    WhSlice row;
    bool deleted;

    open_registry(f, (Line[]){{"filter", "note <> 'first'"}, {"columns", "id, customer_id"}, {NULL, NULL}});
    event = get_event(f, "event.insert");
    assert_added(f, &event);
    row = last_row(f, &deleted);
    assert_true(deleted);
    /* The key, and nothing of the rest. */
    assert_int_equal(row.size, 8 + 16);
    for (size_t i = 8; i < row.size; i++)
        assert_int_equal(row.data[i], 0);
}

/* Values that an event does not hold matter where the row or the filter reads them. */
static void test_lists(void **state)
{
    static const uint8_t unchanged[] = {1, NOTE};
    static const uint8_t out_of_range[] = {1, PLACED_AT, 8, 'i', 'n', 'f', 'i', 'n', 'i', 't', 'y'};
    Fixture *f = *state;
    WhEvent event;
    Reason reason;
    Error error = {""};

    open_registry(f, (Line[]){{"drop", "note"}, {"mask.placed_at", "fixed:2026-01-01"}, {NULL, NULL}});
    event = get_event(f, "event.insert");
    event.flags = WH_EVENT_HAS_UNCHANGED;
    event.lists = (WhSlice){unchanged, sizeof unchanged};
    assert_added(f, &event);
    event.flags = WH_EVENT_HAS_OUT_OF_RANGE;
    event.lists = (WhSlice){out_of_range, sizeof out_of_range};
    assert_added(f, &event);
    assert_int_equal(f->batch.rows, 2);
    registry_free(f->registry);
    rules_free(f->config.rules);
    batch_reset(&f->batch, 0);
    open_registry(f, (Line[]){{"drop", "placed_at"}, {"filter", "placed_at > '2000-01-01'"}, {NULL, NULL}});
    assert_int_equal(add(f, &event, &reason, &error), STATUS_REJECT);
    assert_int_equal(reason, REASON_VALUE_OUT_OF_RANGE);
    assert_null(strstr(error.text, "infinity"));
    assert_non_null(strstr(error.text, "a value that is not shown here"));
}

static void use(Fixture *f, const Line *lines, Status expected, const char *text)
{
    Rules *rules = make_rules(lines);
    Error error = {""};

    assert_int_equal(registry_use_rules(f->registry, rules, &error), expected);
    if (strstr(error.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, error.text);
    if (expected != STATUS_OK) {
        rules_free(rules);
        return;
    }
    rules_free(f->config.rules);
    f->config.rules = rules;
}

static void test_other_rules(void **state)
{
    Fixture *f = *state;

    open_registry(f, NULL);
    assert_null(f->orders->map);
    f->orders->ready = true;
    use(f, (Line[]){{"mask.note", "partial:2"}, {"history", "true"}, {NULL, NULL}}, STATUS_OK, "");
    assert_non_null(f->orders->map);
    assert_false(f->orders->ready);
    assert_string_equal(f->orders->target.history_name, "orders_history");
    f->orders->ready = true;
    use(f, (Line[]){{"table", "sales"}, {NULL, NULL}}, STATUS_STOP,
        "table of table orders cannot be changed");
    use(f, (Line[]){{"partition_by", "id % 2"}, {NULL, NULL}}, STATUS_STOP,
        "partition_by of table orders cannot be changed");
    use(f, (Line[]){{"codec.note", "NONE"}, {NULL, NULL}}, STATUS_STOP, "the codec of column note");
    use(f, (Line[]){{"drop", "nte"}, {NULL, NULL}}, STATUS_STOP, "did you mean note?");
    assert_true(f->orders->ready);
    assert_non_null(f->orders->target.history_name);
    use(f, NULL, STATUS_OK, "");
    assert_null(f->orders->map);
    assert_true(f->orders->target.copies);
}

static void test_misfits(void **state)
{
    Fixture *f = *state;

    open_registry(f, (Line[]){{"drop", "nte"}, {"table", "sales"}, {NULL, NULL}});
    assert_non_null(f->orders->rules_error);
    assert_string_equal(f->orders->target.view_name, "sales");
    use(f, (Line[]){{"drop", "note"}, {NULL, NULL}}, STATUS_OK, "");
    assert_null(f->orders->rules_error);
    assert_true(registry_knows(f->registry, "public.orders"));
    assert_false(registry_knows(f->registry, "public.order"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_masked_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_filtered_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_row_that_is_filtered_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_misfits, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("agent_ruled", tests, NULL, NULL);
}

/*
 * batch_test.c - events become rows as ClickHouse takes them. Events and schemas are the golden bytes that
 * the publisher's tests read too.
 */
#include "agent/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/ddl.h"
#include "tests/unit/vectors.h"

/* ddl.c's text is tested; no server is asked. */
Status clickhouse_query(ClickHouse *client, const char *database, const char *sql, const char **body,
                        size_t *size, Error *error)
{
    (void)client;
    (void)database;
    (void)sql;
    (void)body;
    (void)size;
    return status_fail(error, STATUS_FATAL, "no test asks a server");
}

typedef struct Fixture {
    Vectors *vectors;
    Config config;
    char database[8];
    Registry *registry;
    Batch batch;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->vectors = vectors_read("wire-1.txt");
    (void)strcpy(f->database, "sh`op");
    f->config.clickhouse_database = f->database;
    f->registry = registry_new(&f->config);
    assert_non_null(f->registry);
    batch_init(&f->batch);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    batch_fini(&f->batch);
    registry_free(f->registry);
    vectors_free(f->vectors);
    free(f);
    return 0;
}

static TableSchema *add_orders(Fixture *f)
{
    WhSlice bytes = vectors_find(f->vectors, "schema_message.orders");
    const TableSchema *added = NULL;
    Error error = {""};

    assert_int_equal(registry_add(f->registry, bytes.data, bytes.size, &added, &error), STATUS_OK);
    assert_non_null(added);
    return registry_find(f->registry, added->fingerprint);
}

static WhEvent get_event(Fixture *f, const char *name)
{
    WhSlice bytes = vectors_find(f->vectors, name);
    WhReader r = wh_reader(bytes.data, bytes.size);
    WhEvent event;

    assert_true(wh_event_get(&r, &event));
    return event;
}

static Status add(Fixture *f, TableSchema *table, const WhEvent *event, Reason *reason, Error *error)
{
    static const char topic[] = "shop.public.orders";
    MessageView view = {.topic = topic, .offset = (int64_t)f->batch.message_count};
    uint32_t index;

    assert_int_equal(batch_add_message(&f->batch, &view, &index, error), STATUS_OK);
    return batch_add_event(&f->batch, table, event, index, reason, error);
}

static void test_registry(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhSlice bytes = vectors_find(f->vectors, "schema_message.orders");
    const TableSchema *again = NULL;
    Error error = {""};

    assert_string_equal(table->target.view_name, "orders");
    assert_string_equal(table->target.storage_name, "_orders");
    assert_string_equal(table->topic, "shop.public.orders");
    assert_int_equal(registry_add(f->registry, bytes.data, bytes.size, &again, &error), STATUS_OK);
    assert_null(again);
    assert_int_equal(registry_add(f->registry, bytes.data, bytes.size - 1, &again, &error), STATUS_REJECT);
    assert_null(registry_find(f->registry, 1));
}

static void test_insert_row(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    const TableBuffer *buffer;
    const uint8_t *tail;
    uint64_t high, low;
    uint8_t expected[BATCH_ROW_TAIL_BYTES];
    Reason reason;
    Error error = {""};

    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    buffer = &f->batch.tables[0];
    assert_int_equal(buffer->row_count, 1);
    assert_int_equal(buffer->size - buffer->header_size, event.body.size + BATCH_ROW_TAIL_BYTES);
    assert_memory_equal(buffer->data + buffer->header_size, event.body.data, event.body.size);
    tail = buffer->data + buffer->header_size + event.body.size;
    wh_version(event.epoch, event.commit_lsn, event.ordinal, &high, &low);
    (void)wh_store_u64(expected, low);
    (void)wh_store_u64(expected + 8, high);
    expected[16] = 0;
    (void)wh_store_u64(expected + 17, (uint64_t)event.commit_time_us);
    assert_memory_equal(tail, expected, sizeof expected);
    assert_int_equal(high, (uint64_t)event.epoch << 48 | event.commit_lsn >> 16);
    assert_int_equal(f->batch.partition_count, 1);
    assert_int_equal(f->batch.partitions[0].next, 1);
}

/* The header names every column with the type that the table has. */
static void test_header(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    uint8_t bytes[1000];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    WhReader r;
    static const char *const names[] = {"id",        "customer_id", "note",     "total",
                                        "placed_at", "_version",    "_deleted", "_commit_time"};
    static const char *const types[] = {
        "Int64",   "UUID",  "Nullable(String)",    "Decimal(12, 2)", "DateTime64(6, 'UTC')",
        "UInt128", "UInt8", "DateTime64(6, 'UTC')"};

    target_put_header(&w, &table->target);
    assert_true(w.length <= target_header_bytes_max(&table->target));
    assert_true(w.length <= target_header_room(&table->target));
    r = wh_reader(bytes, w.length);
    assert_int_equal(wh_get_varint(&r), 8);
    for (int i = 0; i < 8; i++)
        assert_true(wh_slice_equals(wh_get_str(&r, 100), names[i]));
    for (int i = 0; i < 8; i++)
        assert_true(wh_slice_equals(wh_get_str(&r, 100), types[i]));
    wh_get_end(&r);
    assert_true(wh_reader_ok(&r));
}

static void test_delete_row(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.delete");
    WhReader r;
    const TableBuffer *buffer;
    Reason reason;
    Error error = {""};

    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    buffer = &f->batch.tables[0];
    /* The row is complete: the key, defaults for the rest, and the tail with _deleted = 1. */
    r = wh_reader(buffer->data + buffer->header_size, buffer->size - buffer->header_size);
    for (uint32_t i = 0; i < table->schema.column_count; i++)
        (void)wh_type_get(&r, &table->types[i]);
    assert_true(wh_reader_ok(&r));
    assert_int_equal(wh_reader_left(&r), BATCH_ROW_TAIL_BYTES);
    assert_int_equal(buffer->data[buffer->size - 9], 1);
}

static void test_damaged_bodies(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    WhEvent cut;
    Reason reason;
    Error error = {""};

    for (size_t size = 0; size < event.body.size; size++) {
        cut = event;
        cut.body.size = size;
        assert_int_equal(add(f, table, &cut, &reason, &error), STATUS_REJECT);
        assert_int_equal(reason, REASON_UNDECODABLE);
    }
    assert_int_equal(f->batch.rows, 0);
}

static WhEvent truncate_event(const WhEvent *like, uint64_t commit_lsn, uint64_t ordinal)
{
    WhEvent event = *like;

    event.operation = WH_OP_TRUNCATE;
    event.flags = 0;
    event.lists = event.body = (WhSlice){0};
    event.commit_lsn = commit_lsn;
    event.ordinal = ordinal;
    return event;
}

static void test_truncates(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent insert = get_event(f, "event.insert");
    WhEvent high = truncate_event(&insert, 2000, 7), low = truncate_event(&insert, 2000, 6);
    const TableBuffer *buffer;
    Reason reason;
    Error error = {""};

    /* A truncate alone is no row, but something that the loader has to do. */
    assert_int_equal(add(f, table, &high, &reason, &error), STATUS_OK);
    assert_int_equal(f->batch.rows, 0);
    assert_int_equal(f->batch.truncates, 1);
    buffer = &f->batch.tables[0];
    assert_int_equal(buffer->row_count, 0);
    assert_true(buffer->truncated && buffer->truncate.version == version_of(&high));
    assert_int_equal(buffer->truncate.commit_time_us, insert.commit_time_us);
    /* The highest counts, whatever comes first. */
    assert_int_equal(add(f, table, &low, &reason, &error), STATUS_OK);
    assert_int_equal(add(f, table, &insert, &reason, &error), STATUS_OK);
    buffer = &f->batch.tables[0];
    assert_true(buffer->truncate.version == version_of(&high));
    assert_int_equal(f->batch.truncates, 1);
    assert_int_equal(buffer->row_count, 1);
    batch_forget_topic(&f->batch, "shop.public.orders");
    assert_int_equal(f->batch.truncates, 0);
    assert_false(f->batch.tables[0].truncated);
    assert_int_equal(add(f, table, &high, &reason, &error), STATUS_OK);
    batch_reset(&f->batch, SIZE_MAX);
    assert_int_equal(f->batch.truncates, 0);
    assert_false(f->batch.tables[0].truncated);
}

static Status add_sweep(Fixture *f, TableSchema *table, const WhEvent *event, int32_t partition,
                        int32_t partitions)
{
    MessageView view = {.topic = "shop.public.orders", .partition = partition, .partitions = partitions};
    uint32_t index;
    Reason reason;
    Error error = {""};

    assert_int_equal(batch_add_message(&f->batch, &view, &index, &error), STATUS_OK);
    return batch_add_event(&f->batch, table, event, index, &reason, &error);
}

/* Each partition's sweep is a thing of its own, unless there is only one. */
static void test_sweeps(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent insert = get_event(f, "event.insert");
    WhEvent sweep = truncate_event(&insert, 5000 - 1, WH_ORDINAL_LIMIT - 1);
    WhEvent truncate = truncate_event(&insert, 5000, 1);

    assert_int_equal(add_sweep(f, table, &sweep, 2, 3), STATUS_OK);
    assert_int_equal(add_sweep(f, table, &sweep, 0, 3), STATUS_OK);
    assert_int_equal(f->batch.sweep_count, 2);
    assert_int_equal(f->batch.truncates, 2);
    assert_int_equal(f->batch.sweeps[0].sweep.partition, 2);
    assert_int_equal(f->batch.sweeps[0].sweep.partitions, 3);
    assert_true(f->batch.sweeps[1].sweep.truncate.version == version_of(&sweep));
    assert_ptr_equal(f->batch.tables[f->batch.sweeps[1].table].table, table);
    assert_false(f->batch.tables[0].truncated);
    assert_int_equal(add_sweep(f, table, &truncate, 0, 3), STATUS_OK);
    assert_int_equal(f->batch.sweep_count, 2);
    assert_true(f->batch.tables[0].truncated);
    batch_forget_topic(&f->batch, "another");
    assert_int_equal(f->batch.sweep_count, 2);
    batch_forget_topic(&f->batch, "shop.public.orders");
    assert_int_equal(f->batch.sweep_count, 0);
    assert_int_equal(f->batch.truncates, 0);
    /* One partition, or a sender that does not say how many: at once. */
    assert_int_equal(add_sweep(f, table, &sweep, 0, 1), STATUS_OK);
    assert_int_equal(add_sweep(f, table, &sweep, 1, 0), STATUS_OK);
    assert_int_equal(f->batch.sweep_count, 0);
    assert_true(f->batch.tables[0].truncated);
    /* An end takes nothing away, wherever it comes. */
    sweep = truncate_event(&insert, 5000 - 2, WH_ORDINAL_LIMIT - 1);
    sweep.operation = WH_OP_END;
    batch_reset(&f->batch, SIZE_MAX);
    assert_int_equal(add_sweep(f, table, &sweep, 0, 1), STATUS_OK);
    assert_int_equal(f->batch.sweep_count, 1);
    assert_true(truncate_version_is_end(f->batch.sweeps[0].sweep.truncate.version));
    assert_false(f->batch.tables[f->batch.sweeps[0].table].truncated);
}

/* Snapshot rows are rows, of a version that may be below a truncate's. */
static void test_late_rows(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    WhEvent floor = truncate_event(&event, 5000, 1);
    TableBuffer *buffer;
    size_t row_size = event.body.size + BATCH_ROW_TAIL_BYTES;
    Reason reason;
    Error error = {""};

    event.operation = WH_OP_SNAPSHOT;
    event.ordinal = 0;
    for (int i = 0; i < 6; i++) {
        event.commit_lsn = i % 2 ? 5000 + (uint64_t)i : 4000 + (uint64_t)i;
        assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    }
    buffer = &f->batch.tables[0];
    assert_true(buffer->has_late_rows);
    assert_true(buffer->oldest_commit_us == INT64_MAX);
    assert_int_equal(batch_drop_below(buffer, version_of(&floor)), 3);
    assert_int_equal(buffer->row_count, 3);
    assert_int_equal(buffer->size, buffer->header_size + 3 * row_size);
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *row = buffer->data + buffer->rows[i].offset;

        event.commit_lsn = 5001 + 2 * i;
        assert_int_equal(buffer->rows[i].offset, buffer->header_size + i * row_size);
        assert_int_equal(buffer->rows[i].message, 1 + 2 * i);
        assert_memory_equal(row, event.body.data, event.body.size);
        assert_true(version_load(row + event.body.size) == version_of(&event));
    }
    assert_int_equal(batch_drop_below(buffer, 0), 0);
    floor.commit_lsn = 6000;
    assert_int_equal(batch_drop_below(buffer, version_of(&floor)), 3);
    assert_int_equal(buffer->size, buffer->header_size);
}

static void test_incomplete_values(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    static const uint8_t unchanged[] = {1, 2};
    static const uint8_t out_of_range[] = {1, 4, 8, 'i', 'n', 'f', 'i', 'n', 'i', 't', 'y'};
    Reason reason;
    Error error = {""};

    event.flags = WH_EVENT_HAS_UNCHANGED;
    event.lists = (WhSlice){unchanged, sizeof unchanged};
    /* The message's key must say which row it is. */
    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_REJECT);
    assert_int_equal(reason, REASON_UNDECODABLE);
    event.flags = WH_EVENT_HAS_OUT_OF_RANGE;
    event.lists = (WhSlice){out_of_range, sizeof out_of_range};
    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_REJECT);
    assert_int_equal(reason, REASON_VALUE_OUT_OF_RANGE);
    assert_string_equal(error.text, "column placed_at: DateTime64(6, 'UTC') cannot hold infinity");
    assert_int_equal(f->batch.rows, 0);
    /* The policy has found a value for it, which is in the body. */
    event = get_event(f, "event.insert_adjusted");
    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    assert_int_equal(f->batch.rows, 1);
}

static void test_reset(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    Reason reason;
    Error error = {""};

    for (int i = 0; i < 5000; i++)
        assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    assert_int_equal(f->batch.partitions[0].first, 0);
    assert_int_equal(f->batch.partitions[0].next, 5000);
    batch_reset(&f->batch, SIZE_MAX);
    assert_int_equal(f->batch.rows, 0);
    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    assert_int_equal(f->batch.tables[0].row_count, 1);
    batch_reset(&f->batch, 0);
    assert_int_equal(f->batch.table_count, 0);
}

static void test_messages_are_copied(void **state)
{
    Fixture *f = *state;
    uint8_t bytes[300000];
    char topic[] = "shop.public.orders";
    uint32_t index = 0;
    Error error = {""};

    /* Twice, so that memory that was used before is used again. */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++) {
            size_t size = i == 7 ? sizeof bytes : (size_t)i * 1000;
            MessageView view = {.topic = topic,
                                .offset = i,
                                .key = {i % 2 ? bytes : NULL, i % 2 ? 5 : 0},
                                .value = {bytes, size}};

            memset(bytes, i + 1, sizeof bytes);
            assert_int_equal(batch_add_message(&f->batch, &view, &index, &error), STATUS_OK);
            assert_int_equal(index, i);
            assert_ptr_not_equal(view.topic, topic);
        }
        memset(bytes, 0, sizeof bytes);
        for (int i = 0; i < 10; i++) {
            const MessageView *view = &f->batch.messages[i];

            assert_string_equal(view->topic, topic);
            assert_int_equal(view->offset, i);
            assert_int_equal(view->value.size, i == 7 ? 300000 : i * 1000);
            for (size_t j = 0; j < view->value.size; j++)
                assert_int_equal(view->value.data[j], i + 1);
            assert_int_equal(view->key.size, i % 2 ? 5 : 0);
            assert_true((view->key.data != NULL) == (i % 2 != 0));
        }
        batch_reset(&f->batch, 1 << 20);
        assert_int_equal(f->batch.message_count, 0);
    }
}

static void test_forgotten_topic(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    WhEvent event = get_event(f, "event.insert");
    Reason reason;
    Error error = {""};
    MessageView other = {.topic = "shop.__control", .offset = 9};
    uint32_t index;

    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    assert_int_equal(add(f, table, &event, &reason, &error), STATUS_OK);
    assert_int_equal(batch_add_message(&f->batch, &other, &index, &error), STATUS_OK);
    batch_forget_topic(&f->batch, "shop.public.orders");
    assert_int_equal(f->batch.rows, 0);
    assert_int_equal(f->batch.tables[0].row_count, 0);
    assert_int_equal(f->batch.tables[0].size, f->batch.tables[0].header_size);
    /* Only the other topic's offset may be committed. */
    assert_int_equal(f->batch.partition_count, 1);
    assert_string_equal(f->batch.partitions[0].topic, "shop.__control");
}

static void test_create_table(void **state)
{
    Fixture *f = *state;
    TableSchema *table = add_orders(f);
    Text text = {0};

    ddl_create_table(&text, &table->target, "whose it's");
    assert_string_equal(
        text.data, "CREATE TABLE IF NOT EXISTS `sh\\`op`.`_orders` (`id` Int64 COMMENT 'attribute 1', "
                   "`customer_id` UUID COMMENT 'attribute 2', `note` Nullable(String) COMMENT 'attribute 3', "
                   "`total` Decimal(12, 2) COMMENT 'attribute 5', "
                   "`placed_at` DateTime64(6, 'UTC') COMMENT 'attribute 6', "
                   "`_version` UInt128, `_deleted` UInt8, `_commit_time` DateTime64(6, 'UTC'), "
                   "`_loaded_time` DateTime64(6, 'UTC') DEFAULT now64(6), "
                   "INDEX `_loaded_time_index` `_loaded_time` TYPE minmax GRANULARITY 1) "
                   "ENGINE = ReplacingMergeTree(`_version`, `_deleted`) ORDER BY (`id`) "
                   "COMMENT 'whose it\\'s'");
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_insert_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_delete_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_late_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_incomplete_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages_are_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forgotten_topic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_create_table, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("agent_batch", tests, NULL, NULL);
}

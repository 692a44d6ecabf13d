/*
 * position_test.c - position records there and back, and the gate in front of the slot.
 */
#include "position.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const PositionRecord shop = {
    .pipeline = "shop", .epoch = 3, .lsn = UINT64_C(0x51A2B3C4D), .identity = {"7345678901234567890", 2}};

static void a_record_is_as_documented_and_comes_back(void **state)
{
    static const char expected[] = "{\"pipeline\": \"shop\", \"epoch\": 3, \"lsn\": \"5/1A2B3C4D\", "
                                   "\"system_identifier\": \"7345678901234567890\", \"timeline\": 2}";
    uint8_t bytes[POSITION_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    PositionRecord back;

    (void)state;
    position_put(&w, &shop);
    assert_int_equal(w.length, sizeof expected - 1);
    assert_memory_equal(bytes, expected, sizeof expected - 1);
    assert_true(position_get((WhSlice){bytes, w.length}, &back));
    assert_string_equal(back.pipeline, "shop");
    assert_int_equal(back.epoch, 3);
    assert_true(back.lsn == shop.lsn);
    assert_true(server_identities_are_equal(&back.identity, &shop.identity));
}

static void what_is_cut_or_goes_on_is_no_record(void **state)
{
    uint8_t bytes[POSITION_BYTES_MAX + 1] = {0};
    WhWriter w = wh_writer(bytes, POSITION_BYTES_MAX);
    PositionRecord back;

    (void)state;
    position_put(&w, &shop);
    for (size_t size = 0; size < w.length; size++)
        assert_false(position_get((WhSlice){bytes, size}, &back));
    assert_false(position_get((WhSlice){bytes, w.length + 1}, &back));
    assert_false(position_get((WhSlice){bytes, sizeof bytes}, &back));
}

static void the_newest_of_each_pipeline_counts(void **state)
{
    Positions positions = {.count = 0};
    PositionRecord older = shop, other = shop;

    (void)state;
    older.epoch = 7;
    (void)snprintf(other.pipeline, sizeof other.pipeline, "other");
    positions_take(&positions, &older);
    positions_take(&positions, &other);
    positions_take(&positions, &shop);
    assert_int_equal(positions.count, 2);
    assert_int_equal(positions.records[0].epoch, 3);
    assert_int_equal(positions.highest_epoch, 7);
    for (int i = 0; i < 2 * POSITIONS_MAX; i++) {
        (void)snprintf(other.pipeline, sizeof other.pipeline, "p%d", i);
        other.epoch = (uint16_t)(100 + i);
        positions_take(&positions, &other);
    }
    assert_int_equal(positions.count, POSITIONS_MAX);
    assert_int_equal(positions.highest_epoch, 100 + 2 * POSITIONS_MAX - 1);
}

static void the_slot_confirms_only_what_is_recorded(void **state)
{
    PositionGate gate = {.durable_lsn = 100};

    (void)state;
    assert_false(position_gate_wants(&gate, 100));
    assert_true(position_gate_wants(&gate, 108));
    position_gate_sent(&gate, 108);
    assert_int_equal(gate.durable_lsn, 100);
    assert_false(position_gate_wants(&gate, 200));
    position_gate_acked(&gate);
    assert_int_equal(gate.durable_lsn, 108);
    assert_true(position_gate_wants(&gate, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_as_documented_and_comes_back),
        cmocka_unit_test(what_is_cut_or_goes_on_is_no_record),
        cmocka_unit_test(the_newest_of_each_pipeline_counts),
        cmocka_unit_test(the_slot_confirms_only_what_is_recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

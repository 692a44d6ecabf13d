/*
 * event_test.c - events as Kafka messages, against tests/vectors/.
 */
#include "event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

static void golden_events_are_read_and_written(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        const Vector *one = &v->all[i];
        uint8_t out[VECTOR_BYTES_MAX];
        WhWriter w = wh_writer(out, sizeof out);
        WhReader r = wh_reader(one->bytes.data, one->bytes.size);
        WhEvent event;

        if (strncmp(one->name, "event.", 6) != 0)
            continue;
        while (wh_reader_left(&r) > 0) {
            assert_true(wh_event_get(&r, &event));
            wh_event_put(&w, &event);
        }
        assert_true(wh_reader_ok(&r) && !w.full);
        vectors_assert_equal(v, one->name, (WhSlice){out, w.length});
        seen++;
    }
    assert_true(seen >= 10);
    vectors_free(v);
}

static WhEvent read_one(const Vectors *v, const char *name)
{
    WhSlice bytes = vectors_find(v, name);
    WhReader r = wh_reader(bytes.data, bytes.size);
    WhEvent event;

    assert_true(wh_event_get(&r, &event));
    return event;
}

static void an_event_says_what_it_holds(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhEvent e = read_one(v, "event.insert");

    (void)state;
    assert_int_equal(e.operation, WH_OP_INSERT);
    assert_int_equal(e.epoch, 7);
    assert_true(e.commit_lsn == UINT64_C(0x101A2B3C0));
    assert_true(e.ordinal == 1);
    assert_int_equal(e.xid, 741);
    assert_true(e.commit_time_us == INT64_C(1767225600000000));
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.lists.size, 0);
    e = read_one(v, "event.no_key");
    assert_true(e.ordinal == WH_ORDINAL_LIMIT - 1);
    e = read_one(v, "event.delete");
    assert_int_equal(e.body.size, 8);
    e = read_one(v, "event.large");
    assert_int_equal(e.operation, WH_OP_LARGE);
    assert_int_equal(e.body.size, 8);
    assert_true(wh_op_has_key_only('D') && wh_op_has_key_only('L') && !wh_op_has_key_only('U'));
    vectors_free(v);
}

static void lists_are_walked(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhEvent e = read_one(v, "event.update_both_lists");
    WhLists lists = wh_lists(e.flags, e.lists);
    uint32_t column;
    WhSlice text;

    (void)state;
    assert_true(wh_lists_next_unchanged(&lists, &column));
    assert_int_equal(column, 2);
    assert_false(wh_lists_next_unchanged(&lists, &column));
    assert_true(wh_lists_next_out_of_range(&lists, &column, &text));
    assert_int_equal(column, 3);
    assert_true(wh_slice_equals(text, "NaN"));
    assert_true(wh_lists_next_out_of_range(&lists, &column, &text));
    assert_true(wh_slice_equals(text, "4713-01-01 00:00:00+00 BC"));
    assert_false(wh_lists_next_out_of_range(&lists, &column, &text));

    /* The unchanged list may be skipped. */
    lists = wh_lists(e.flags, e.lists);
    assert_true(wh_lists_next_out_of_range(&lists, &column, &text));
    assert_int_equal(column, 3);

    e = read_one(v, "event.insert_adjusted");
    assert_int_equal(e.flags, WH_EVENT_HAS_OUT_OF_RANGE | WH_EVENT_ADJUSTED);
    lists = wh_lists(e.flags, e.lists);
    assert_true(wh_lists_next_out_of_range(&lists, &column, &text));
    assert_int_equal(column, 4);
    assert_true(wh_slice_equals(text, "infinity"));

    e = read_one(v, "event.insert");
    lists = wh_lists(e.flags, e.lists);
    assert_false(wh_lists_next_unchanged(&lists, &column));
    assert_false(wh_lists_next_out_of_range(&lists, &column, &text));
    vectors_free(v);
}

static void whole_events_need_no_dead_letter(void **state)
{
    (void)state;
    assert_true(wh_event_is_whole(0));
    assert_true(wh_event_is_whole(WH_EVENT_HAS_OUT_OF_RANGE | WH_EVENT_ADJUSTED));
    assert_false(wh_event_is_whole(WH_EVENT_HAS_OUT_OF_RANGE));
    assert_false(wh_event_is_whole(WH_EVENT_HAS_UNCHANGED));
    assert_false(wh_event_is_whole(WH_EVENT_HAS_UNCHANGED | WH_EVENT_HAS_OUT_OF_RANGE | WH_EVENT_ADJUSTED));
}

static void malformed_events_are_refused_with_a_reason(void **state)
{
    Vectors *v = vectors_read("malformed-1.txt");
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        const Vector *one = &v->all[i];
        WhReader r = wh_reader(one->bytes.data, one->bytes.size);
        WhEvent event;

        if (strncmp(one->name, "event.", 6) != 0)
            continue;
        assert_false(wh_event_get(&r, &event));
        if (strcmp(r.error, one->note) != 0)
            fail_msg("%s: \"%s\" at byte %zu", one->name, r.error, r.error_offset);
        assert_true(r.error_offset <= one->bytes.size);
        seen++;
    }
    assert_true(seen >= 10);
    vectors_free(v);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A golden event with a few random bytes changed: read as far as it goes, lists and all, and never beyond its
 * end. */
static void damaged_events_are_survived(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhSlice whole = vectors_find(v, "event.update_both_lists");
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t size =
            next_random(&random) % 4 ? whole.size : (size_t)(next_random(&random) % (whole.size + 1));
        uint8_t *bytes = malloc(size ? size : 1);
        WhReader r = wh_reader(bytes, size);
        WhEvent event;

        assert_non_null(bytes);
        memcpy(bytes, whole.data, size);
        for (uint64_t i = next_random(&random) % 4; size > 0 && i > 0; i--)
            bytes[next_random(&random) % size] = (uint8_t)next_random(&random);
        while (wh_reader_left(&r) > 0 && wh_event_get(&r, &event)) {
            WhLists lists = wh_lists(event.flags, event.lists);
            uint32_t column;
            WhSlice text;

            while (wh_lists_next_unchanged(&lists, &column))
                assert_true(column < 1664);
            while (wh_lists_next_out_of_range(&lists, &column, &text))
                assert_true(text.size <= size);
            assert_true(event.body.size <= size);
        }
        free(bytes);
    }
    vectors_free(v);
}

static void versions_order_by_epoch_then_commit_then_ordinal(void **state)
{
    uint64_t high, low, high2, low2;

    (void)state;
    wh_version(1, 0, 0, &high, &low);
    wh_version(0, UINT64_MAX, WH_ORDINAL_LIMIT - 1, &high2, &low2);
    assert_true(high > high2);
    wh_version(3, 0x123456789abcdef0, 5, &high, &low);
    assert_true(high == UINT64_C(0x0003123456789abc));
    assert_true(low == UINT64_C(0xdef0000000000005));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_events_are_read_and_written),
        cmocka_unit_test(an_event_says_what_it_holds),
        cmocka_unit_test(lists_are_walked),
        cmocka_unit_test(whole_events_need_no_dead_letter),
        cmocka_unit_test(malformed_events_are_refused_with_a_reason),
        cmocka_unit_test(damaged_events_are_survived),
        cmocka_unit_test(versions_order_by_epoch_then_commit_then_ordinal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

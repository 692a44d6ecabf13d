/*
 * wire_test.c - the bounded reader and writer: limits, sticky errors, random bytes.
 */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void numbers_survive(void **state)
{
    uint8_t bytes[64];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    WhReader r;

    (void)state;
    wh_put_u8(&w, 0xfe);
    wh_put_u16(&w, 0xfedc);
    wh_put_u32(&w, 0xfedcba98);
    wh_put_u64(&w, UINT64_C(0xfedcba9876543210));
    wh_put_str(&w, "abc", 3);
    assert_false(w.full);
    assert_int_equal(bytes[1], 0xdc); /* little-endian */
    r = wh_reader(bytes, w.length);
    assert_int_equal(wh_get_u8(&r), 0xfe);
    assert_int_equal(wh_get_u16(&r), 0xfedc);
    assert_int_equal(wh_get_u32(&r), 0xfedcba98);
    assert_true(wh_get_u64(&r) == UINT64_C(0xfedcba9876543210));
    assert_true(wh_slice_equals(wh_get_str(&r, 3), "abc"));
    wh_get_end(&r);
    assert_true(wh_reader_ok(&r));
}

/* Every power of two and its neighbours: the size is as said, the value comes back, the shortest form is
 * used. */
static void varints_survive(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)delta;
            uint8_t bytes[WH_VARINT_BYTES_MAX], stored[WH_VARINT_BYTES_MAX];
            WhWriter w = wh_writer(bytes, sizeof bytes);
            WhReader r;

            wh_put_varint(&w, value);
            assert_false(w.full);
            assert_int_equal(w.length, wh_varint_size(value));
            assert_int_equal(wh_store_varint(stored, value) - stored, w.length);
            assert_memory_equal(stored, bytes, w.length);
            r = wh_reader(bytes, w.length);
            assert_true(wh_get_varint(&r) == value);
            assert_int_equal(wh_reader_left(&r), 0);
            assert_true(wh_reader_ok(&r));
            r = wh_reader(bytes, w.length - 1);
            (void)wh_get_varint(&r);
            assert_string_equal(r.error, "the bytes end too early");
        }
    }
}

static void varints_have_one_form(void **state)
{
    static const uint8_t wrong[][11] = {
        {2, 0x80, 0x00},
        {3, 0xff, 0x80, 0x00},
        {10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
        {10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        WhReader r = wh_reader(wrong[i] + 1, wrong[i][0]);

        assert_true(wh_get_varint(&r) == 0);
        assert_string_equal(r.error, "a varint is too long");
    }
}

static void a_reader_keeps_its_first_error(void **state)
{
    const uint8_t bytes[] = {1, 2, 3};
    WhReader r = wh_reader(bytes, sizeof bytes);

    (void)state;
    assert_int_equal(wh_get_u8(&r), 1);
    assert_int_equal(wh_get_u32(&r), 0);
    assert_string_equal(r.error, "the bytes end too early");
    assert_int_equal(r.error_offset, 1);
    wh_reader_fail(&r, "another");
    assert_string_equal(r.error, "the bytes end too early");
    assert_int_equal(wh_get_u8(&r), 0);
    assert_int_equal(wh_reader_left(&r), 0);
    assert_int_equal(wh_get_bytes(&r, 1).size, 0);
}

static void a_length_beyond_the_end_is_an_error(void **state)
{
    const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a'};
    WhReader r = wh_reader(huge, sizeof huge);

    (void)state;
    assert_int_equal(wh_get_str(&r, SIZE_MAX).size, 0);
    assert_string_equal(r.error, "the bytes end too early");
    r = wh_reader("\x04"
                  "abcd",
                  5);
    assert_int_equal(wh_get_str(&r, 3).size, 0);
    assert_string_equal(r.error, "a text is longer than allowed");
}

static void a_writer_stays_full(void **state)
{
    uint8_t bytes[4];
    WhWriter w = wh_writer(bytes, sizeof bytes);

    (void)state;
    wh_put_u16(&w, 1);
    wh_put_u32(&w, 2);
    assert_true(w.full);
    assert_int_equal(w.length, 2);
    wh_put_u8(&w, 3); /* it would fit, but what came before is missing */
    assert_int_equal(w.length, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_survive),
        cmocka_unit_test(varints_survive),
        cmocka_unit_test(varints_have_one_form),
        cmocka_unit_test(a_reader_keeps_its_first_error),
        cmocka_unit_test(a_length_beyond_the_end_is_an_error),
        cmocka_unit_test(a_writer_stays_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

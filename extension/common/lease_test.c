/*
 * lease_test.c - leases there and back, and what they cover.
 */
#include "lease.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const WhLease lease = {.epoch = 0x0203, .lsn = UINT64_C(0x0405060708090a0b)};

static void a_lease_is_as_documented_and_comes_back(void **state)
{
    static const uint8_t expected[] = {1, 3, 2, 0x0b, 0x0a, 9, 8, 7, 6, 5, 4};
    uint8_t bytes[WH_LEASE_BYTES];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    WhLease back;

    (void)state;
    wh_lease_put(&w, &lease);
    assert_false(w.full);
    assert_int_equal(w.length, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    assert_true(wh_lease_get((WhSlice){bytes, w.length}, &back));
    assert_int_equal(back.epoch, lease.epoch);
    assert_true(back.lsn == lease.lsn);
}

static void what_is_cut_goes_on_or_is_of_another_version_is_no_lease(void **state)
{
    uint8_t bytes[WH_LEASE_BYTES + 1] = {0};
    WhWriter w = wh_writer(bytes, sizeof bytes);
    WhLease back;

    (void)state;
    wh_lease_put(&w, &lease);
    assert_true(wh_lease_get((WhSlice){bytes, WH_LEASE_BYTES}, &back));
    for (size_t size = 0; size <= sizeof bytes; size++)
        assert_int_equal(wh_lease_get((WhSlice){bytes, size}, &back), size == WH_LEASE_BYTES);
    bytes[0] = 2;
    assert_false(wh_lease_get((WhSlice){bytes, WH_LEASE_BYTES}, &back));
}

static bool is_key(const char *text)
{
    return wh_lease_is_key((WhSlice){(const uint8_t *)text, strlen(text)});
}

static void keys_of_schemas_are_none_of_leases(void **state)
{
    (void)state;
    assert_true(is_key("lease.shop"));
    assert_false(is_key("89abcdef01234567"));
    assert_false(is_key("lease."));
    assert_false(is_key("leas"));
    assert_false(wh_lease_is_key((WhSlice){0}));
}

/* The epoch decides, then the LSN; the end is still inside. */
static void a_lease_covers_up_to_its_end(void **state)
{
    (void)state;
    assert_true(wh_lease_covers(&lease, lease.epoch, lease.lsn));
    assert_true(wh_lease_covers(&lease, lease.epoch, 0));
    assert_false(wh_lease_covers(&lease, lease.epoch, lease.lsn + 1));
    assert_false(wh_lease_covers(&lease, lease.epoch, UINT64_MAX));
    assert_true(wh_lease_covers(&lease, lease.epoch - 1, UINT64_MAX));
    assert_false(wh_lease_covers(&lease, lease.epoch + 1, 0));
    assert_false(wh_lease_covers(&lease, UINT16_MAX, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_as_documented_and_comes_back),
        cmocka_unit_test(what_is_cut_goes_on_or_is_of_another_version_is_no_lease),
        cmocka_unit_test(keys_of_schemas_are_none_of_leases),
        cmocka_unit_test(a_lease_covers_up_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * lease_test.c - which lease is in force, and what it admits.
 */
#include "agent/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

static bool take(WhLease *newest, const char *key, uint16_t epoch, uint64_t lsn)
{
    const WhLease lease = {epoch, lsn};
    uint8_t bytes[WH_LEASE_BYTES];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    MessageView message = {.topic = "shop.__schema", .key = slice(key)};

    wh_lease_put(&w, &lease);
    message.value = (WhSlice){bytes, w.length};
    return lease_take(newest, &message);
}

static bool admits(const WhLease *newest, uint16_t epoch, uint64_t lsn)
{
    const WhEvent event = {.epoch = epoch, .commit_lsn = lsn, .ordinal = WH_ORDINAL_LIMIT - 1};

    return lease_admits(newest, &event);
}

static void without_a_lease_nothing_is_judged(void **state)
{
    WhLease newest = {0};

    (void)state;
    assert_true(admits(&newest, UINT16_MAX, UINT64_MAX));
    assert_false(take(&newest, "89abcdef01234567", 1, 1000));
    assert_true(admits(&newest, UINT16_MAX, UINT64_MAX));
}

static void the_highest_of_all_pipelines_counts(void **state)
{
    WhLease newest = {0};

    (void)state;
    assert_true(take(&newest, "lease.shop", 2, 1000));
    assert_true(take(&newest, "lease.shop", 2, 900));
    assert_true(take(&newest, "lease.other", 1, 5000));
    assert_true(admits(&newest, 2, 1000));
    assert_true(admits(&newest, 1, 999999));
    assert_false(admits(&newest, 2, 1001));
    assert_false(admits(&newest, 3, 1));
    /* A higher epoch may begin lower. */
    assert_true(take(&newest, "lease.shop", 3, 500));
    assert_true(admits(&newest, 2, UINT64_MAX));
    assert_true(admits(&newest, 3, 500));
    assert_false(admits(&newest, 3, 501));
}

static void what_cannot_be_read_takes_the_lease_back_until_the_next(void **state)
{
    WhLease newest = {0};
    MessageView taken_back = {.topic = "shop.__schema", .key = slice("lease.shop")};

    (void)state;
    assert_true(take(&newest, "lease.shop", 2, 1000));
    assert_true(lease_take(&newest, &taken_back));
    assert_true(admits(&newest, 9, 9999));
    assert_true(take(&newest, "lease.shop", 1, 1000));
    assert_false(admits(&newest, 9, 9999));
}

static void a_refusal_names_both_places(void **state)
{
    const WhLease newest = {3, UINT64_C(0x51A2B3C4D)};
    const WhEvent event = {.epoch = 4, .commit_lsn = UINT64_C(0xFFFFFFFF00000010)};
    Error error;

    (void)state;
    assert_int_equal(lease_refuse(&newest, &event, &error), STATUS_REJECT);
    assert_non_null(strstr(error.text, "epoch 4 and LSN FFFFFFFF/10,"));
    assert_non_null(strstr(error.text, "epoch 3, up to LSN 5/1A2B3C4D"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_lease_nothing_is_judged),
        cmocka_unit_test(the_highest_of_all_pipelines_counts),
        cmocka_unit_test(what_cannot_be_read_takes_the_lease_back_until_the_next),
        cmocka_unit_test(a_refusal_names_both_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

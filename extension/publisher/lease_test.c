/*
 * lease_test.c - events go no further than Kafka knows, and as a rule never wait for it.
 */
#include "lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB UINT64_C(0x100000)

static void renew(Lease *lease)
{
    assert_true(lease_is_due(lease));
    lease_sent(lease);
    assert_false(lease_is_due(lease));
    lease_acked(lease);
}

static void nothing_goes_before_the_first_is_acknowledged(void **state)
{
    Lease lease = {0};

    (void)state;
    lease_see(&lease, 5 * MIB);
    assert_true(lease_is_due(&lease));
    assert_false(lease_allows(&lease, 8));
    lease_sent(&lease);
    assert_false(lease_allows(&lease, 8));
    lease_acked(&lease);
    assert_true(lease_allows(&lease, 8));
    assert_true(lease_allows(&lease, 5 * MIB + LEASE_MARGIN));
    assert_false(lease_allows(&lease, 5 * MIB + LEASE_MARGIN + 1));
}

/* Each record is acknowledged only 100 MiB of WAL after it was sent. */
static void a_stream_never_waits(void **state)
{
    Lease lease = {0};
    unsigned records = 1;
    uint64_t sent_at = 0;

    (void)state;
    renew(&lease);
    for (uint64_t lsn = 0; lsn < 100 * LEASE_MARGIN; lsn += MIB) {
        if (lease.in_flight && lsn - sent_at > 100 * MIB)
            lease_acked(&lease);
        assert_true(lease_allows(&lease, lsn));
        if (lease_is_due(&lease)) {
            lease_sent(&lease);
            sent_at = lsn;
            records++;
        }
    }
    assert_true(records >= 100 && records <= 250);
}

static void a_leap_waits_for_a_lease_of_its_own(void **state)
{
    Lease lease = {0};

    (void)state;
    renew(&lease);
    assert_false(lease_is_due(&lease));
    assert_false(lease_allows(&lease, 7 * LEASE_MARGIN));
    renew(&lease);
    assert_true(lease_allows(&lease, 7 * LEASE_MARGIN));
    /* What was seen while a record was on its way asks for the next one. */
    lease_see(&lease, 8 * LEASE_MARGIN);
    lease_sent(&lease);
    assert_false(lease_allows(&lease, 10 * LEASE_MARGIN));
    lease_acked(&lease);
    assert_false(lease_allows(&lease, 10 * LEASE_MARGIN));
    renew(&lease);
    assert_true(lease_allows(&lease, 10 * LEASE_MARGIN));
}

static void older_positions_change_nothing(void **state)
{
    Lease lease = {0};

    (void)state;
    lease_see(&lease, 9 * LEASE_MARGIN);
    renew(&lease);
    assert_true(lease_allows(&lease, LEASE_MARGIN));
    assert_false(lease_is_due(&lease));
    assert_true(lease.newest_lsn == 9 * LEASE_MARGIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_before_the_first_is_acknowledged),
        cmocka_unit_test(a_stream_never_waits),
        cmocka_unit_test(a_leap_waits_for_a_lease_of_its_own),
        cmocka_unit_test(older_positions_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

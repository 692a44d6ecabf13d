/*
 * lease.c - when a lease is to be renewed; see lease.h. Pure: no I/O, no clock.
 */
#include "lease.h"

#include <assert.h>

bool lease_is_due(const Lease *lease)
{
    return !lease->in_flight &&
           (lease->limit < lease->newest_lsn || lease->limit - lease->newest_lsn < LEASE_MARGIN / 2);
}

/* No WAL comes near the end of its numbers. */
uint64_t lease_next_limit(const Lease *lease)
{
    return lease->newest_lsn + LEASE_MARGIN;
}

void lease_sent(Lease *lease)
{
    assert(!lease->in_flight);
    lease->sent_limit = lease_next_limit(lease);
    lease->in_flight = true;
}

void lease_acked(Lease *lease)
{
    assert(lease->in_flight);
    lease->in_flight = false;
    lease->limit = lease->sent_limit;
}

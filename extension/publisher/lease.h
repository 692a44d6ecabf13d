/*
 * lease.h - how far this publisher has promised not to go beyond, so that what lies beyond is not its own
 * (extension/common/lease.h).
 *
 * A lease must be acknowledged before an event that it covers is sent. So that none waits for that, it
 * reaches far beyond the WAL's end, and is renewed when half of it is used up:
 *
 *      WAL's end or an event near the limit --> record of a new limit --> Kafka --> acknowledged: events go
 * on
 */
#ifndef WALHOUSE_PUBLISHER_LEASE_H
#define WALHOUSE_PUBLISHER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* How far beyond the newest known position it reaches: so far ahead a version of somebody else's may be. */
#define LEASE_MARGIN (UINT64_C(1) << 30)

/* Zeroed: nothing is promised yet, so nothing may be sent. */
typedef struct Lease {
    uint64_t limit;      /* Kafka has a record of it */
    uint64_t newest_lsn; /* that was seen, of the server or of an event */
    uint64_t sent_limit;
    bool in_flight;
} Lease;

static inline void lease_see(Lease *lease, uint64_t lsn)
{
    if (lsn > lease->newest_lsn)
        lease->newest_lsn = lsn;
}

/* May an event of this LSN be sent? Otherwise a new lease is due. */
static inline bool lease_allows(Lease *lease, uint64_t lsn)
{
    lease_see(lease, lsn);
    return lsn <= lease->limit;
}

bool lease_is_due(const Lease *lease);
/* The limit to send when it is due. */
uint64_t lease_next_limit(const Lease *lease);
void lease_sent(Lease *lease);
void lease_acked(Lease *lease);

#endif

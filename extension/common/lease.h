/*
 * lease.h - up to which version a publisher may send events: its promise, and the measure of those who read.
 *
 * publisher --lease, acknowledged--> schema topic --> agent: what lies beyond it, no publisher has sent.
 * Layout: docs/wire-format.md, "Lease"; why it is sound: docs/guarantees.md.
 */
#ifndef WALHOUSE_COMMON_LEASE_H
#define WALHOUSE_COMMON_LEASE_H

#include "wire.h"

/* Its message's key is this and the pipeline's name. No fingerprint has a dot. */
#define WH_LEASE_KEY_PREFIX "lease."
#define WH_LEASE_BYTES      (1 + 2 + 8)

/* Zeroed: none. */
typedef struct WhLease {
    uint16_t epoch;
    uint64_t lsn;
} WhLease;

bool wh_lease_is_key(WhSlice key);
void wh_lease_put(WhWriter *w, const WhLease *lease);
/* false: it is something else. */
bool wh_lease_get(WhSlice value, WhLease *lease);

/* May an event with these be sent? */
static inline bool wh_lease_covers(const WhLease *lease, uint16_t epoch, uint64_t commit_lsn)
{
    return epoch < lease->epoch || (epoch == lease->epoch && commit_lsn <= lease->lsn);
}

#endif

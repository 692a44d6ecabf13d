/*
 * lease.h - which events a publisher can have sent. Pure, but for the log.
 *
 * schema topic --leases--> the newest one --> an event beyond it is nobody's: it would outrank, for ever,
 * what its key becomes
 *
 * As a lease is in the schema topic before the first event that needs it, only one that has read that topic
 * as it is, with the event in hand, may say so.
 */
#ifndef WALHOUSE_AGENT_LEASE_H
#define WALHOUSE_AGENT_LEASE_H

#include "agent/consume.h"
#include "extension/common/event.h"
#include "extension/common/lease.h"

/*
 * Takes a message of the schema topic; false: it is no lease. The highest is kept, whichever pipeline's. One
 * that cannot be read, or is empty, takes back what was known.
 */
bool lease_take(WhLease *newest, const MessageView *message);

/* Is the event within the lease? Without one every event is. */
static inline bool lease_admits(const WhLease *newest, const WhEvent *event)
{
    return wh_lease_covers(newest, event->epoch, event->commit_lsn) || newest->lsn == 0;
}

/* STATUS_REJECT, with the reason why it does not admit the event. */
Status lease_refuse(const WhLease *newest, const WhEvent *event, Error *error);

#endif

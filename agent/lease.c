/*
 * lease.c - the newest lease of the schema topic; see lease.h.
 */
#include "agent/lease.h"

#include "lib/log.h"

bool lease_take(WhLease *newest, const MessageView *message)
{
    WhLease lease;

    if (!wh_lease_is_key(message->key))
        return false;
    if (!wh_lease_get(message->value, &lease)) {
        /* Better none than one that events have outgrown. */
        log_warning("the lease at offset %lld cannot be read: until the next one no version is implausible",
                    (long long)message->offset);
        *newest = (WhLease){0};
    } else if (!wh_lease_covers(newest, lease.epoch, lease.lsn)) {
        *newest = lease;
    }
    return true;
}

Status lease_refuse(const WhLease *newest, const WhEvent *event, Error *error)
{
    return status_fail(error, STATUS_REJECT,
                       "its version, epoch %u and LSN %X/%X, lies beyond what the source can have written: "
                       "epoch %u, up to LSN %X/%X",
                       (unsigned)event->epoch, (unsigned)(event->commit_lsn >> 32),
                       (unsigned)event->commit_lsn, (unsigned)newest->epoch, (unsigned)(newest->lsn >> 32),
                       (unsigned)newest->lsn);
}

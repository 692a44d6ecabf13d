/*
 * feed.h - what goes into the flow next: a chunk of the stream, or one of a snapshot.
 *
 *      walreader ---chunks---+
 *                            +--> flow
 *      snapshots ---chunks---+
 *
 * The stream comes first, but while both have something each gets as many bytes as the other, so that neither
 * holds up the other for longer than one chunk takes.
 */
#ifndef WALHOUSE_PUBLISHER_FEED_H
#define WALHOUSE_PUBLISHER_FEED_H

#include "flow.h"
#include "snapshot.h"
#include "walreader.h"

typedef struct Feed {
    WalReader *reader;
    Flow *flow;
    Snapshots *snapshots;
    size_t stream_bytes;   /* since the last chunk of a snapshot */
    size_t snapshot_bytes; /* of that chunk */
    /* what the server said, for the caller */
    uint64_t server_lsn;
    bool feedback_requested; /* the caller's to reset */
    bool more_to_do;         /* the turn ended with work left */
} Feed;

/* Takes chunks until there are none, Kafka can take no more, or the turn has lasted long enough. */
bool feed_step(Feed *feed, int64_t now_ms, Failure *failure);

#endif

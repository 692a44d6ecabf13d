/*
 * feed.c - takes turns between the stream and snapshots; see feed.h.
 */
#include "feed.h"

#define CHUNKS_PER_TURN 32

/* Goes on with the chunk that is in the flow, and lets go of it when it has gone through. */
static FlowStep go_on(Feed *f, int64_t now_ms, Failure *failure)
{
    bool from_snapshot = f->flow->from_snapshot;
    Failure why = {""};
    FlowStep step = flow_continue(f->flow, now_ms, &why);

    if (step == FLOW_FAILED)
        (void)failure_set(failure, "%s", why.text);
    else if (step == FLOW_REJECTED)
        snapshots_rejected(f->snapshots, why.text);
    else if (step == FLOW_DONE && from_snapshot)
        snapshots_sent(f->snapshots, flow_next_ticket(f->flow));
    else if (step == FLOW_DONE)
        wal_reader_release(f->reader);
    return step;
}

static void begin_snapshot(Feed *f)
{
    WhSlice chunk = snapshots_take(f->snapshots);

    flow_begin_snapshot(f->flow, chunk.data, chunk.size);
    f->snapshot_bytes = chunk.size;
    f->stream_bytes = 0;
}

/* Takes the stream's next message. *found: there was one. */
static bool take_message(Feed *f, bool *found, Failure *failure)
{
    WalMessage message;

    if (!wal_reader_next(f->reader, &message, failure))
        return false;
    *found = message.kind != WAL_MESSAGE_NONE;
    if (!*found)
        return true;
    if (message.wal_end > f->server_lsn)
        f->server_lsn = message.wal_end;
    if (message.kind == WAL_MESSAGE_KEEPALIVE) {
        progress_keepalive(&f->flow->progress, message.wal_end);
        f->feedback_requested |= message.reply_requested;
        wal_reader_release(f->reader);
    } else {
        flow_begin_chunk(f->flow, message.chunk, message.chunk_size, message.wal_end);
        f->stream_bytes += message.chunk_size;
    }
    return true;
}

bool feed_step(Feed *f, int64_t now_ms, Failure *failure)
{
    FlowStep step;
    bool found;

    f->more_to_do = false;
    for (int i = 0; i < CHUNKS_PER_TURN; i++) {
        if (f->flow->has_chunk) {
            step = go_on(f, now_ms, failure);
            if (step == FLOW_BLOCKED || step == FLOW_FAILED)
                return step == FLOW_BLOCKED;
        }
        if (f->stream_bytes >= f->snapshot_bytes && snapshots_is_ready(f->snapshots)) {
            begin_snapshot(f);
            continue;
        }
        if (!take_message(f, &found, failure))
            return false;
        if (found)
            continue;
        if (!snapshots_is_ready(f->snapshots))
            return true;
        begin_snapshot(f);
    }
    f->more_to_do = true;
    return true;
}

/*
 * progress.c - tickets and marks in, the confirmed LSN out; see progress.h.
 */
#include "progress.h"

#include <assert.h>

void progress_init(Progress *p, uint8_t *acked, size_t acked_capacity, ProgressMark *marks,
                   size_t mark_capacity, uint64_t start_lsn)
{
    assert(mark_capacity > 0);
    *p = (Progress){.marks = marks, .mark_capacity = mark_capacity};
    wh_ack_window_init(&p->window, acked, acked_capacity);
    p->newest.end_lsn = start_lsn;
    p->confirmed.end_lsn = start_lsn;
}

/* Takes over every mark whose events are all acknowledged. */
static void advance(Progress *p)
{
    uint64_t done = wh_ack_window_done(&p->window);

    while (p->count > 0 && p->marks[p->first].ticket <= done) {
        assert(p->marks[p->first].end_lsn >= p->confirmed.end_lsn);
        p->confirmed = p->marks[p->first];
        p->first = (p->first + 1) % p->mark_capacity;
        p->count--;
    }
    assert(p->confirmed.ticket <= done);
}

/*
 * The newest mark is moved instead of a new one added when no event lies between the two, or when the ring is
 * full: then the LSN in between is merely confirmed later, together with the next.
 */
static void add_mark(Progress *p, ProgressMark mark)
{
    ProgressMark *last = p->count > 0 ? &p->marks[(p->first + p->count - 1) % p->mark_capacity] : NULL;

    if (last && (last->ticket == mark.ticket || p->count == p->mark_capacity)) {
        *last = mark;
    } else {
        p->marks[(p->first + p->count) % p->mark_capacity] = mark;
        p->count++;
    }
    p->newest = mark;
    advance(p);
}

uint64_t progress_open(Progress *p)
{
    return wh_ack_window_open(&p->window);
}

void progress_cancel(Progress *p, uint64_t ticket)
{
    wh_ack_window_cancel(&p->window, ticket);
}

bool progress_ack(Progress *p, uint64_t ticket)
{
    if (!wh_ack_window_ack(&p->window, ticket))
        return false;
    advance(p);
    return true;
}

void progress_begin(Progress *p)
{
    p->in_transaction = true;
}

bool progress_commit(Progress *p, uint64_t end_lsn, int64_t commit_time_us)
{
    if (end_lsn <= p->newest.end_lsn)
        return false;
    p->in_transaction = false;
    add_mark(p, (ProgressMark){.ticket = p->window.next,
                               .end_lsn = end_lsn,
                               .commit_time_us = commit_time_us,
                               .transactions = p->newest.transactions + 1});
    return true;
}

void progress_keepalive(Progress *p, uint64_t wal_end)
{
    ProgressMark mark = p->newest;

    /* After a start the server names positions that were confirmed long ago. */
    if (p->in_transaction || wal_end <= p->newest.end_lsn)
        return;
    mark.ticket = p->window.next;
    mark.end_lsn = wal_end;
    add_mark(p, mark);
}

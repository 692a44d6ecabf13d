/*
 * progress.h - how far the slot may be confirmed.
 *
 *      events:   e e e e C1 e e C2 e e e e . k        e: an event sent, with its ticket   C: a commit   k: a
 * keepalive tickets:  0 1 2 3    4 5    6 7 8 9 marks:            (4, C1)  (6, C2)     (10, k)
 *
 * A mark (ticket, end_lsn) says: when every ticket below `ticket` is acknowledged, everything up to end_lsn
 * is in Kafka. The confirmed LSN is the end_lsn of the newest mark of which that holds. Marks are made where
 * the stream is between two transactions only: at a commit, and at a keepalive that comes with no transaction
 * partly read.
 *
 * Invariant: confirmed_lsn never passes an event that is not acknowledged. Pure: no I/O, no clock, no
 * allocation.
 */
#ifndef WALHOUSE_PUBLISHER_PROGRESS_H
#define WALHOUSE_PUBLISHER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "extension/common/ack_window.h"

typedef struct ProgressMark {
    uint64_t ticket;
    uint64_t end_lsn;
    int64_t commit_time_us; /* of the newest commit up to here; 0: none yet */
    uint64_t transactions;  /* commits up to here */
} ProgressMark;

typedef struct Progress {
    WhAckWindow window;
    ProgressMark *marks; /* a ring: count marks from first, by rising ticket and LSN */
    size_t mark_capacity;
    size_t first;
    size_t count;
    ProgressMark newest;    /* the newest mark ever made, in the ring or not */
    ProgressMark confirmed; /* the newest mark that holds */
    bool in_transaction;    /* a transaction is partly read */
} Progress;

/*
 * acked: acked_capacity bytes, marks: mark_capacity (> 0) elements; both the caller's, outliving p. start_lsn
 * is what the slot has confirmed already.
 */
void progress_init(Progress *p, uint8_t *acked, size_t acked_capacity, ProgressMark *marks,
                   size_t mark_capacity, uint64_t start_lsn);

/* Before an event is sent: is there room, and its ticket. */
static inline bool progress_is_full(const Progress *p)
{
    return wh_ack_window_is_full(&p->window);
}
uint64_t progress_open(Progress *p);
/* The newest ticket's event was not sent after all. */
void progress_cancel(Progress *p, uint64_t ticket);
/* false: no such ticket is open. */
bool progress_ack(Progress *p, uint64_t ticket);

/* Events of a transaction that is not complete have been read. */
void progress_begin(Progress *p);
/* The transaction is complete. false: end_lsn goes backwards, so the stream is not what it says. */
bool progress_commit(Progress *p, uint64_t end_lsn, int64_t commit_time_us);
/* The server has decoded up to wal_end and everything it had to say before has been read. */
void progress_keepalive(Progress *p, uint64_t wal_end);

static inline uint64_t progress_confirmed_lsn(const Progress *p)
{
    return p->confirmed.end_lsn;
}
/* The end of what was read completely. */
static inline uint64_t progress_received_lsn(const Progress *p)
{
    return p->newest.end_lsn;
}
static inline uint64_t progress_in_flight(const Progress *p)
{
    return p->window.next - p->window.done;
}

#endif

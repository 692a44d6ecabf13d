/*
 * snapshot.h - the snapshots of a pipeline: which are open, which worker does which, whose chunk is next.
 *
 *      walhouse._snapshot_work() --list--> workers (one table each) --chunks, in turn--> feed --> flow
 *                                             ^                                                    |
 *                                             +------------------ acknowledged tickets ------------+
 *
 * The list is asked for when streaming begins, when the stream brings the pipeline's own message, when it is
 * used up, and now and then; it decides what is to be done, so that nothing need be remembered here.
 */
#ifndef WALHOUSE_PUBLISHER_SNAPSHOT_H
#define WALHOUSE_PUBLISHER_SNAPSHOT_H

#include "control.h"
#include "snapshot_worker.h"

#define SNAPSHOT_WORKERS_MAX 8
/* One more has nothing but rows that an agent asked for by their keys, which are read in a moment and need
 * not wait until a large table is done. */
#define SNAPSHOT_WORKERS_ALL (SNAPSHOT_WORKERS_MAX + 1)
/* Descriptors that want polling: the list's, and the workers'. */
#define SNAPSHOT_FDS (1 + SNAPSHOT_WORKER_FDS * SNAPSHOT_WORKERS_ALL)

/* Control events that wait to be sent. */
#define SNAPSHOT_NEWS_MAX 16

typedef struct SnapshotNews {
    uint8_t bytes[CONTROL_SNAPSHOT_BYTES_MAX];
    size_t size;
} SnapshotNews;

/* Snapshots that end between two lists; when there are more, the list is thrown away. */
#define SNAPSHOT_ENDED_MAX 256

typedef struct SnapshotEnd {
    int64_t id;
    uint64_t list_asks; /* lists up to this one were asked for before it ended */
} SnapshotEnd;

typedef struct Snapshots {
    const SnapshotSettings *settings;
    SnapshotWorker workers[SNAPSHOT_WORKERS_ALL]; /* the settings' number of them, and the one for keys */
    int turn;                                     /* the worker whose chunk is looked for first */
    int flowing;                                  /* the worker whose chunk is in the flow; -1: none */

    SqlConnection list_sql;
    PGresult *list;     /* the open ones; NULL: none */
    int list_next[2];   /* what the workers look at next, and what the one for keys does */
    int64_t list_at_ms; /* when it is asked for next */
    bool list_is_asked;
    bool list_is_old;     /* something was requested while it was asked for */
    uint64_t list_number; /* of the list at hand */
    uint64_t list_asks;   /* number of the last one asked for */
    int64_t list_asked_ms;
    SnapshotEnd ended[SNAPSHOT_ENDED_MAX]; /* what the lists to come may still name */
    int ended_count;
    char list_error[256]; /* said already */

    SnapshotNews news[SNAPSHOT_NEWS_MAX]; /* a ring */
    int news_first;
    int news_count;
    int64_t said_ms;
} Snapshots;

/* settings must outlive it. */
void snapshots_init(Snapshots *snapshots, const SnapshotSettings *settings, int64_t now_ms);
/* Ends all connections. The flow must not look at a chunk any more. May be called on a zeroed one. */
void snapshots_close(Snapshots *snapshots);

/* Ends all connections at once, for good; a chunk may still be in the flow. */
void snapshots_stop(Snapshots *snapshots);

/* Fills SNAPSHOT_FDS elements. */
void snapshots_prepare(const Snapshots *snapshots, struct pollfd *fds);
/* When a step is wanted without any socket. */
int64_t snapshots_due_ms(const Snapshots *snapshots);
/* Goes on as far as it can. Every ticket below done_ticket is acknowledged. */
void snapshots_step(Snapshots *snapshots, const struct pollfd *fds, uint64_t done_ticket, int64_t now_ms);
/* There may be something new. */
void snapshots_wake(Snapshots *snapshots);
/* A FlowSignalHandler whose context is the snapshots: wakes them when the pipeline is meant. */
void snapshots_on_signal(void *snapshots, WhSlice prefix, WhSlice content);

/* Is a chunk ready for the flow? */
bool snapshots_is_ready(const Snapshots *snapshots);
/* The next one, which stays until it is said to be sent or rejected. */
WhSlice snapshots_take(Snapshots *snapshots);
/* Its last event's ticket is below ticket. */
void snapshots_sent(Snapshots *snapshots, uint64_t ticket);
void snapshots_rejected(Snapshots *snapshots, const char *reason);

/* The oldest control event that is not sent yet; false: none. */
bool snapshots_news(const Snapshots *snapshots, WhSlice *json);
void snapshots_news_sent(Snapshots *snapshots);

#endif

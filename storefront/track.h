/*
 * track.h - what is known of the orders that a page follows on their way to the warehouse. Plain memory: no
 * lock, no clock, no server.
 *
 *      placed --> known to Kafka --> loaded into the warehouse
 */
#ifndef WALHOUSE_STOREFRONT_TRACK_H
#define WALHOUSE_STOREFRONT_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACK_ORDERS  256     /* the newest; of an older one only the warehouse can tell */
#define TRACK_KEEP_US 3000000 /* whoever has not asked for so long does not look any more */
#define TRACK_UNKNOWN (-1)

typedef enum Station { STATION_KAFKA, STATION_WAREHOUSE, STATION_COUNT } Station;

/* Times are microseconds of one monotonic clock, durations since the commit; TRACK_UNKNOWN where nobody
 * measured. */
typedef struct TrackedOrder {
    int64_t id;           /* 0: the place is free */
    int64_t placing_us;   /* from the request to the commit's answer */
    int64_t committed_at; /* when that came */
    int64_t asked_at;
    uint64_t lsn; /* WAL up to here holds the order; 0: not known yet */
    bool passed[STATION_COUNT];
    int64_t took_us[STATION_COUNT]; /* of one that is passed */
} TrackedOrder;

typedef struct Track {
    TrackedOrder orders[TRACK_ORDERS];
    size_t next;
} Track;

/* An order that was just committed; placing_us is TRACK_UNKNOWN for one from before. */
TrackedOrder *track_add(Track *track, int64_t id, int64_t placing_us, int64_t now);
/* NULL: it is not among the newest. */
TrackedOrder *track_find(Track *track, int64_t id);

/* Does anybody wait for this order at this station? */
bool track_is_awaited(const TrackedOrder *order, Station station, int64_t now);

/* The slot has confirmed `confirmed`; WAL is flushed up to `flushed`, asked for at `asked_at`. */
void track_take_slot(Track *track, uint64_t confirmed, uint64_t flushed, int64_t asked_at, int64_t now);
/* The warehouse loaded the order so long after its commit. What is there has been in Kafka. */
void track_take_loaded(Track *track, int64_t id, int64_t took_us);

#endif

/*
 * floors.h - floor samples: positions of the WAL that rows read from the tables may have as their version.
 */
#ifndef WALHOUSE_FLOORS_H
#define WALHOUSE_FLOORS_H

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "utils/snapshot.h"

/* A position of the WAL's end, and the next transaction id, read in this order. */
typedef struct FloorSample
{
	XLogRecPtr	floor_lsn;
	FullTransactionId next_xid;
} FloorSample;

/* For shmem.c: asks for room, and makes it ours. */
extern void floors_shmem_request(void);
extern void floors_shmem_start(void);

/* Takes a sample and keeps it for others. Not during recovery. */
extern FloorSample floors_take(void);
/* The newest kept sample that rows seen by a snapshot of this xmin may use; false: there is none. */
extern bool floors_find(FullTransactionId xmin, FloorSample *sample);
/*
 * Makes the WAL durable to its end, which is not below any sample taken, nor below the commit of any transaction seen by a
 * snapshot taken, before the call.
 */
extern void floors_flush(void);
/* The oldest transaction that the snapshot may not see; all before it have ended for it. */
extern FullTransactionId snapshot_full_xmin(Snapshot snapshot);

#endif

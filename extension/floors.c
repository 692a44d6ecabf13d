/*
 * floors.c - floor samples, kept in a ring in shared memory: what gives rows read from a table a version.
 *
 * A sample is the WAL's insert position L and, read after it, the next transaction id N. Rows seen by a snapshot whose xmin
 * is at least N may have L as their commit LSN:
 *
 *		a transaction that the snapshot does not see  has an id >= xmin >= N, so it got it after L was read, so all that
 *			it logs is above L, its commit as well: its events outrank the rows.
 *		a transaction that committed below L          had its id before L was read, so it is below N and xmin: the snapshot
 *			sees it, and its events are outranked by the rows, which hold what it did or what came after it.
 *		a transaction that the snapshot sees, above L has events that outrank the rows and say the same or later things.
 *
 * Only what is asked of the transaction ids counts: a backend that waits for synchronous replication has committed in the
 * WAL, and its id still holds xmin back, as it must, for no snapshot sees it yet.
 *
 * Before anybody learns of rows or of a floor, the WAL is flushed up to here. A crash could else take back what an asynchronous
 * commit showed to the snapshot, and let the WAL end below the floor: new commits would get positions below it.
 *
 * The launcher takes a sample a second, and so does whoever reads a chunk; the newest that qualifies is used. While a long
 * transaction runs, the last sample before it does.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "floors.h"

#define TRANCHE_NAME	"walhouse floors"
#define RING_SIZE		1024
/* Chunks may come by the hundred a second; what they take in between must not push out what a long transaction needs. */
#define KEEP_EVERY_MS	500

PG_FUNCTION_INFO_V1(walhouse_take_floor);

typedef struct FloorRing
{
	LWLock	   *lock;			/* protects what follows */
	TimestampTz kept_at;
	uint32		count;			/* samples kept */
	uint32		newest;			/* index of the newest one */
	FloorSample samples[RING_SIZE];
} FloorRing;

static FloorRing *ring = NULL;

void
floors_shmem_request(void)
{
	RequestAddinShmemSpace(sizeof(FloorRing));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

void
floors_shmem_start(void)
{
	bool		found;

	ring = ShmemInitStruct("walhouse floors", sizeof(FloorRing), &found);
	if (found)
		return;
	memset(ring, 0, sizeof *ring);
	ring->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
}

static FloorRing *
floor_ring(void)
{
	if (ring == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("walhouse is not in shared_preload_libraries"),
				 errhint("Add it there, set walhouse.database to the database's name, and restart the server.")));
	return ring;
}

/* The lock must be held exclusively. */
static void
keep(FloorRing *floors, FloorSample sample)
{
	FloorSample *newest = &floors->samples[floors->newest];

	if (floors->count > 0)
	{
		/* Taken before another's that was kept first: no use to anybody. */
		if (sample.floor_lsn <= newest->floor_lsn || FullTransactionIdPrecedes(sample.next_xid, newest->next_xid))
			return;
		/* Whoever may use the one may use the other, and higher is better. */
		if (FullTransactionIdEquals(sample.next_xid, newest->next_xid))
		{
			newest->floor_lsn = sample.floor_lsn;
			return;
		}
		if (!TimestampDifferenceExceeds(floors->kept_at, GetCurrentTimestamp(), KEEP_EVERY_MS))
			return;
		floors->newest = (floors->newest + 1) % RING_SIZE;
	}
	floors->samples[floors->newest] = sample;
	floors->count = Min(floors->count + 1, RING_SIZE);
	floors->kept_at = GetCurrentTimestamp();
}

FloorSample
floors_take(void)
{
	FloorRing  *floors = floor_ring();
	FloorSample sample;

	Assert(!RecoveryInProgress());
	/* In this order: see the head of this file. Both take locks, so that neither is moved. */
	sample.floor_lsn = GetXLogInsertRecPtr();
	sample.next_xid = ReadNextFullTransactionId();
	LWLockAcquire(floors->lock, LW_EXCLUSIVE);
	keep(floors, sample);
	LWLockRelease(floors->lock);
	return sample;
}

bool
floors_find(FullTransactionId xmin, FloorSample *sample)
{
	FloorRing  *floors = floor_ring();
	bool		found = false;

	LWLockAcquire(floors->lock, LW_SHARED);
	for (uint32 i = 0; i < floors->count && !found; i++)
	{
		*sample = floors->samples[(floors->newest + RING_SIZE - i) % RING_SIZE];
		found = FullTransactionIdPrecedesOrEquals(sample->next_xid, xmin);
	}
	LWLockRelease(floors->lock);
	return found;
}

void
floors_flush(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	/* At the beginning of a page the position is that of the next record, behind a header that is not written yet. */
	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD || end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= end % XLOG_BLCKSZ;
	XLogFlush(end);
}

FullTransactionId
snapshot_full_xmin(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	Assert(TransactionIdIsNormal(snapshot->xmin));
	/* xmin is not above the next one, and less than 2^31 below it. */
	if (snapshot->xmin > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, snapshot->xmin);
}

/* walhouse._take_floor(OUT floor_lsn pg_lsn, OUT next_xid xid8) */
Datum
walhouse_take_floor(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	FloorSample sample = floors_take();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = LSNGetDatum(sample.floor_lsn);
	values[1] = FullTransactionIdGetDatum(sample.next_xid);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

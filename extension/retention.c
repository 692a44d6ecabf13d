/*
 * retention.c - warns in the server's log of slots that keep much WAL, before the disk is full or the server takes the slot's
 * WAL away. The launcher calls it, so a paused pipeline is watched as well as one that runs.
 *
 *		quiet --above the limit--> warned --still above after ten minutes--> warned again
 *		  ^                           |
 *		  '-------below the limit-----'
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "retention.h"
#include "walhouse.h"

#define LOOK_EVERY_MS		10000
#define WARN_AGAIN_MS		600000
/* As many pipelines as can be run. */
#define WARNED_MAX			64

typedef struct Warned
{
	char		name[NAMEDATALEN];	/* empty: this place is free */
	TimestampTz at;
	bool		is_still;			/* seen above the limit in this look */
} Warned;

static Warned warned[WARNED_MAX];

static Warned *
find_warned(const char *name)
{
	Warned	   *place = NULL;

	for (int i = 0; i < WARNED_MAX; i++)
	{
		if (strcmp(warned[i].name, name) == 0)
			return &warned[i];
		if (place == NULL && warned[i].name[0] == '\0')
			place = &warned[i];
	}
	if (place)
	{
		strlcpy(place->name, name, sizeof place->name);
		place->at = 0;
	}
	return place;
}

/* safe: bytes that may still be written before the server takes WAL away; NULL: it never does. */
static void
warn(const char *name, int64 retained, const char *safe)
{
	Warned	   *place = find_warned(name);
	TimestampTz now = GetCurrentTimestamp();

	if (place == NULL)
		return;
	place->is_still = true;
	if (place->at != 0 && !TimestampDifferenceExceeds(place->at, now, WARN_AGAIN_MS))
		return;
	place->at = now;
	ereport(WARNING,
			(errmsg("the slot of pipeline \"%s\" keeps " INT64_FORMAT " MB of WAL", name, retained / (1024 * 1024)),
			 safe ? errdetail("After %s more bytes of WAL the server will invalidate the slot (max_slot_wal_keep_size).", safe)
			 : errdetail("Nothing limits how much it keeps (max_slot_wal_keep_size)."),
			 errhint("SELECT state, what_to_do, last_error FROM walhouse.status;")));
}

/* As walhouse._retained_wal_limit(), but not asked there: a catalog older than the library must not stop the launcher. */
static int64
limit_bytes(void)
{
	int64		limit = (int64) walhouse_retained_wal_warning * 1024 * 1024;
	int64		keep = (int64) max_slot_wal_keep_size_mb * 1024 * 1024;

	return keep >= 0 ? Min(limit, keep / 5 * 4) : limit;
}

static void
look(void)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(limit_bytes())};

	if (walhouse_retained_wal_warning == 0)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT p.name, d.retained, r.safe_wal_size FROM walhouse.pipeline p"
							  " JOIN pg_catalog.pg_replication_slots r ON r.slot_name = p.slot_name"
							  " CROSS JOIN LATERAL (SELECT pg_catalog.pg_wal_lsn_diff("
							  "pg_catalog.pg_current_wal_lsn(), r.restart_lsn)::bigint) d(retained)"
							  " WHERE d.retained >= $1 ORDER BY p.name",
							  1, types, values, NULL, true, WARNED_MAX) != SPI_OK_SELECT)
		elog(ERROR, "could not read walhouse.pipeline");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		is_null;

		warn(SPI_getvalue(tuple, desc, 1), DatumGetInt64(SPI_getbinval(tuple, desc, 2, &is_null)), SPI_getvalue(tuple, desc, 3));
	}
	SPI_finish();
}

/* Those that are below the limit again, or gone. */
static void
forget(void)
{
	for (int i = 0; i < WARNED_MAX; i++)
	{
		if (warned[i].name[0] != '\0' && !warned[i].is_still)
		{
			ereport(LOG, (errmsg("the slot of pipeline \"%s\" does not keep much WAL any more", warned[i].name)));
			warned[i].name[0] = '\0';
		}
		warned[i].is_still = false;
	}
}

void
watch_retained_wal(void)
{
	static TimestampTz looked_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (looked_at != 0 && !TimestampDifferenceExceeds(looked_at, now, LOOK_EVERY_MS))
		return;
	looked_at = now;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("walhouse", true)))
		look();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	forget();
}

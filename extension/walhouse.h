/*
 * walhouse.h - what the rooms of the extension share: settings, and the pipelines' state in shared memory.
 */
#ifndef WALHOUSE_H
#define WALHOUSE_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "storage/lwlock.h"

#include "publisher/report.h"

#define WALHOUSE_VERSION "0.2.0"
#define WALHOUSE_SCHEMA "walhouse"

/* Settings (docs/configuration.md). */
extern char *walhouse_database;
extern char *walhouse_publisher_path;
extern char *walhouse_publisher_conninfo;
extern int	walhouse_max_pipelines;
extern int	walhouse_statistics_interval;
extern int	walhouse_snapshot_workers;
extern int	walhouse_max_tables;
extern int	walhouse_retained_wal_warning;

/* The newest errors of a pipeline that walhouse.errors shows. */
#define PIPELINE_ERRORS_MAX 16

typedef struct PipelineError
{
	WhErrorKind kind;
	char		text[512];
	TimestampTz first_at;
	TimestampTz last_at;
	uint64		times;			/* 0: this place is empty */
} PipelineError;

/*
 * One enabled pipeline, as its worker and the launcher see it. All fields are protected by PipelineArray.lock.
 */
typedef struct PipelineState
{
	char		name[NAMEDATALEN];	/* empty: this place is free */
	Oid			database_oid;
	pid_t		worker_pid;		/* 0: none is running */
	bool		worker_requested;	/* registered with the postmaster, not started yet */
	TimestampTz worker_requested_at;
	pid_t		publisher_pid;	/* 0: none is running */
	uint64		publisher_starts;	/* since the server's start */
	bool		slot_lost;		/* the last publisher ended because of it; none is started until somebody acts */
	bool		changed;		/* the worker is to look at the pipeline's row again */
	TimestampTz held_until;		/* the launcher starts no worker before: the pipeline is being dropped */
	pid_t		held_by;		/* nor before this session's transaction has ended; 0: no such */
	TimestampTz report_at;		/* 0: no report from this publisher yet */
	WhPublisherReport report;	/* the newest one */
	PipelineError errors[PIPELINE_ERRORS_MAX];	/* a ring; survives the publishers that met them */
	int			newest_error;	/* index into it */
	int			table_count;	/* of its tables, see walhouse_tables() */
} PipelineState;

typedef struct PipelineArray
{
	LWLock	   *lock;
	pid_t		launcher_pid;	/* 0: not running */
	int			count;			/* places, walhouse.max_pipelines */
	int			tables_max;		/* places for tables of each pipeline, walhouse.max_tables */
	WhTableReport *tables;		/* count times tables_max */
	PipelineState pipelines[FLEXIBLE_ARRAY_MEMBER];
} PipelineArray;

/* shmem.c */
extern void walhouse_shmem_init(void);

/* status.c; the first two are for shmem.c: they ask for room, and make it ours. */
extern void status_shmem_request(void);
extern void status_shmem_start(void);
extern PipelineArray *walhouse_pipelines(void);
extern PipelineState *walhouse_find_pipeline(Oid database_oid, const char *name);
extern PipelineState *walhouse_claim_pipeline(Oid database_oid, const char *name);
extern WhTableReport *walhouse_tables(const PipelineState *state);
extern Datum walhouse_text(const char *bytes);
extern void walhouse_require_columns(FunctionCallInfo fcinfo, int columns);

/* drop_guard.c */
extern void walhouse_guard_drop(void);

/* launcher.c */
extern void walhouse_register_launcher(void);
extern PGDLLEXPORT void walhouse_launcher_main(Datum arg);

/* supervisor.c */
extern PGDLLEXPORT void walhouse_worker_main(Datum arg);

#endif

/*
 * walhouse.c - what happens when the library is loaded: settings, shared memory, the launcher.
 *
 * The library is loaded in two ways. From shared_preload_libraries it defines all of its settings and registers the launcher.
 * Into a single session (the walsender loads it as output plugin, SQL calls walhouse.decode()) it only offers its functions.
 *
 * Who starts whom:
 *
 *		postmaster --> launcher (launcher.c): one, connected to walhouse.database
 *		                  |  reads walhouse.pipeline, asks the postmaster for
 *		                  v
 *		               worker (supervisor.c): one per enabled pipeline
 *		                  |  fork and exec
 *		                  v
 *		               walhouse-publisher (publisher/): reads the slot through a walsender, writes to Kafka
 *		                                                       '--> output plugin (plugin.c)
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "walhouse.h"

PG_MODULE_MAGIC;

char	   *walhouse_database = NULL;
char	   *walhouse_publisher_path = NULL;
char	   *walhouse_publisher_conninfo = NULL;
int			walhouse_max_pipelines = 8;
int			walhouse_statistics_interval = 5;

extern PGDLLEXPORT void _PG_init(void);

static void
define_settings(void)
{
	DefineCustomStringVariable("walhouse.database",
							   "Database whose pipelines are run.",
							   "Empty: no launcher is started.",
							   &walhouse_database, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walhouse.max_pipelines",
							"Number of pipelines that shared memory has room for.",
							NULL,
							&walhouse_max_pipelines, 8, 1, 64, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("walhouse.publisher_path",
							   "Path of the program walhouse-publisher.",
							   "Empty: the one in the directory of the server's programs.",
							   &walhouse_publisher_path, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("walhouse.publisher_conninfo",
							   "Connection parameters that are added to the publisher's own.",
							   "The publisher connects through the server's first Unix socket as the bootstrap superuser.",
							   &walhouse_publisher_conninfo, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("walhouse.statistics_interval",
							"Time between two counts of the source's rows, 0 for none.",
							"Tables of more than a million rows are estimated.",
							&walhouse_statistics_interval, 5, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	MarkGUCPrefixReserved("walhouse");
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_settings();
	walhouse_shmem_init();
	walhouse_register_launcher();
}

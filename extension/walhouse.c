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
int			walhouse_max_tables = 200;
int			walhouse_retained_wal_warning = 1024;
int			walhouse_snapshot_workers = 2;

extern PGDLLEXPORT void _PG_init(void);

/*
 * A setting is shown to every member of pg_monitor, and the server logs its value when it changes: no place for a
 * secret. So none is taken. The message does not repeat the value.
 */
static bool
check_publisher_conninfo(char **value, void **extra, GucSource source)
{
	static const char *const secrets[] = {"password", "oauth_client_secret", "scram_client_key", "scram_server_key"};

	for (int i = 0; *value && i < lengthof(secrets); i++)
		for (const char *at = *value; (at = strcasestr(at, secrets[i])) != NULL;)
		{
			at += strlen(secrets[i]);
			at += strspn(at, " \t\n\r\f\v");
			if (*at != '=')
				continue;
			GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
			GUC_check_errmsg("walhouse.publisher_conninfo must not hold a secret");
			GUC_check_errhint("Use passfile, service, or a pg_hba.conf line that needs none.");
			return false;
		}
	return true;
}

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
							   &walhouse_publisher_conninfo, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_publisher_conninfo, NULL,
							   NULL);
	DefineCustomIntVariable("walhouse.statistics_interval",
							"Time between two counts of the source's rows, 0 for none.",
							"Tables of more than a million rows are estimated.",
							&walhouse_statistics_interval, 5, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("walhouse.max_tables",
							"Number of tables of each pipeline that shared memory has room to count for.",
							"Further tables are carried all the same, and not shown in walhouse.tables.",
							&walhouse_max_tables, 200, 1, 10000, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("walhouse.retained_wal_warning",
							"WAL kept by a pipeline's slot that is warned of, 0 for none.",
							"Where max_slot_wal_keep_size is set, four fifths of it are warned of if that is less.",
							&walhouse_retained_wal_warning, 1024, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("walhouse.snapshot_workers",
							"Number of tables whose snapshots a pipeline takes at the same time, 0 for none.",
							"Each uses an ordinary connection while it reads; takes effect when a publisher starts.",
							&walhouse_snapshot_workers, 2, 0, 8, PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("walhouse");
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_settings();
	walhouse_shmem_init();
	walhouse_guard_drop();
	walhouse_register_launcher();
}

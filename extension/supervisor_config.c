/*
 * supervisor_config.c - from the pipeline's row and the server's settings to the publisher's command line.
 *
 *		walhouse.pipeline --SPI--> row --.
 *		settings ------------------------+--> argv (public) and environment (the owner's)
 *
 * A command line can be read by every user of the machine, an environment only by the process's own user: how the publisher
 * connects travels there, since walhouse.publisher_conninfo may say more than everybody should know. Kafka's secrets are
 * in the properties file, of which only the path is handed on.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "child.h"
#include "supervisor_config.h"
#include "walhouse.h"

/* An option and its value take two. */
#define ARGUMENTS_MAX	64

/* A column of the row that is handed on as it is; what is NULL is left out. */
static const struct
{
	const char *column;
	const char *option;
}			row_options[] = {
	{"name", "--pipeline"},
	{"slot_name", "--slot"},
	{"publication", "--publication"},
	{"brokers", "--brokers"},
	{"topic_prefix", "--topic-prefix"},
	{"partitions", "--partitions"},
	{"replication_factor", "--replication-factor"},
	{"epoch", "--epoch"},
	{"system_identifier", "--system-identifier"},
	{"timeline", "--timeline"},
	{"slot_lsn", "--slot-lsn"},
	{"on_slot_loss", "--on-slot-loss"},
	{"properties_file", "--properties-file"},
	{"messages", "--messages"},
	{"out_of_range", "--out-of-range"},
};

/* ---- where the publisher connects ---- */

/* Appends " key='value'" as libpq wants it quoted. */
static void
append_parameter(StringInfo conninfo, const char *key, const char *value)
{
	appendStringInfo(conninfo, "%s='", key);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(conninfo, '\\');
		appendStringInfoChar(conninfo, *value);
	}
	appendStringInfoString(conninfo, "' ");
}

/* This server, this database, as the bootstrap superuser, who owns the server's socket; and what the setting adds. */
static char *
publisher_conninfo(void)
{
	StringInfoData conninfo;
	char	   *host = pstrdup(Unix_socket_directories ? Unix_socket_directories : "");
	char	   *comma = strchr(host, ',');

	if (comma)
		*comma = '\0';
	initStringInfo(&conninfo);
	append_parameter(&conninfo, "host", host[0] ? host : "localhost");
	append_parameter(&conninfo, "port", psprintf("%d", PostPortNumber));
	append_parameter(&conninfo, "dbname", get_database_name(MyDatabaseId));
	append_parameter(&conninfo, "user", GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false));
	appendStringInfoString(&conninfo, walhouse_publisher_conninfo);
	return conninfo.data;
}

static char *
publisher_path(void)
{
	char		directory[MAXPGPATH];

	if (walhouse_publisher_path && walhouse_publisher_path[0])
		return pstrdup(walhouse_publisher_path);
	strlcpy(directory, my_exec_path, sizeof directory);
	get_parent_directory(directory);
	return psprintf("%s/walhouse-publisher", directory);
}

/* A file that cannot be looked at has a stamp of its own: the publisher will say what is wrong with it. */
static char *
stamp_of_file(const char *path)
{
	struct stat found;

	if (path == NULL || stat(path, &found) != 0)
		return pstrdup("");
	return psprintf("%llu %lld %lld.%09ld", (unsigned long long) found.st_ino, (long long) found.st_size,
					(long long) found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
}

/* ---- the command ---- */

static char *
row_value(const char *column)
{
	int			number = SPI_fnumber(SPI_tuptable->tupdesc, column);

	if (number == SPI_ERROR_NOATTRIBUTE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("walhouse.pipeline has no column \"%s\"", column),
				 errhint("Library and extension are of different versions: ALTER EXTENSION walhouse UPDATE;")));
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
}

/* The row is SPI's only tuple. */
static PublisherCommand *
build_command(MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	PublisherCommand *command = palloc0(sizeof *command);
	int			count = 0;

	command->path = publisher_path();
	command->argv = palloc0(sizeof(char *) * ARGUMENTS_MAX);
	command->argv[count++] = "walhouse-publisher";
	for (int i = 0; i < lengthof(row_options); i++)
	{
		char	   *value = row_value(row_options[i].column);

		if (value == NULL)
			continue;
		command->argv[count++] = pstrdup(row_options[i].option);
		command->argv[count++] = value;
	}
	command->argv[count++] = "--report-fd";
	command->argv[count++] = psprintf("%d", CHILD_REPORT_FD);
	command->argv[count++] = "--statistics-interval";
	command->argv[count++] = psprintf("%d", walhouse_statistics_interval);
	command->argv[count++] = "--snapshot-workers";
	command->argv[count++] = psprintf("%d", walhouse_snapshot_workers);
	Assert(count < ARGUMENTS_MAX);
	command->environment = palloc0(sizeof(char *) * 2);
	command->environment[0] = psprintf("WALHOUSE_CONNINFO=%s", publisher_conninfo());
	command->properties_stamp = stamp_of_file(row_value("properties_file"));
	MemoryContextSwitchTo(caller);
	return command;
}

PublisherCommand *
read_publisher_command(const char *pipeline, MemoryContext context)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	PublisherCommand *command = NULL;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	values[0] = CStringGetTextDatum(pipeline);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT * FROM walhouse.pipeline WHERE name = $1 AND enabled", 1, types, values, NULL, true,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "could not read walhouse.pipeline");
	if (SPI_processed == 1)
		command = build_command(context);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	return command;
}

static bool
lists_are_equal(char **a, char **b)
{
	for (; *a && *b; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return *a == NULL && *b == NULL;
}

bool
publisher_commands_are_equal(const PublisherCommand *a, const PublisherCommand *b)
{
	return strcmp(a->path, b->path) == 0 && lists_are_equal(a->argv, b->argv) &&
		lists_are_equal(a->environment, b->environment) && strcmp(a->properties_stamp, b->properties_stamp) == 0;
}

/*
 * plugin_options.c - checks what the client asked of the output plugin.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "common/wire.h"
#include "plugin_options.h"

#define BATCH_BYTES_DEFAULT	(32 * 1024)
#define BATCH_BYTES_MIN		1
#define BATCH_BYTES_MAX		(16 * 1024 * 1024)

static int
parse_int(const char *name, const char *text, int min, int max)
{
	char	   *end;
	long		value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%s\" for option \"%s\" of output plugin walhouse", text, name),
				 errhint("It takes a number from %d to %d.", min, max)));
	return (int) value;
}

static bool
parse_boolean(const char *name, const char *text)
{
	bool		value;

	if (!parse_bool(text, &value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%s\" for option \"%s\" of output plugin walhouse", text, name),
				 errhint("It takes true or false.")));
	return value;
}

static List *
parse_publications(const char *text)
{
	List	   *names;
	List	   *copies = NIL;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(text), ',', &names) || names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid value \"%s\" for option \"publication\" of output plugin walhouse", text),
				 errhint("It takes publication names, separated by commas and quoted like identifiers.")));
	foreach(cell, names)
		copies = lappend(copies, pstrdup(lfirst(cell)));
	list_free(names);
	return copies;
}

OutOfRangePolicy
out_of_range_parse(const char *text)
{
	static const char *const names[] = {
		[OUT_OF_RANGE_DLQ] = "dlq",
		[OUT_OF_RANGE_NULL] = "null",
		[OUT_OF_RANGE_CLAMP] = "clamp",
	};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (OutOfRangePolicy) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value \"%s\" for option \"out_of_range\" of output plugin walhouse", text),
			 errhint("It takes \"dlq\", \"null\" or \"clamp\".")));
}

void
plugin_options_parse(List *options, PluginOptions *parsed)
{
	ListCell   *cell;

	parsed->publications = NIL;
	parsed->batch_bytes = BATCH_BYTES_DEFAULT;
	parsed->messages = true;
	parsed->out_of_range = OUT_OF_RANGE_DLQ;
	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		const char *value = option->arg ? strVal(option->arg) : "";

		if (strcmp(option->defname, "format") == 0)
			(void) parse_int("format", value, WH_FORMAT_VERSION, WH_FORMAT_VERSION);
		else if (strcmp(option->defname, "publication") == 0)
			parsed->publications = parse_publications(value);
		else if (strcmp(option->defname, "batch_bytes") == 0)
			parsed->batch_bytes = parse_int("batch_bytes", value, BATCH_BYTES_MIN, BATCH_BYTES_MAX);
		else if (strcmp(option->defname, "messages") == 0)
			parsed->messages = parse_boolean("messages", value);
		else if (strcmp(option->defname, "out_of_range") == 0)
			parsed->out_of_range = out_of_range_parse(value);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\" of output plugin walhouse", option->defname),
					 errhint("Options are \"publication\", \"format\", \"batch_bytes\", \"messages\" and "
							 "\"out_of_range\".")));
	}
	if (parsed->publications == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"publication\" of output plugin walhouse is missing"),
				 errhint("Name the publications whose tables are to be decoded.")));
}

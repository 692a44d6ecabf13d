/*
 * options.c - the table of options and what follows from it; see options.h.
 */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum OptionType { OPTION_TEXT, OPTION_NUMBER, OPTION_SWITCH } OptionType;

typedef struct Option {
    const char *name;
    OptionType type;
    size_t offset; /* in Options */
    const char *argument;
    const char *default_value; /* NULL: required, "" of a text: stays NULL */
    int64_t min, max;          /* of a number */
    const char *help;
} Option;

#define TEXT(field)   OPTION_TEXT, offsetof(Options, field)
#define NUMBER(field) OPTION_NUMBER, offsetof(Options, field)
#define SWITCH(field) OPTION_SWITCH, offsetof(Options, field)

static const Option table[] = {
    {"pipeline", TEXT(pipeline), "NAME", NULL, 0, 0, "name of the pipeline"},
    {"slot", TEXT(slot), "NAME", NULL, 0, 0, "logical replication slot to read"},
    {"publication", TEXT(publication), "NAME", NULL, 0, 0, "publication whose tables travel"},
    {"conninfo", TEXT(conninfo), "CONNINFO", "", 0, 0,
     "libpq connection string of the database; default: WALHOUSE_CONNINFO of the environment"},
    {"brokers", TEXT(brokers), "LIST", NULL, 0, 0, "Kafka brokers, host:port separated by commas"},
    {"topic-prefix", TEXT(topic_prefix), "PREFIX", NULL, 0, 0, "topics are PREFIX.schema.table"},
    {"partitions", NUMBER(partitions), "N", NULL, 1, 10000,
     "partitions of a table's topic when it is created"},
    {"replication-factor", NUMBER(replication_factor), "N", NULL, 1, 100,
     "replicas of topics that are created"},
    {"epoch", NUMBER(epoch), "N", NULL, 0, 65535, "epoch in the versions of rows"},
    {"system-identifier", TEXT(system_identifier), "S", "", 0, 0, "refuse any other Postgres cluster"},
    {"timeline", NUMBER(timeline), "N", "0", 0, INT32_MAX, "refuse any other timeline; 0: do not check"},
    {"slot-lsn", TEXT(slot_lsn), "LSN", "", 0, 0, "what the slot had confirmed when the pipeline made it"},
    {"on-slot-loss", TEXT(on_slot_loss), "POLICY", "stop", 0, 0,
     "about a slot that does not hold what follows: stop or resync"},
    {"report-fd", NUMBER(report_fd), "FD", "-1", -1, 65535, "file descriptor for reports to the supervisor"},
    {"statistics-interval", NUMBER(statistics_interval_s), "SECONDS", "2", 0, 86400,
     "how often source rows are counted; 0: never"},
    {"snapshot-workers", NUMBER(snapshot_workers), "N", "2", 0, 8,
     "tables whose snapshots are taken at the same time; 0: none"},
    {"snapshot-chunk-ms", NUMBER(snapshot_chunk_ms), "MS", "250", 1, 30000,
     "how long the query for a snapshot's chunk should take"},
    {"max-in-flight", NUMBER(max_in_flight), "N", "100000", 1, 10000000,
     "events not yet acknowledged by Kafka"},
    {"messages", SWITCH(messages), "on|off", "on", 0, 0, "publish the messages of pg_logical_emit_message()"},
    {"out-of-range", TEXT(out_of_range), "POLICY", "dlq", 0, 0,
     "what becomes of values that their ClickHouse type cannot hold: dlq, null or clamp"},
    {"properties-file", TEXT(properties_file), "FILE", "", 0, 0,
     "librdkafka properties (security and tuning)"},
    {"log-level", TEXT(log_level), "LEVEL", "info", 0, 0, "debug, info, warning or error"},
};

#define OPTION_COUNT (sizeof table / sizeof table[0])

void options_print_help(FILE *out)
{
    fprintf(out, "walhouse-publisher reads a replication slot and publishes its row changes to Kafka.\n"
                 "It is started by Walhouse's background worker.\n\nUsage: walhouse-publisher OPTION…\n\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const Option *o = &table[i];
        int width = fprintf(out, "  --%s %s", o->name, o->argument);

        fprintf(out, "%*s%s", width < 32 ? 32 - width : 1, "", o->help);
        if (o->default_value == NULL)
            fprintf(out, " (required)");
        else if (o->default_value[0] != '\0')
            fprintf(out, " (default %s)", o->default_value);
        fprintf(out, "\n");
    }
    fprintf(out, "  --help                        show this and exit\n"
                 "  --version                     show the version and exit\n");
}

/* As people write it, and as Postgres prints a boolean. */
static bool assign_switch(bool *field, const Option *option, const char *value, Failure *failure)
{
    if (strcmp(value, "on") == 0 || strcmp(value, "t") == 0)
        *field = true;
    else if (strcmp(value, "off") == 0 || strcmp(value, "f") == 0)
        *field = false;
    else
        return failure_set(failure, "option --%s takes \"on\" or \"off\", not \"%s\"", option->name, value);
    return true;
}

static bool assign(Options *options, const Option *option, const char *value, Failure *failure)
{
    char *field = (char *)options + option->offset;
    char *end;
    int64_t number;

    if (option->type == OPTION_TEXT) {
        if (*value == '\0')
            return failure_set(failure, "option --%s needs a value", option->name);
        *(const char **)(void *)field = value;
        return true;
    }
    if (option->type == OPTION_SWITCH)
        return assign_switch((bool *)(void *)field, option, value, failure);
    errno = 0;
    number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < option->min || number > option->max)
        return failure_set(failure, "option --%s takes a number from %" PRId64 " to %" PRId64 ", not \"%s\"",
                           option->name, option->min, option->max, value);
    *(int64_t *)(void *)field = number;
    return true;
}

/* Matches "--name" or "--name=…"; *value is what stands after '=', else NULL. */
static const Option *find_option(const char *argument, size_t *index, const char **value)
{
    size_t length = strcspn(argument, "=");

    *value = argument[length] == '=' ? argument + length + 1 : NULL;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strlen(table[i].name) + 2 == length && strncmp(argument, "--", 2) == 0 &&
            strncmp(argument + 2, table[i].name, length - 2) == 0) {
            *index = i;
            return &table[i];
        }
    return NULL;
}

static bool fill_defaults(Options *options, const bool *given, Failure *failure)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (given[i])
            continue;
        if (table[i].default_value == NULL)
            return failure_set(failure, "option --%s is missing", table[i].name);
        if (table[i].default_value[0] != '\0' && !assign(options, &table[i], table[i].default_value, failure))
            return false;
    }
    return true;
}

OptionsResult options_parse(Options *options, int argc, const char *const *argv, Failure *failure)
{
    bool given[OPTION_COUNT] = {false};

    *options = (Options){0};
    for (int i = 1; i < argc; i++) {
        const char *value;
        size_t index;
        const Option *option;

        if (strcmp(argv[i], "--help") == 0)
            return OPTIONS_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return OPTIONS_VERSION;
        option = find_option(argv[i], &index, &value);
        if (option == NULL) {
            failure_set(failure, "unknown option \"%s\"; --help lists them", argv[i]);
            return OPTIONS_WRONG;
        }
        if (value == NULL)
            value = i + 1 < argc ? argv[++i] : "";
        if (!assign(options, option, value, failure))
            return OPTIONS_WRONG;
        given[index] = true;
    }
    if (!fill_defaults(options, given, failure))
        return OPTIONS_WRONG;
    /* Everybody may read a command line, so the worker hands it on in the environment. */
    if (options->conninfo == NULL)
        options->conninfo = getenv("WALHOUSE_CONNINFO");
    if (options->conninfo == NULL) {
        failure_set(failure, "option --conninfo is missing");
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

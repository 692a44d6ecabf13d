/*
 * config.c - the agent's settings; see config.h. Reading the INI syntax is lib/ini's.
 */
#include "agent/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nearest.h"
#include "lib/ini.h"

#define TABLE_SECTION      "table "
#define KEY_BYTES_MAX      (NEAREST_BYTES_MAX + 1)
#define PASSWORD_BYTES_MAX 1024

typedef enum OptionType { OPTION_TEXT, OPTION_NUMBER } OptionType;

typedef struct Option {
    const char *section;
    const char *name;
    OptionType type;
    size_t offset;     /* in Config */
    const char *value; /* the default; NULL: must be given */
    int64_t min, max;
    const char *help;
} Option;

#define TEXT(section, name, field, value, help)                                                              \
    {                                                                                                        \
        section, name, OPTION_TEXT, offsetof(Config, field), value, 0, 0, help                               \
    }
#define NUMBER(section, name, field, value, min, max, help)                                                  \
    {                                                                                                        \
        section, name, OPTION_NUMBER, offsetof(Config, field), value, min, max, help                         \
    }

static const Option options[] = {
    TEXT("kafka", "brokers", kafka_brokers, NULL, "host:port, several separated by commas"),
    TEXT("kafka", "topic_prefix", kafka_topic_prefix, NULL, "the pipeline's topic prefix"),
    TEXT("kafka", "group", kafka_group, "", "consumer group; empty: walhouse-agent-<topic_prefix>"),
    TEXT("kafka", "properties_file", kafka_properties_file, "",
         "librdkafka properties, name=value a line (SASL, TLS)"),
    NUMBER("kafka", "queue_kbytes", kafka_queue_kbytes, "16384", 1024, 1048576,
           "memory for messages fetched ahead, in KiB"),
    TEXT("clickhouse", "url", clickhouse_url, "http://127.0.0.1:8123", "the HTTP interface"),
    TEXT("clickhouse", "database", clickhouse_database, "default",
         "database of the tables; created if it is not there"),
    TEXT("clickhouse", "user", clickhouse_user, "", "user; empty: the server's default"),
    TEXT("clickhouse", "password_file", clickhouse_password_file, "",
         "file whose first line is the password"),
    NUMBER("clickhouse", "timeout_s", clickhouse_timeout_s, "120", 1, 3600,
           "an insert that takes longer is tried again, in seconds"),
    NUMBER("batch", "max_rows", batch_max_rows, "50000", 1, 1000000, "rows of a batch"),
    NUMBER("batch", "max_bytes", batch_max_bytes, "16777216", 65536, 1073741824, "bytes of a batch"),
    NUMBER("batch", "max_delay_ms", batch_max_delay_ms, "1000", 1, 60000,
           "a row waits no longer for its batch to fill, in milliseconds"),
    NUMBER("batch", "max_parts_per_second", batch_max_parts_per_second, "10", 1, 1000,
           "inserts a second and table, on average"),
    TEXT("http", "listen", http_listen, "127.0.0.1:8080", "address of health, metrics and dashboard"),
    TEXT("http", "dashboard", http_dashboard, "", "folder of the dashboard's pages; empty: none"),
    TEXT("http", "queries", http_queries, "", "folder of NAME.sql whose rows /api/summary adds; empty: none"),
    TEXT("rules", "salt_file", rules_salt_file, "", "file whose first line is the secret of masks by hash"),
    TEXT("log", "level", log_level, "info", "debug, info, warning or error"),
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

static char **text_of(Config *config, const Option *option)
{
    return (char **)((char *)config + option->offset);
}

static int64_t *number_of(Config *config, const Option *option)
{
    return (int64_t *)((char *)config + option->offset);
}

static bool set_text(char **field, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return false;
    free(*field);
    *field = copy;
    return true;
}

/* What is wrong with value, or NULL when it was taken. buffer is for the answer. */
static const char *set_option(Config *config, const Option *option, const char *value, char *buffer,
                              size_t size)
{
    int64_t number;
    char *end;

    if (option->type == OPTION_TEXT)
        return set_text(text_of(config, option), value) ? NULL : "out of memory";
    errno = 0;
    number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < option->min || number > option->max) {
        (void)snprintf(buffer, size, "it takes a number from %" PRId64 " to %" PRId64, option->min,
                       option->max);
        return buffer;
    }
    *number_of(config, option) = number;
    return NULL;
}

bool config_init(Config *config)
{
    char unused[80];

    *config = (Config){.rules = rules_new()};
    if (config->rules == NULL)
        return false;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (set_option(config, &options[i], options[i].value ? options[i].value : "", unused,
                       sizeof unused)) {
            config_fini(config);
            return false;
        }
    }
    return true;
}

void config_fini(Config *config)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].type == OPTION_TEXT)
            free(*text_of(config, &options[i]));
    if (config->clickhouse_password) {
        explicit_bzero(config->clickhouse_password, strlen(config->clickhouse_password));
        free(config->clickhouse_password);
    }
    rules_free(config->rules);
    *config = (Config){0};
}

static void full_name(const Option *option, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "[%s] %s", option->section, option->name);
}

static const Option *nearest_option(const char *name)
{
    const Option *best = &options[0];
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char candidate[KEY_BYTES_MAX];
        size_t d;

        full_name(&options[i], candidate, sizeof candidate);
        d = nearest_distance(name, candidate);
        if (d < best_distance) {
            best_distance = d;
            best = &options[i];
        }
    }
    return best;
}

typedef struct Reading {
    Config *config;
    Error *error;
} Reading;

static bool take_setting(void *context, const char *section, const char *name, const char *value)
{
    Reading *reading = context;
    char given[KEY_BYTES_MAX];
    char nearest[KEY_BYTES_MAX];
    char buffer[80];
    const char *problem;

    if (strncmp(section, TABLE_SECTION, sizeof TABLE_SECTION - 1) == 0)
        return rules_take(reading->config->rules, section, name, value, reading->error) == STATUS_OK;
    (void)snprintf(given, sizeof given, "[%s] %s", section, name);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(options[i].section, section) != 0 || strcmp(options[i].name, name) != 0)
            continue;
        problem = set_option(reading->config, &options[i], value, buffer, sizeof buffer);
        if (problem)
            (void)status_fail(reading->error, STATUS_FATAL, "%s = %s: %s", given, value, problem);
        return problem == NULL;
    }
    full_name(nearest_option(given), nearest, sizeof nearest);
    (void)status_fail(reading->error, STATUS_FATAL, "unknown setting %s; did you mean %s?", given, nearest);
    return false;
}

static Status read_password(Config *config, Error *error)
{
    char line[PASSWORD_BYTES_MAX];
    FILE *file = fopen(config->clickhouse_password_file, "re");
    bool got;

    if (file == NULL)
        return status_fail(error, STATUS_FATAL, "cannot open [clickhouse] password_file %s: %s",
                           config->clickhouse_password_file, strerror(errno));
    got = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    if (!got)
        return status_fail(error, STATUS_FATAL, "[clickhouse] password_file %s is empty",
                           config->clickhouse_password_file);
    line[strcspn(line, "\r\n")] = '\0';
    got = set_text(&config->clickhouse_password, line);
    explicit_bzero(line, sizeof line);
    return got ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

Status config_read(Config *config, const char *path, Error *error)
{
    Reading reading = {.config = config, .error = error};
    Error reason;
    int line;

    switch (ini_read(path, take_setting, &reading, &line)) {
    case INI_OK:
        break;
    case INI_CANNOT_OPEN:
        return status_fail(error, STATUS_FATAL, "cannot open configuration file %s: %s", path,
                           strerror(errno));
    case INI_SYNTAX:
        return status_fail(error, STATUS_FATAL, "%s, line %d: neither [section], name = value, nor comment",
                           path, line);
    case INI_REFUSED:
        reason = *error;
        return status_fail(error, STATUS_FATAL, "%.100s, line %d: %.380s", path, line, reason.text);
    }
    if (config->clickhouse_password_file[0] && read_password(config, error) != STATUS_OK)
        return STATUS_FATAL;
    return rules_finish(config->rules, config->rules_salt_file, error);
}

Status config_check(const Config *config, Error *error)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].value == NULL && (*text_of((Config *)config, &options[i]))[0] == '\0')
            return status_fail(error, STATUS_FATAL, "[%s] %s is missing: %s", options[i].section,
                               options[i].name, options[i].help);
    if (strncmp(config->clickhouse_url, "http://", 7) != 0 &&
        strncmp(config->clickhouse_url, "https://", 8) != 0)
        return status_fail(error, STATUS_FATAL,
                           "[clickhouse] url = %s: it takes http://host:port or https://host:port",
                           config->clickhouse_url);
    return STATUS_OK;
}

void config_print_help(FILE *out)
{
    const char *section = "";

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(section, options[i].section) != 0)
            (void)fprintf(out, "  [%s]\n", options[i].section);
        section = options[i].section;
        (void)fprintf(out, "    %-21s %s", options[i].name, options[i].help);
        if (options[i].value == NULL)
            (void)fprintf(out, " (required)\n");
        else
            (void)fprintf(out, " (%s)\n", options[i].value[0] ? options[i].value : "empty");
    }
}

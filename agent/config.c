/*
 * config.c - the agent's settings; see config.h. Reading the INI syntax is lib/ini's.
 */
#include "agent/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/compress.h"
#include "agent/config_internal.h"
#include "agent/endpoints.h"
#include "agent/nearest.h"
#include "lib/ini.h"
#include "lib/log.h"
#include "lib/secret_file.h"

#define TABLE_SECTION "table "
#define KEY_BYTES_MAX (NEAREST_BYTES_MAX + 1)

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
    TEXT("clickhouse", "url", clickhouse_url, "http://127.0.0.1:8123",
         "the HTTP interface; several servers of the same data separated by commas"),
    TEXT("clickhouse", "database", clickhouse_database, "default",
         "database of the tables; created if it is not there"),
    TEXT("clickhouse", "user", clickhouse_user, "", "user; empty: the server's default"),
    TEXT("clickhouse", "password_file", clickhouse_password_file, "",
         "file whose first line is the password"),
    TEXT("clickhouse", "ca_file", clickhouse_ca_file, "",
         "certificates that sign the server's, PEM; empty: the system's"),
    TEXT("clickhouse", "cert_file", clickhouse_cert_file, "",
         "the agent's own certificate, PEM; empty: none"),
    TEXT("clickhouse", "key_file", clickhouse_key_file, "", "its key, PEM; empty: in cert_file"),
    TEXT("clickhouse", "verify", clickhouse_verify, "yes", "yes, or no: any certificate is taken"),
    TEXT("clickhouse", "compression", clickhouse_compression, "auto",
         "of inserts: lz4, zstd, none, or auto: lz4 when the server is on another machine"),
    TEXT("clickhouse", "cluster", clickhouse_cluster, "",
         "name of a cluster: replicated and distributed tables; empty: one server"),
    NUMBER("clickhouse", "timeout_s", clickhouse_timeout_s, "120", 1, 3600,
           "an insert that takes longer is tried again, in seconds"),
    NUMBER("clickhouse", "rewind_s", clickhouse_rewind_s, "60", 0, 86400,
           "a server that has started again may have lost what it took in so many seconds before"),
    NUMBER("batch", "max_rows", batch_max_rows, "50000", 1, 1000000, "rows of a batch"),
    NUMBER("batch", "max_bytes", batch_max_bytes, "16777216", 65536, 1073741824, "bytes of a batch"),
    NUMBER("batch", "max_delay_ms", batch_max_delay_ms, "1000", 1, 60000,
           "a row waits no longer for its batch to fill, in milliseconds"),
    NUMBER("batch", "max_parts_per_second", batch_max_parts_per_second, "10", 1, 1000,
           "inserts a second and table, on average"),
    NUMBER("dlq", "breaker_letters", dlq_breaker_letters, "1000", 0, 1000000000,
           "dead letters of a table in a row, after which it is stopped; 0: never"),
    TEXT("http", "listen", http_listen, "127.0.0.1:8080", "address of health, metrics and dashboard"),
    TEXT("http", "dashboard", http_dashboard, "", "folder of the dashboard's pages; empty: none"),
    TEXT("http", "queries", http_queries, "", "folder of NAME.sql whose rows /api/summary adds; empty: none"),
    TEXT("http", "replay_token_file", http_replay_token_file, "",
         "file whose first line lets the dashboard replay dead letters; empty: it may not"),
    TEXT("rules", "salt_file", rules_salt_file, "", "file whose first line is the secret of masks by hash"),
    TEXT("log", "level", log_level, "info", "debug, info, warning or error"),
    TEXT("log", "format", log_format, "text", "text, or json: one object a line"),
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

const Option *config_options(size_t *count)
{
    *count = OPTION_COUNT;
    return options;
}

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
    free(config->path);
    *config = (Config){0};
}

/* How a setting is called: [section] name in the file, SECTION_NAME in the environment. */
typedef void (*NameOf)(const Option *option, char *buffer, size_t size);

static void name_in_file(const Option *option, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "[%s] %s", option->section, option->name);
}

void config_environment_name(const Option *option, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, CONFIG_ENVIRONMENT "%s_%s", option->section, option->name);
    for (; *buffer; buffer++)
        if (*buffer >= 'a' && *buffer <= 'z')
            *buffer = (char)(*buffer - 'a' + 'A');
}

/* Sets the option that is called so, or says which one may have been meant. */
static Status take_named(Config *config, const char *given, const char *value, NameOf name_of, Error *error)
{
    char nearest[KEY_BYTES_MAX] = "";
    size_t nearest_distance_yet = SIZE_MAX;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char name[KEY_BYTES_MAX];
        char buffer[80];
        size_t distance;

        name_of(&options[i], name, sizeof name);
        if (strcmp(name, given) == 0) {
            const char *problem = set_option(config, &options[i], value, buffer, sizeof buffer);

            return problem ? status_fail(error, STATUS_FATAL, "%s = %s: %s", given, value, problem)
                           : STATUS_OK;
        }
        distance = nearest_distance(given, name);
        if (distance < nearest_distance_yet)
            (void)snprintf(nearest, sizeof nearest, "%s", name);
        if (distance < nearest_distance_yet)
            nearest_distance_yet = distance;
    }
    /* Without its value, which may be a secret that somebody put in the wrong place. */
    return status_fail(error, STATUS_FATAL, "unknown setting %s; did you mean %s?", given, nearest);
}

typedef struct Reading {
    Config *config;
    Error *error;
} Reading;

static bool take_setting(void *context, const char *section, const char *name, const char *value)
{
    Reading *reading = context;
    char given[KEY_BYTES_MAX];

    if (strncmp(section, TABLE_SECTION, sizeof TABLE_SECTION - 1) == 0)
        return rules_take(reading->config->rules, section, name, value, reading->error) == STATUS_OK;
    (void)snprintf(given, sizeof given, "[%s] %s", section, name);
    return take_named(reading->config, given, value, name_in_file, reading->error) == STATUS_OK;
}

static Status read_file(Config *config, const char *path, Error *error)
{
    Reading reading = {.config = config, .error = error};
    Error reason;
    int line;

    switch (ini_read(path, take_setting, &reading, &line)) {
    case INI_CANNOT_OPEN:
        return status_fail(error, STATUS_FATAL, "cannot open configuration file %s: %s", path,
                           strerror(errno));
    case INI_SYNTAX:
        return status_fail(error, STATUS_FATAL, "%s, line %d: neither [section], name = value, nor comment",
                           path, line);
    case INI_REFUSED:
        reason = *error;
        return status_fail(error, STATUS_FATAL, "%.100s, line %d: %.380s", path, line, reason.text);
    case INI_OK:
        break;
    }
    return STATUS_OK;
}

static Status read_environment(Config *config, const char *const *environment, Error *error)
{
    Status status = STATUS_OK;

    for (; *environment && status == STATUS_OK; environment++) {
        const char *equals = strchr(*environment, '=');
        char given[KEY_BYTES_MAX];

        if (equals == NULL || strncmp(*environment, CONFIG_ENVIRONMENT, sizeof CONFIG_ENVIRONMENT - 1) != 0)
            continue;
        (void)snprintf(given, sizeof given, "%.*s", (int)(equals - *environment), *environment);
        status = take_named(config, given, equals + 1, config_environment_name, error);
    }
    return status;
}

static Status read_password(Config *config, Error *error)
{
    const char *path = config->clickhouse_password_file;
    char secret[SECRET_BYTES_MAX + 1], problem[128];
    bool got;

    if (!secret_file_read(path, 1, secret, problem, sizeof problem))
        return status_fail(error, STATUS_FATAL, "[clickhouse] password_file %s %s", path, problem);
    got = set_text(&config->clickhouse_password, secret);
    explicit_bzero(secret, sizeof secret);
    return got ? STATUS_OK : status_fail(error, STATUS_FATAL, "out of memory");
}

Status config_read(Config *config, const char *path, const char *const *environment, Error *error)
{
    Status status = STATUS_OK;

    if (path && !set_text(&config->path, path))
        return status_fail(error, STATUS_FATAL, "out of memory");
    if (path)
        status = read_file(config, path, error);
    if (status == STATUS_OK)
        status = read_environment(config, environment, error);
    if (status == STATUS_OK && config->clickhouse_password_file[0])
        status = read_password(config, error);
    return status == STATUS_OK ? rules_finish(config->rules, config->rules_salt_file, error) : status;
}

static Status check_clickhouse(const Config *config, Error *error)
{
    const char *const files[][2] = {{"ca_file", config->clickhouse_ca_file},
                                    {"cert_file", config->clickhouse_cert_file},
                                    {"key_file", config->clickhouse_key_file}};
    Endpoints endpoints;
    Compression compression;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i][1][0] && access(files[i][1], R_OK) != 0)
            return status_fail(error, STATUS_FATAL, "cannot read [clickhouse] %s %s: %s", files[i][0],
                               files[i][1], strerror(errno));
    if (strcmp(config->clickhouse_verify, "yes") != 0 && strcmp(config->clickhouse_verify, "no") != 0)
        return status_fail(error, STATUS_FATAL, "[clickhouse] verify = %s: it takes yes or no",
                           config->clickhouse_verify);
    if (!compression_parse(config->clickhouse_compression, &compression))
        return status_fail(error, STATUS_FATAL,
                           "[clickhouse] compression = %s: it takes auto, none, lz4 or zstd",
                           config->clickhouse_compression);
    return endpoints_parse(&endpoints, config->clickhouse_url, error);
}

Status config_check(const Config *config, Error *error)
{
    LogLevel level;
    LogFormat format;

    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].value == NULL && (*text_of((Config *)config, &options[i]))[0] == '\0')
            return status_fail(error, STATUS_FATAL, "[%s] %s is missing: %s", options[i].section,
                               options[i].name, options[i].help);
    if (strchr(config->clickhouse_url, '@'))
        return status_fail(error, STATUS_FATAL,
                           "[clickhouse] url holds an @: a user is set by [clickhouse] user, a password by "
                           "password_file, because addresses are logged");
    if (check_clickhouse(config, error) != STATUS_OK)
        return STATUS_FATAL;
    if (!log_level_parse(config->log_level, &level))
        return status_fail(error, STATUS_FATAL, "[log] level = %s: it takes debug, info, warning or error",
                           config->log_level);
    if (!log_format_parse(config->log_format, &format))
        return status_fail(error, STATUS_FATAL, "[log] format = %s: it takes text or json",
                           config->log_format);
    return STATUS_OK;
}

void config_group(const Config *config, char *name, size_t size)
{
    bool named = config->kafka_group[0] != '\0';

    (void)snprintf(name, size, "%s%s", named ? config->kafka_group : "walhouse-agent-",
                   named ? "" : config->kafka_topic_prefix);
}

static bool is_equal(const Config *a, const Config *b, const Option *option)
{
    if (option->type == OPTION_NUMBER)
        return *number_of((Config *)a, option) == *number_of((Config *)b, option);
    return strcmp(*text_of((Config *)a, option), *text_of((Config *)b, option)) == 0;
}

Status config_reread(const Config *running, const char *const *environment, Config *fresh, Error *error)
{
    Status status;

    if (!config_init(fresh))
        return status_fail(error, STATUS_FATAL, "out of memory");
    status = config_read(fresh, running->path, environment, error);
    if (status == STATUS_OK)
        status = config_check(fresh, error);
    for (size_t i = 0; i < OPTION_COUNT && status == STATUS_OK; i++)
        if (!is_equal(running, fresh, &options[i]) && strcmp(options[i].section, "log") != 0 &&
            strcmp(options[i].section, "rules") != 0)
            log_warning("[%s] %s was changed: that takes a restart", options[i].section, options[i].name);
    return status;
}

void config_set_log(const Config *config)
{
    LogLevel level;
    LogFormat format;

    if (log_level_parse(config->log_level, &level))
        log_set_level(level);
    if (log_format_parse(config->log_format, &format))
        log_set_format(format);
}

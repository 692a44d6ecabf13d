/*
 * kafka_config.c - what the agent's consumers and its producer have in common; see kafka_config.h.
 */
#include "agent/kafka_config.h"

#include <errno.h>
#include <string.h>

#include "lib/log.h"

#define LINE_BYTES_MAX 4096

bool kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, Error *error)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return true;
    /* The reason may repeat the value, which may be a secret: only the name is said. */
    (void)status_fail(error, STATUS_FATAL, "librdkafka does not take a value for property %s", name);
    return false;
}

/* A line of the properties file: name=value, blank, or a comment after #. */
static bool take_property(rd_kafka_conf_t *conf, const char *path, int number, char *line, Error *error)
{
    char *name = line + strspn(line, " \t");
    char *equals = strchr(name, '=');
    Error why;

    if (*name == '\0' || *name == '#')
        return true;
    if (equals == NULL || equals == name) {
        (void)status_fail(error, STATUS_FATAL, "%s, line %d: not name=value", path, number);
        return false;
    }
    *equals = '\0';
    if (kafka_conf_set(conf, name, equals + 1, &why))
        return true;
    (void)status_fail(error, STATUS_FATAL, "%.200s, line %d: %.250s", path, number, why.text);
    return false;
}

static bool read_properties(rd_kafka_conf_t *conf, const char *path, Error *error)
{
    char line[LINE_BYTES_MAX];
    FILE *file = fopen(path, "re");
    bool ok = true;

    if (file == NULL) {
        (void)status_fail(error, STATUS_FATAL, "cannot open [kafka] properties_file %s: %s", path,
                          strerror(errno));
        return false;
    }
    for (int number = 1; ok && fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        ok = take_property(conf, path, number, line, error);
    }
    explicit_bzero(line, sizeof line);
    (void)fclose(file);
    return ok;
}

/* Trouble with connections comes again as error events, and with every try to connect: it is only for those
 * who look. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    bool is_connection = strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0;

    (void)rk;
    if (level <= 4 && !is_connection)
        log_warning("librdkafka: %s: %s", facility, text);
    else
        log_debug("librdkafka: %s: %s", facility, text);
}

rd_kafka_conf_t *kafka_conf_new(const Config *config, Error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, on_log);
    if (kafka_conf_set(conf, "bootstrap.servers", config->kafka_brokers, error) &&
        kafka_conf_set(conf, "client.id", "walhouse-agent", error) &&
        kafka_conf_set(conf, "reconnect.backoff.max.ms", "1000", error) &&
        (config->kafka_properties_file[0] == '\0' ||
         read_properties(conf, config->kafka_properties_file, error)))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

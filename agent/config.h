/*
 * config.h - the agent's settings: one table of options gives the parser, the defaults, the help and the
 * reference page.
 */
#ifndef WALHOUSE_AGENT_CONFIG_H
#define WALHOUSE_AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/rules.h"
#include "agent/status.h"

/* Strings are owned by the Config. */
typedef struct Config {
    char *kafka_brokers;
    char *kafka_topic_prefix;
    char *kafka_group; /* "": walhouse-agent-<topic_prefix> */
    char *kafka_properties_file;
    char *clickhouse_url;
    char *clickhouse_database;
    char *clickhouse_user;
    char *clickhouse_password_file;
    char *clickhouse_password; /* read from the file; never logged */
    char *http_listen;
    char *http_dashboard;
    char *http_queries;
    char *log_level;
    char *rules_salt_file;
    int64_t clickhouse_timeout_s;
    int64_t batch_max_rows;
    int64_t batch_max_bytes;
    int64_t batch_max_delay_ms;
    int64_t batch_max_parts_per_second;
    int64_t kafka_queue_kbytes;
    Rules *rules; /* of the sections [table ...] */
} Config;

/* All defaults. false: out of memory. */
bool config_init(Config *config);
void config_fini(Config *config);

/*
 * Reads an INI file over the defaults, then the password file if one is named. STATUS_FATAL with the line,
 * the key and what it takes; an unknown key is refused with the nearest known one. Sections that begin with
 * "table " are rules_take()'s.
 */
Status config_read(Config *config, const char *path, Error *error);

/* Are the settings complete and sensible together? */
Status config_check(const Config *config, Error *error);

/* Prints every option with its default and meaning. */
void config_print_help(FILE *out);

#endif

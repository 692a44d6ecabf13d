/*
 * config.h - the agent's settings: one table of options gives the parser, the defaults, the names in the
 * environment, the help and the manual page.
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
    char *path; /* of the file; NULL: none */
    char *kafka_brokers;
    char *kafka_topic_prefix;
    char *kafka_group; /* "": walhouse-agent-<topic_prefix> */
    char *kafka_properties_file;
    char *clickhouse_url;
    char *clickhouse_database;
    char *clickhouse_user;
    char *clickhouse_password_file;
    char *clickhouse_password; /* read from the file; never logged */
    char *clickhouse_ca_file;
    char *clickhouse_cert_file;
    char *clickhouse_key_file;
    char *clickhouse_verify;
    char *clickhouse_compression;
    char *clickhouse_cluster; /* "": one server, or servers that replicate by themselves */
    char *http_listen;
    char *http_dashboard;
    char *http_queries;
    char *http_replay_token_file;
    char *log_level;
    char *rules_salt_file;
    char *log_format;
    int64_t clickhouse_timeout_s;
    int64_t clickhouse_rewind_s;
    int64_t batch_max_rows;
    int64_t batch_max_bytes;
    int64_t batch_max_delay_ms;
    int64_t batch_max_parts_per_second;
    int64_t dlq_breaker_letters;
    int64_t kafka_queue_kbytes;
    Rules *rules; /* of the sections [table ...] */
} Config;

/* All defaults. false: out of memory. */
bool config_init(Config *config);
void config_fini(Config *config);

/* Variables of the environment that begin so are settings, and none may be unknown. */
#define CONFIG_ENVIRONMENT "WALHOUSE_AGENT_"

/*
 * Reads an INI file over the defaults (path NULL: none), then the environment (as environ), then the password
 * file if one is named. STATUS_FATAL with the line, the key and what it takes; an unknown key is refused with
 * the nearest known one. Sections that begin with "table " are rules_take()'s.
 */
Status config_read(Config *config, const char *path, const char *const *environment, Error *error);

/*
 * Reads the running one's file again, into *fresh (config_fini() it, also after a failure), and checks it.
 * What differs and takes a restart is said in the log.
 */
Status config_reread(const Config *running, const char *const *environment, Config *fresh, Error *error);

/* Are the settings complete and sensible together? */
Status config_check(const Config *config, Error *error);

/* The consumer group's name. */
void config_group(const Config *config, char *name, size_t size);

/* Puts the settings of the log in force. */
void config_set_log(const Config *config);

/* Prints every option with its default and meaning, as text and for a manual page (troff, man macros). */
void config_print_help(FILE *out);
void config_print_manual(FILE *out);
/* The names of the settings in sections [table ...], separated by commas. */
void config_print_table_settings(FILE *out);

#endif

/*
 * kafka_config.h - what the agent's consumers and producers have in common.
 */
#ifndef WALHOUSE_AGENT_KAFKA_CONFIG_H
#define WALHOUSE_AGENT_KAFKA_CONFIG_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "agent/config.h"

/* Brokers, client id and the properties file; rd_kafka_conf_destroy() it or give it to rd_kafka_new(). NULL:
 * *error says why. */
rd_kafka_conf_t *kafka_conf_new(const Config *config, Error *error);

/* false: librdkafka does not take it; *error says why. */
bool kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, Error *error);

#endif

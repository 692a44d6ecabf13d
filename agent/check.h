/*
 * check.h - `walhouse-agent check`: what is wrong with the surroundings, said before an agent is left alone.
 */
#ifndef WALHOUSE_AGENT_CHECK_H
#define WALHOUSE_AGENT_CHECK_H

#include <stdbool.h>

#include "agent/config.h"
#include "agent/registry.h"

/* What has been found. One line a finding goes to standard output, and what to do below it. */
typedef struct Check {
    bool failed;
} Check;

__attribute__((format(printf, 2, 3))) void check_right(Check *check, const char *format, ...);
/* what_to_do is a constant text. */
__attribute__((format(printf, 3, 4))) void check_wrong(Check *check, const char *what_to_do,
                                                       const char *format, ...);

/* Every section [table ...] has a table, and fits it. */
void check_rules(Check *check, const Config *config, Registry *registry);
/* Brokers answer, the pipeline's topics are there, they and the group may be read. */
void check_kafka(Check *check, const Config *config);
/* It answers, takes the user, the settings that the agent sends, and the statements that it needs. */
void check_clickhouse(Check *check, const Config *config);

#endif

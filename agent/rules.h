/*
 * rules.h - what the configuration says about single tables: its sections [table schema.name].
 */
#ifndef WALHOUSE_AGENT_RULES_H
#define WALHOUSE_AGENT_RULES_H

#include "agent/status.h"

typedef struct Rules Rules;

Rules *rules_new(void); /* NULL: out of memory */
void rules_free(Rules *rules);

/* One setting of a section "table schema.name". STATUS_FATAL: *error says what is wrong with it, and what it
 * takes. */
Status rules_take(Rules *rules, const char *section, const char *name, const char *value, Error *error);

#endif

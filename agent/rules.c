/*
 * rules.c - what the configuration says about single tables; see rules.h.
 */
#include "agent/rules.h"

#include <stdlib.h>

struct Rules {
    int unused;
};

Rules *rules_new(void)
{
    return calloc(1, sizeof(Rules));
}

void rules_free(Rules *rules)
{
    free(rules);
}

Status rules_take(Rules *rules, const char *section, const char *name, const char *value, Error *error)
{
    (void)rules;
    (void)value;
    return status_fail(error, STATUS_FATAL, "unknown setting [%s] %s", section, name);
}

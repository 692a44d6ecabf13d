/*
 * config_internal.h - the table of options, for config.c that reads by it and config_help.c that prints it.
 */
#ifndef WALHOUSE_AGENT_CONFIG_INTERNAL_H
#define WALHOUSE_AGENT_CONFIG_INTERNAL_H

#include <stddef.h>

#include "agent/config.h"

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

/* In the order in which they are shown, section by section. */
const Option *config_options(size_t *count);

/* What overrides it: WALHOUSE_AGENT_SECTION_NAME. */
void config_environment_name(const Option *option, char *buffer, size_t size);

#endif

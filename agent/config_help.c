/*
 * config_help.c - the table of options as people read it; see config.h.
 */
#include <inttypes.h>
#include <string.h>

#include "agent/config_internal.h"

#define NAME_BYTES_MAX 128

void config_print_help(FILE *out)
{
    const char *section = "";
    size_t count;
    const Option *options = config_options(&count);

    for (size_t i = 0; i < count; i++) {
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

/* A backslash begins an escape, a hyphen may become another sign, and a dot that begins a line a macro. */
static void put_troff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            (void)fputs("\\e", out);
        else if (*text == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*text, out);
    }
}

void config_print_manual(FILE *out)
{
    const char *section = "";
    size_t count;
    const Option *options = config_options(&count);

    for (size_t i = 0; i < count; i++) {
        char name[NAME_BYTES_MAX];

        if (strcmp(section, options[i].section) != 0)
            (void)fprintf(out, ".SS [%s]\n", options[i].section);
        section = options[i].section;
        (void)fprintf(out, ".TP\n.B %s\n", options[i].name);
        put_troff(out, options[i].help);
        if (options[i].type == OPTION_NUMBER)
            (void)fprintf(out, ", %" PRId64 " to %" PRId64, options[i].min, options[i].max);
        (void)fprintf(out, ".\n");
        if (options[i].value == NULL) {
            (void)fprintf(out, "It must be given.\n");
        } else {
            (void)fprintf(out, "Default: ");
            put_troff(out, options[i].value[0] ? options[i].value : "empty");
            (void)fprintf(out, ".\n");
        }
        config_environment_name(&options[i], name, sizeof name);
        (void)fprintf(out, "Environment: %s.\n", name);
    }
    (void)fprintf(out,
                  ".SS [table SCHEMA.NAME]\nRules of one table; docs/configuration.md has their syntax: ");
    config_print_table_settings(out);
    (void)fprintf(out, ".\n");
}

void config_print_table_settings(FILE *out)
{
    const char *name;

    for (size_t i = 0; (name = rules_setting_name(i)) != NULL; i++)
        (void)fprintf(out, "%s%s%s", i ? ", " : "", name, name[strlen(name) - 1] == '.' ? "COLUMN" : "");
}

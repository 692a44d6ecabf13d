/*
 * check.c - `walhouse-agent check`; see check.h. The settings themselves were checked before it is called.
 */
#include "agent/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/text.h"

#define FINDING_BYTES_MAX 2048 /* longer ones are cut */

/* What the servers say is not trusted with a terminal. */
__attribute__((format(printf, 2, 0))) static void say(const char *mark, const char *format, va_list arguments)
{
    char text[FINDING_BYTES_MAX];

    (void)vsnprintf(text, sizeof text, format, arguments);
    (void)printf("%-6s ", mark);
    text_print(text, strlen(text));
    (void)printf("\n");
}

void check_right(Check *check, const char *format, ...)
{
    va_list arguments;

    (void)check;
    va_start(arguments, format);
    say("ok", format, arguments);
    va_end(arguments);
}

void check_wrong(Check *check, const char *what_to_do, const char *format, ...)
{
    va_list arguments;

    check->failed = true;
    va_start(arguments, format);
    say("WRONG", format, arguments);
    va_end(arguments);
    (void)printf("       what to do: %s\n", what_to_do);
}

static void check_folder(Check *check, const char *name, const char *path)
{
    DIR *folder = path[0] ? opendir(path) : NULL;

    if (path[0] && folder == NULL)
        check_wrong(check, "name a folder that the agent's user can read, or leave the setting empty",
                    "[http] %s = %s: %s", name, path, strerror(errno));
    if (folder)
        (void)closedir(folder);
}

int command_check(const Config *config, int argc, char **argv)
{
    Check check = {.failed = false};

    if (argc > 1) {
        (void)fprintf(stderr, "walhouse-agent: check takes no %s\n", argv[1]);
        return EXIT_USAGE;
    }
    check_right(&check, "settings%s%s", config->path ? " of " : "", config->path ? config->path : "");
    check_folder(&check, "dashboard", config->http_dashboard);
    check_folder(&check, "queries", config->http_queries);
    check_kafka(&check, config);
    check_clickhouse(&check, config);
    return check.failed ? EXIT_TROUBLE : 0;
}

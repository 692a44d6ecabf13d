/*
 * command.h - the subcommands of walhouse-agent: what main.c dispatches to, and what --help lists.
 */
#ifndef WALHOUSE_AGENT_COMMAND_H
#define WALHOUSE_AGENT_COMMAND_H

#include "agent/config.h"

#define AGENT_VERSION "0.2.0"

/* Exit statuses. */
#define EXIT_TROUBLE 1 /* it could not be done, or something is wrong */
#define EXIT_USAGE   2 /* the command line is wrong */

/*
 * Settings are read and complete; argv[0] is the subcommand's name and what follows are its own arguments,
 * without --config. Answers go to standard output, complaints to standard error. The result is the exit
 * status.
 */
typedef int (*CommandRun)(const Config *config, int argc, char **argv);

typedef struct Command {
    const char *name;
    const char *arguments; /* as the usage line shows them; "": none */
    const char *summary;
    CommandRun run;
} Command;

int command_run(const Config *config, int argc, char **argv);
int command_ddl(const Config *config, int argc, char **argv);
int command_check(const Config *config, int argc, char **argv);
int command_status(const Config *config, int argc, char **argv);
int command_dlq(const Config *config, int argc, char **argv);

#endif

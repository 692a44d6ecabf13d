/*
 * main.c - walhouse-agent: command line --> settings --> one subcommand.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/config.h"
#include "agent/dlq_options.h"
#include "agent/nearest.h"
#include "lib/log.h"

#define LOG_LIMIT_S 10

/* Without a subcommand it is the first. */
static const Command commands[] = {
    {"run", "", "load until told to stop (what is done without a subcommand)", command_run},
    {"check", "", "say what is wrong with settings, Kafka and ClickHouse, and what to do", command_check},
    {"status", "[--json]", "ask the running agent what it and its tables do, and what to do", command_status},
    {"dlq", DLQ_ARGUMENTS, "dead letters: list, show, replay, discard", command_dlq},
    {"ddl", "[SCHEMA.TABLE]", "print what would be created in ClickHouse; check the rules of tables",
     command_ddl},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

typedef struct CommandLine {
    const Command *command;
    const char *config_path; /* NULL: none given */
    bool check_only;         /* --check */
    int argc;                /* of the subcommand */
    char **argv;
} CommandLine;

static void print_help(void)
{
    (void)printf("usage: walhouse-agent [COMMAND] --config FILE [ARGUMENTS]\n\n"
                 "Loads change events from Kafka into ClickHouse.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)printf("  %-15s %s\n", commands[i].name, commands[i].summary);
    (void)printf(
        "\n"
        "  --config FILE   settings, an INI file; WALHOUSE_AGENT_SECTION_NAME in the environment overrides\n"
        "  --check         read the settings, say what is wrong with them, and stop\n"
        "  --help          this text\n"
        "  --version       the version\n\n"
        "Rules of one table, in sections [table schema.name]:\n  ");
    config_print_table_settings(stdout);
    (void)printf("\n\nSettings and their defaults:\n");
    config_print_help(stdout);
}

/* The manual page, made by the build. */
static void print_manual(void)
{
    (void)printf(".TH WALHOUSE-AGENT 1 \"\" \"walhouse-agent %s\" Walhouse\n"
                 ".SH NAME\nwalhouse\\-agent \\- loads change events from Kafka into ClickHouse\n"
                 ".SH SYNOPSIS\n.B walhouse\\-agent\n[COMMAND] \\-\\-config FILE [ARGUMENTS]\n"
                 ".SH COMMANDS\n",
                 AGENT_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)printf(".TP\n.B %s %s\n%s.\n", commands[i].name, commands[i].arguments, commands[i].summary);
    (void)printf(".SH SETTINGS\nAn INI file; a variable of the environment overrides what the file says.\n"
                 "Unknown names of either are refused. Secrets are in files that settings name.\n");
    config_print_manual(stdout);
    (void)printf(
        ".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nWhat was read is loaded and committed, then it ends.\n"
        ".TP\n.B SIGHUP\nThe settings are read again: those of the log and of tables change.\n"
        ".SH EXIT STATUS\n0: done; 1: it could not be done, or something is wrong; 2: the command line is "
        "wrong.\n");
}

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static const char *nearest_command(const char *name)
{
    size_t best = 0;

    for (size_t i = 1; i < COMMAND_COUNT; i++)
        if (nearest_distance(name, commands[i].name) < nearest_distance(name, commands[best].name))
            best = i;
    return commands[best].name;
}

static int usage(const char *problem)
{
    (void)fprintf(stderr, "walhouse-agent: %s\nusage: walhouse-agent [COMMAND] --config FILE (see --help)\n",
                  problem);
    return EXIT_USAGE;
}

/*
 * Takes what is for every subcommand out of argv and leaves the rest, with the subcommand's name first. The
 * result is an exit status, or -1: go on.
 */
static int parse(int argc, char **argv, CommandLine *line)
{
    bool help = false;
    int kept = 1;

    *line = (CommandLine){.argv = argv};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) {
            line->config_path = argv[i] + 9;
        } else if (strcmp(argv[i], "--config") == 0) {
            if (++i == argc)
                return usage("--config takes a file");
            line->config_path = argv[i];
        } else if (strcmp(argv[i], "--help") == 0) {
            help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            (void)printf("walhouse-agent %s\n", AGENT_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--man") == 0) {
            print_manual();
            return 0;
        } else if (strcmp(argv[i], "--check") == 0) {
            line->check_only = true;
        } else if (line->command == NULL && argv[i][0] != '-') {
            line->command = find_command(argv[i]);
            if (line->command == NULL) {
                (void)fprintf(stderr, "walhouse-agent: no such subcommand: %s; did you mean %s?\n", argv[i],
                              nearest_command(argv[i]));
                return EXIT_USAGE;
            }
        } else {
            argv[kept++] = argv[i];
        }
    }
    line->argc = kept;
    if (help && line->command)
        (void)printf("usage: walhouse-agent %s --config FILE %s\n\n%s\n", line->command->name,
                     line->command->arguments, line->command->summary);
    else if (help)
        print_help();
    if (help)
        return 0;
    if (line->command == NULL)
        line->command = &commands[0];
    argv[0] = (char *)line->command->name;
    /* A container may have all of it in its environment. */
    return line->config_path || getenv(CONFIG_ENVIRONMENT "KAFKA_BROKERS") ? -1
                                                                           : usage("--config is missing");
}

static Status read_settings(Config *config, const char *path, Error *error)
{
    Status status = config_read(config, path, (const char *const *)environ, error);

    if (status == STATUS_OK)
        status = config_check(config, error);
    config_set_log(config);
    log_set_limit(LOG_LIMIT_S);
    return status;
}

static int complain(const char *text)
{
    (void)fprintf(stderr, "walhouse-agent: %s\n", text);
    return EXIT_TROUBLE;
}

int main(int argc, char **argv)
{
    CommandLine line;
    Config config;
    Error error = {""};
    int result = parse(argc, argv, &line);

    if (result >= 0)
        return result;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return complain("cannot start: libcurl or signals");
    if (!config_init(&config))
        return complain("out of memory");
    if (read_settings(&config, line.config_path, &error) != STATUS_OK)
        result = complain(error.text);
    else
        result = line.check_only ? 0 : line.command->run(&config, line.argc, line.argv);
    config_fini(&config);
    curl_global_cleanup();
    return result;
}

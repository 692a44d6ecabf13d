/*
 * main.c - walhouse-agent: command line --> settings --> one subcommand.
 */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/config.h"
#include "lib/log.h"

/* Without a subcommand it is the first. */
static const Command commands[] = {
    {"run", "", "load until told to stop (what is done without a subcommand)", command_run},
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
    (void)printf("\n"
                 "  --config FILE   settings, an INI file\n"
                 "  --check         read the settings, say what is wrong with them, and stop\n"
                 "  --help          this text\n"
                 "  --version       the version\n\n"
                 "Settings and their defaults:\n");
    config_print_help(stdout);
}

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Exit status, or -1: go on. */
static int usage(const char *problem, const char *what)
{
    (void)fprintf(stderr,
                  "walhouse-agent: %s%s\nusage: walhouse-agent [COMMAND] --config FILE (see --help)\n",
                  problem, what);
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
                return usage("--config takes a file", "");
            line->config_path = argv[i];
        } else if (strcmp(argv[i], "--help") == 0) {
            help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            (void)printf("walhouse-agent %s\n", AGENT_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--check") == 0) {
            line->check_only = true;
        } else if (line->command == NULL && argv[i][0] != '-') {
            line->command = find_command(argv[i]);
            if (line->command == NULL)
                return usage("no such subcommand: ", argv[i]);
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
    return line->config_path ? -1 : usage("--config is missing", "");
}

static Status read_settings(Config *config, const char *path, Error *error)
{
    LogLevel level = LOG_LEVEL_INFO;
    Status status = config_read(config, path, error);

    if (status == STATUS_OK)
        status = config_check(config, error);
    if (status == STATUS_OK && !log_level_parse(config->log_level, &level))
        status = status_fail(error, STATUS_FATAL, "[log] level = %s: it takes debug, info, warning or error",
                             config->log_level);
    log_set_level(level);
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

/*
 * dlq_options.c - the arguments of `walhouse-agent dlq`; see dlq_options.h.
 */
#include "agent/dlq_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIST_LIMIT 1000
#define SHOW_LIMIT 10

static bool parse_number(const char *text, char **end, int64_t *number)
{
    errno = 0;
    *number = strtoll(text, end, 10);
    return errno == 0 && *end != text && *number >= 0;
}

/* N or N-M. */
static bool parse_range(const char *text, int64_t *first, int64_t *last)
{
    char *end;

    if (!parse_number(text, &end, first))
        return false;
    *last = *first;
    return *end == '\0' || (*end == '-' && parse_number(end + 1, &end, last) && *end == '\0');
}

static int64_t seconds_of(char unit)
{
    return unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : unit == 'd' ? 86400 : 0;
}

/* A moment in UTC, or how long ago. */
static bool parse_time(const char *text, int64_t now_us, int64_t *us)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ",
                                          "%Y-%m-%d %H:%M:%S"};
    int64_t number;
    char *end;

    if (parse_number(text, &end, &number) && seconds_of(*end) > 0 && end[1] == '\0' && number < 1000000000) {
        *us = now_us - number * seconds_of(*end) * 1000000;
        return true;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, formats[i], &tm);

        if (rest && *rest == '\0') {
            *us = (int64_t)timegm(&tm) * 1000000;
            return true;
        }
    }
    return false;
}

/* A topic's name with or without the prefix. */
static bool take_topic(DlqOptions *options, const char *prefix, const char *text)
{
    size_t size = strlen(prefix);
    bool whole = strncmp(text, prefix, size) == 0 && text[size] == '.';
    int length = snprintf(options->topic, sizeof options->topic, "%s%s%s", whole ? "" : prefix,
                          whole ? "" : ".", text);

    return length > 0 && length < (int)sizeof options->topic;
}

/* schema.table, or a table of the schema public. */
static bool take_table(DlqOptions *options, const char *prefix, const char *text)
{
    const char *dot = strchr(text, '.');
    const char *schema = dot ? text : "public";
    const char *table = dot ? dot + 1 : text;

    return wh_topic_name(options->topic, prefix,
                         (WhSlice){(const uint8_t *)schema, dot ? (size_t)(dot - text) : strlen(schema)},
                         (WhSlice){(const uint8_t *)table, strlen(table)});
}

static bool take_state(DlqOptions *options, const char *text)
{
    static const char *const states[] = {"waiting", "replayed", "discarded", "all"};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(text, states[i]) == 0)
            options->state = states[i];
    return strcmp(options->state, text) == 0;
}

static bool take_option(DlqOptions *options, const char *prefix, int64_t now_us, int option,
                        const char *value)
{
    char *end;

    options->filtered |= strchr("trwSUpo", option) != NULL;
    switch (option) {
    case 't':
        return take_topic(options, prefix, value);
    case 'w':
        return take_table(options, prefix, value);
    case 'r':
        options->reason = value;
        return true;
    case 's':
        return take_state(options, value);
    case 'S':
        return parse_time(value, now_us, &options->since_us);
    case 'U':
        return parse_time(value, now_us, &options->until_us);
    case 'p':
        return parse_number(value, &end, &options->partition) && *end == '\0';
    case 'o':
        return parse_range(value, &options->first, &options->last);
    case 'n':
        return parse_number(value, &end, &options->limit) && *end == '\0';
    case 'j':
        options->json = true;
        return true;
    case 'y':
        options->yes = true;
        return true;
    default:
        return false;
    }
}

static bool take_action(DlqOptions *options, const char *name)
{
    static const char *const names[] = {
        [DLQ_LIST] = "list", [DLQ_SHOW] = "show", [DLQ_REPLAY] = "replay", [DLQ_DISCARD] = "discard"};

    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            options->action = (DlqAction)i;
            return true;
        }
    }
    return false;
}

bool dlq_options_parse(DlqOptions *options, const char *prefix, int64_t now_us, int argc, char **argv,
                       Error *error)
{
    static const struct option longs[] = {{"topic", required_argument, NULL, 't'},
                                          {"table", required_argument, NULL, 'w'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"state", required_argument, NULL, 's'},
                                          {"since", required_argument, NULL, 'S'},
                                          {"until", required_argument, NULL, 'U'},
                                          {"partition", required_argument, NULL, 'p'},
                                          {"offset", required_argument, NULL, 'o'},
                                          {"limit", required_argument, NULL, 'n'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"yes", no_argument, NULL, 'y'},
                                          {0}};
    int option, index = 0;

    *options =
        (DlqOptions){.state = "", .until_us = INT64_MAX, .partition = -1, .last = INT64_MAX, .limit = -1};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", longs, &index)) != -1) {
        const char *value = optarg ? optarg : "";

        if (option == '?' || option == ':')
            (void)status_fail(error, STATUS_FATAL, "no such argument, or one without its value: %s",
                              argv[optind - 1]);
        else if (!take_option(options, prefix, now_us, option, value))
            (void)status_fail(error, STATUS_FATAL, "--%s does not take %s", longs[index].name, value);
        else
            continue;
        return false;
    }
    if (!take_action(options, optind < argc ? argv[optind] : NULL) || optind + 1 != argc) {
        (void)status_fail(error, STATUS_FATAL, "it takes " DLQ_ARGUMENTS);
        return false;
    }
    if (options->state[0] == '\0')
        options->state = options->action == DLQ_SHOW ? "all" : "waiting";
    if (options->limit < 0)
        options->limit = options->action == DLQ_LIST   ? LIST_LIMIT
                         : options->action == DLQ_SHOW ? SHOW_LIMIT
                                                       : INT64_MAX;
    return true;
}

bool dlq_options_match(const DlqOptions *options, const Letter *letter)
{
    return (options->topic[0] == '\0' || wh_slice_equals(letter->topic, options->topic)) &&
           (options->reason == NULL || wh_slice_equals(letter->reason, options->reason)) &&
           letter->time_us >= options->since_us && letter->time_us < options->until_us &&
           (options->partition < 0 || letter->dlq_partition == options->partition) &&
           letter->dlq_offset >= options->first && letter->dlq_offset <= options->last;
}

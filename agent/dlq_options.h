/*
 * dlq_options.h - the arguments of `walhouse-agent dlq`, and which letters they mean. Pure.
 */
#ifndef WALHOUSE_AGENT_DLQ_OPTIONS_H
#define WALHOUSE_AGENT_DLQ_OPTIONS_H

#include "agent/letter.h"
#include "extension/common/schema.h"

#define DLQ_ARGUMENTS                                                                                        \
    "list|show|replay|discard [--topic T] [--table S.T] [--reason R] [--state S] [--since T] "               \
    "[--until T] [--partition N] [--offset N[-M]] [--limit N] [--json] [--yes]"

typedef enum DlqAction { DLQ_LIST, DLQ_SHOW, DLQ_REPLAY, DLQ_DISCARD } DlqAction;

typedef struct DlqOptions {
    DlqAction action;
    char topic[WH_TOPIC_BYTES_MAX + 1]; /* "": any */
    const char *reason;                 /* NULL: any */
    const char *state;                  /* "all": any, as show has it unless it is told */
    int64_t since_us;
    int64_t until_us;
    int64_t partition; /* of the dead-letter topic; -1: any */
    int64_t first;     /* offsets in it */
    int64_t last;
    int64_t limit;
    bool filtered; /* something but --state and --limit narrows it */
    bool json;
    bool yes;
} DlqOptions;

/* now_us is what "2h" is counted back from. false: *error says what is wrong. */
bool dlq_options_parse(DlqOptions *options, const char *prefix, int64_t now_us, int argc, char **argv,
                       Error *error);

/* Is the letter among those that are meant, its state aside? */
bool dlq_options_match(const DlqOptions *options, const Letter *letter);

#endif

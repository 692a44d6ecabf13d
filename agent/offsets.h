/*
 * offsets.h - how far each partition is loaded, now and a while ago, and where reading begins. State and
 * judgement only: no I/O, no clock.
 *
 *      offsets_start(): group's commit, warehouse's row --> first offset
 *      loaded batches --> offsets_loaded() --> offsets_rows(): what the warehouse is to know
 *                                          '-> offsets_safe(): what it cannot have lost
 */
#ifndef WALHOUSE_AGENT_OFFSETS_H
#define WALHOUSE_AGENT_OFFSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/text.h"

#define TOPIC_ID_SIZE     32 /* as base64, with its zero */
#define SERVER_NAME_SIZE  256
#define OFFSETS_PAST      16
#define OFFSETS_SPARE_MS  30000 /* the past is kept so much longer than a rewind goes back */
#define OFFSETS_SERVERS   16
#define SERVER_CLOCK_SLOP 3 /* seconds by which two answers about one start may differ */

/* A ClickHouse server, and when it started by its own clock, in seconds. */
typedef struct Server {
    char name[SERVER_NAME_SIZE];
    int64_t started;
    int64_t seen_ms; /* when it answered last, by the agent's clock */
} Server;

/* A partition as _walhouse_offsets has it. */
typedef struct OffsetRow {
    const char *topic; /* somebody else's */
    char topic_id[TOPIC_ID_SIZE];
    int32_t partition;
    int64_t offset; /* all before it was loaded */
    int64_t safe;   /* all before it had been loaded for rewind_s */
    Server server;  /* into which, and since when it was running */
} OffsetRow;

/* What Kafka knows of a partition that is to be read. */
typedef struct PartitionStart {
    const char *topic; /* somebody else's */
    int32_t partition;
    char topic_id[TOPIC_ID_SIZE]; /* "": not known */
    bool known;                   /* Kafka has answered */
    int64_t committed;            /* -1: the group has none */
    bool marked;                  /* by an agent that had written the warehouse's row before */
    int64_t log_start;            /* only asked for where nothing is committed */
    int64_t start;                /* the answer; -1: not known yet */
    bool remade;                  /* the answer: the topic is not the one that was read before */
} PartitionStart;

/* Since at_ms, at least everything before offset is loaded. */
typedef struct PastOffset {
    int64_t at_ms;
    int64_t offset;
} PastOffset;

typedef struct Place {
    char *topic;
    char topic_id[TOPIC_ID_SIZE];
    int32_t partition;
    int64_t loaded;     /* everything before it is loaded */
    int64_t changed_ms; /* since when */
    int64_t base;       /* everything before it was loaded before past[0] */
    PastOffset past[OFFSETS_PAST];
    size_t past_count;
    int64_t noted, noted_safe; /* what the warehouse's row says; -1: there is none */
    int64_t sent, sent_safe;   /* what is on its way there */
} Place;

typedef struct Offsets {
    int64_t rewind_ms;
    Place *places;
    size_t count;
    size_t capacity;
    Server servers[OFFSETS_SERVERS]; /* the last one that answered comes first */
    size_t server_count;
    int64_t write_at_ms; /* no sooner */
} Offsets;

void offsets_init(Offsets *offsets, int64_t rewind_ms);
void offsets_fini(Offsets *offsets);

/*
 * Where to begin, into start->start. row: the warehouse's, NULL if it has none. Each of the two says "all
 * before me is loaded", reading again is harmless and skipping is not, so the lower one wins. now: the server
 * that answered.
 */
void offsets_start(PartitionStart *start, const OffsetRow *row, const Server *now);

/* Remembers a partition from where it begins. row as above. false: out of memory. */
bool offsets_add(Offsets *offsets, const PartitionStart *start, const OffsetRow *row, int64_t now_ms);
void offsets_remove(Offsets *offsets, const char *topic, int32_t partition);
/* NULL: it is not ours. */
Place *offsets_find(Offsets *offsets, const char *topic, int32_t partition);

/* Everything before next is loaded. */
void offsets_loaded(Offsets *offsets, const char *topic, int32_t partition, int64_t next, int64_t now_ms);
/* It goes on at offset, wherever it was: what is before it needs nothing any more. */
void offsets_set(Place *place, int64_t offset, int64_t now_ms);
/* How far it was loaded at that time; never too far. */
int64_t offsets_safe(const Place *place, int64_t at_ms);

/* Is there something that the warehouse should know? Not more often than about once a second, unless a
 * partition has no row yet; hurry: now. */
bool offsets_are_due(const Offsets *offsets, int64_t now_ms, bool hurry);
/* The statement that tells it; offsets_noted() when it was carried out. Check text->failed. */
void offsets_statement(Offsets *offsets, Text *text, const char *group, int64_t now_ms);
void offsets_noted(Offsets *offsets);

/*
 * A server has answered, at server->seen_ms. -1, or for one that was known and has started again: when it had
 * answered the last time before. What it was given shortly before that may be gone.
 */
int64_t offsets_see_server(Offsets *offsets, const Server *server);

#endif

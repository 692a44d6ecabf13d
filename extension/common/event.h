/*
 * event.h - one row change: as a record of the plugin's chunks, and as a Kafka message.
 *
 * plugin --chunk--> publisher --event--> Kafka --event--> agent. Layouts: docs/wire-format.md, "Event" and
 * "Chunk".
 */
#ifndef WALHOUSE_COMMON_EVENT_H
#define WALHOUSE_COMMON_EVENT_H

#include "wire.h"

#define WH_OP_INSERT   'I'
#define WH_OP_UPDATE   'U'
#define WH_OP_DELETE   'D'
#define WH_OP_SNAPSHOT 'R'
#define WH_OP_TRUNCATE 'T'
#define WH_OP_END      'E' /* a snapshot is over that takes nothing away */
#define WH_OP_LARGE    'L' /* in the place of a row that no message can hold */

#define WH_EVENT_HAS_UNCHANGED    0x01
#define WH_EVENT_HAS_OUT_OF_RANGE 0x02
#define WH_EVENT_ADJUSTED         0x04 /* the body holds what the policy made of the out-of-range values */

/* Is the body no more than the key? */
static inline bool wh_op_has_key_only(char operation)
{
    return operation == WH_OP_DELETE || operation == WH_OP_LARGE;
}

/* Does the body hold all that it should: nothing is missing, and nothing is the type's default for want of a
 * value? */
static inline bool wh_event_is_whole(uint8_t flags)
{
    return flags == 0 || flags == (WH_EVENT_HAS_OUT_OF_RANGE | WH_EVENT_ADJUSTED);
}

/* Is it of the whole table: without a row, and sent to every partition of the topic? */
static inline bool wh_op_is_of_table(char operation)
{
    return operation == WH_OP_TRUNCATE || operation == WH_OP_END;
}

/* The largest value of a Kafka message; what needs more goes to the dead-letter topic without its content. */
#define WH_MESSAGE_BYTES_MAX 10485760u

#define WH_ORDINAL_LIMIT (UINT64_C(1) << 48) /* ordinals are below it */

/*
 * How far the ordinal of an event is from the next one's in a chunk. Rows that a snapshot read under a floor
 * share ordinal 0: each is the only one of its key.
 */
static inline uint64_t wh_ordinal_step(char operation, uint64_t ordinal)
{
    return operation == WH_OP_SNAPSHOT && ordinal == 0 ? 0 : 1;
}

/* An event's bytes before its lists and body are at most this long. */
#define WH_EVENT_HEAD_BYTES_MAX (3 + 2 + 8 + 8 + WH_VARINT_BYTES_MAX + 4 + 8)

typedef struct WhEvent {
    char operation;
    uint16_t epoch;
    uint64_t fingerprint;
    uint64_t commit_lsn;
    uint64_t ordinal;
    uint32_t xid;
    int64_t commit_time_us; /* since 1970-01-01 UTC */
    uint8_t flags;
    WhSlice lists; /* both lists as bytes, checked; read with wh_lists_next_* */
    WhSlice body;  /* RowBinary */
} WhEvent;

/*
 * Walks the lists of an event. First every unchanged column, then every out-of-range one; the functions
 * return false when there is none left. A list that was checked by wh_event_get or wh_chunk_next cannot fail
 * here.
 */
typedef struct WhLists {
    WhReader reader;
    uint64_t unchanged_left;
    uint64_t out_of_range_left;
    bool out_of_range_follows;
} WhLists;

WhLists wh_lists(uint8_t flags, WhSlice lists);
bool wh_lists_next_unchanged(WhLists *lists, uint32_t *column);
/* Skips what is left of the unchanged list. text is the exact value as Postgres prints it. */
bool wh_lists_next_out_of_range(WhLists *lists, uint32_t *column, WhSlice *text);
/* Reads past the lists, checking them, and returns their bytes. */
WhSlice wh_lists_get(WhReader *r, uint8_t flags);

/* The whole event: head, lists, body length, body. */
void wh_event_put(WhWriter *w, const WhEvent *event);
/* The next event of a message. false: *r holds the error. Loop while wh_reader_left(r) > 0. */
bool wh_event_get(WhReader *r, WhEvent *event);

/*
 * The row version as two halves of a UInt128: high = epoch << 48 | commit_lsn >> 16, low = commit_lsn << 48 |
 * ordinal. Stored little-endian it is low first.
 */
static inline void wh_version(uint16_t epoch, uint64_t commit_lsn, uint64_t ordinal, uint64_t *high,
                              uint64_t *low)
{
    *high = (uint64_t)epoch << 48 | commit_lsn >> 16;
    *low = commit_lsn << 48 | ordinal;
}

#endif

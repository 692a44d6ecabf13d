/*
 * letter.h - the headers of what is no plain event: logical messages and dead letters.
 *
 * The names are those of docs/wire-format.md. Pure: no I/O, no allocation.
 */
#ifndef WALHOUSE_PUBLISHER_LETTER_H
#define WALHOUSE_PUBLISHER_LETTER_H

#include "extension/common/chunk.h"
#include "produce.h"

#define LETTER_HEADERS_MAX    10
#define LETTER_TEXT_BYTES_MAX 24 /* an LSN or a 64-bit number, and its end */

/* Headers and the texts some of them borrow; not to be copied or moved. */
typedef struct Letter {
    ProduceHeader headers[LETTER_HEADERS_MAX];
    char texts[LETTER_HEADERS_MAX][LETTER_TEXT_BYTES_MAX];
    size_t count;
} Letter;

/* What became a dead letter. Texts and slices are borrowed. */
typedef struct LetterOrigin {
    const char *topic;   /* where it should have gone */
    const char *error;   /* for a person */
    uint64_t commit_lsn; /* 0: not known */
    uint64_t ordinal;    /* 0: not a row */
    uint32_t xid;        /* 0: none */
    WhSlice message_lsn; /* of a logical message, as text; data NULL: not one */
    uint64_t size;       /* in bytes */
    int64_t time_us;     /* now */
} LetterOrigin;

/* The headers of a dead letter whose reason is that it is too large for Kafka. */
void letter_of_too_large(Letter *letter, const LetterOrigin *origin);
/* The headers of a logical message; they borrow from item. */
void letter_of_message(Letter *letter, const WhChunkItem *item);

#endif

/*
 * letter.h - the headers of what is no plain event: logical messages and dead letters.
 *
 * The names are those of docs/wire-format.md. Pure: no I/O, no allocation.
 */
#ifndef WALHOUSE_PUBLISHER_LETTER_H
#define WALHOUSE_PUBLISHER_LETTER_H

#include "extension/common/chunk.h"
#include "produce.h"

#define LETTER_HEADERS_MAX    8
#define LETTER_TEXT_BYTES_MAX 24 /* an LSN or a 64-bit number, and its end */

/* Headers and the texts some of them borrow; not to be copied or moved. */
typedef struct Letter {
    ProduceHeader headers[LETTER_HEADERS_MAX];
    char texts[LETTER_HEADERS_MAX][LETTER_TEXT_BYTES_MAX];
    size_t count;
} Letter;

/* The headers of a logical message; they borrow from item. */
void letter_of_message(Letter *letter, const WhChunkItem *item);

#endif

/*
 * letter.c - fills headers, one after the other; see letter.h.
 */
#include "letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static void add(Letter *letter, const char *name, WhSlice value)
{
    assert(letter->count < LETTER_HEADERS_MAX);
    letter->headers[letter->count++] = (ProduceHeader){.name = name, .value = value};
}

static void add_text(Letter *letter, const char *name, const char *text)
{
    add(letter, name, (WhSlice){(const uint8_t *)text, strlen(text)});
}

static void add_number(Letter *letter, const char *name, int64_t number)
{
    char *text = letter->texts[letter->count];

    (void)snprintf(text, LETTER_TEXT_BYTES_MAX, "%" PRId64, number);
    add_text(letter, name, text);
}

static void add_lsn(Letter *letter, const char *name, uint64_t lsn)
{
    char *text = letter->texts[letter->count];

    (void)snprintf(text, LETTER_TEXT_BYTES_MAX, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    add_text(letter, name, text);
}

void letter_of_message(Letter *letter, const WhChunkItem *item)
{
    const WhMessage *message = &item->message;

    letter->count = 0;
    add(letter, "walhouse.prefix", message->prefix);
    add_text(letter, "walhouse.transactional", message->transactional ? "true" : "false");
    add_lsn(letter, "walhouse.message_lsn", message->lsn);
    if (item->event.xid != 0)
        add_number(letter, "walhouse.xid", item->event.xid);
    if (message->transactional) {
        add_lsn(letter, "walhouse.commit_lsn", item->event.commit_lsn);
        add_number(letter, "walhouse.commit_time", item->event.commit_time_us);
    }
}

void letter_of_too_large(Letter *letter, const LetterOrigin *origin)
{
    letter->count = 0;
    add_text(letter, "walhouse.reason", "too_large");
    add_text(letter, "walhouse.error", origin->error);
    add_text(letter, "walhouse.topic", origin->topic);
    add_number(letter, "walhouse.size", (int64_t)origin->size);
    add_number(letter, "walhouse.time", origin->time_us);
    if (origin->commit_lsn != 0)
        add_lsn(letter, "walhouse.commit_lsn", origin->commit_lsn);
    if (origin->ordinal != 0)
        add_number(letter, "walhouse.ordinal", (int64_t)origin->ordinal);
    if (origin->xid != 0)
        add_number(letter, "walhouse.xid", origin->xid);
    if (origin->message_lsn.data)
        add(letter, "walhouse.message_lsn", origin->message_lsn);
}

/*
 * letter.c - dead letters as their headers tell them; see letter.h.
 */
#include "agent/letter.h"

#include <stdlib.h>

#include "extension/common/schema.h"

#define HEADER_BYTES_MAX 16777216 /* no message is longer */

bool letter_next_header(WhReader *headers, WhSlice *name, WhSlice *value)
{
    if (wh_reader_left(headers) == 0)
        return false;
    *name = wh_get_str(headers, HEADER_BYTES_MAX);
    *value = wh_get_str(headers, HEADER_BYTES_MAX);
    return wh_reader_ok(headers);
}

/* Decimal; fallback where it is none. */
static int64_t to_number(WhSlice text, int64_t fallback)
{
    char digits[24];
    int64_t number;
    char *end;

    if (text.size == 0 || text.size >= sizeof digits)
        return fallback;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    number = strtoll(digits, &end, 10);
    return *end == '\0' ? number : fallback;
}

/* The headers that letters have, the first of each name: what follows under the same name is the original's.
 */
typedef struct Known {
    const char *name;
    WhSlice *value;
} Known;

static void take_header(const Known *known, size_t count, WhSlice name, WhSlice value)
{
    for (size_t i = 0; i < count; i++)
        if (wh_slice_equals(name, known[i].name) && known[i].value->data == NULL)
            *known[i].value = value;
}

/* What is left when all but the last count headers are read. */
static WhSlice last_headers(WhSlice headers, int64_t all, int64_t count)
{
    WhReader r = wh_reader(headers.data, headers.size);
    WhSlice name, value;

    if (count <= 0 || count > all)
        return (WhSlice){0};
    for (int64_t i = 0; i < all - count; i++)
        (void)letter_next_header(&r, &name, &value);
    return (WhSlice){headers.data + r.offset, headers.size - r.offset};
}

bool letter_read(const MessageView *message, Letter *letter)
{
    WhSlice partition = {0}, offset = {0}, time = {0}, size = {0}, originals = {0}, name, value;
    const Known known[] = {{"walhouse.reason", &letter->reason},
                           {"walhouse.error", &letter->error},
                           {"walhouse.topic", &letter->topic},
                           {"walhouse.partition", &partition},
                           {"walhouse.offset", &offset},
                           {"walhouse.time", &time},
                           {"walhouse.size", &size},
                           {"walhouse.agent", &letter->agent},
                           {"walhouse.version", &letter->version},
                           {"walhouse.fingerprint", &letter->fingerprint},
                           {"walhouse.commit_lsn", &letter->commit_lsn},
                           {"walhouse.message_lsn", &letter->message_lsn},
                           {"walhouse.original_headers", &originals}};
    WhReader r = wh_reader(message->headers.data, message->headers.size);
    int64_t count = 0;

    *letter = (Letter){.dlq_partition = message->partition,
                       .dlq_offset = message->offset,
                       .key = message->key,
                       .value = message->value};
    for (; letter_next_header(&r, &name, &value); count++)
        take_header(known, sizeof known / sizeof known[0], name, value);
    letter->offset = to_number(offset, -1);
    letter->partition = (int32_t)to_number(partition, -1);
    if (letter->offset < 0 || letter->partition < 0) {
        letter->partition = -1 - message->partition;
        letter->offset = message->offset;
    }
    letter->time_us = to_number(time, 0);
    letter->size = to_number(size, -1);
    letter->originals = last_headers(message->headers, count, to_number(originals, 0));
    return letter->reason.size > 0 && letter->topic.size > 0 && letter->topic.size <= WH_TOPIC_BYTES_MAX;
}

bool letter_is_too_large(const Letter *letter)
{
    return letter->partition < 0;
}

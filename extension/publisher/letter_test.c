/*
 * letter_test.c - the headers of logical messages, from tests/vectors/.
 */
#include "letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

static void assert_header(const Letter *letter, const char *name, const char *value)
{
    for (size_t i = 0; i < letter->count; i++) {
        const ProduceHeader *header = &letter->headers[i];

        if (strcmp(header->name, name) != 0)
            continue;
        if (value == NULL || header->value.size != strlen(value) ||
            memcmp(header->value.data, value, header->value.size) != 0)
            fail_msg("header %s is \"%.*s\"", name, (int)header->value.size,
                     (const char *)header->value.data);
        return;
    }
    if (value != NULL)
        fail_msg("no header %s", name);
}

static void messages_say_where_they_stand(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhSlice bytes = vectors_find(v, "chunk.messages");
    WhChunkReader chunk = wh_chunk_reader(bytes.data, bytes.size);
    WhChunkItem item;
    Letter letter;

    (void)state;
    wh_chunk_next(&chunk, &item);
    letter_of_message(&letter, &item);
    assert_header(&letter, "walhouse.prefix", "outbox");
    assert_header(&letter, "walhouse.transactional", "true");
    assert_header(&letter, "walhouse.message_lsn", "0/1A2B2F8");
    assert_header(&letter, "walhouse.commit_lsn", "0/1A2B3C0");
    assert_header(&letter, "walhouse.xid", "741");
    assert_header(&letter, "walhouse.commit_time", "1767225600000000");
    for (int i = 0; i < 3; i++)
        wh_chunk_next(&chunk, &item);
    letter_of_message(&letter, &item);
    assert_header(&letter, "walhouse.prefix", "");
    assert_header(&letter, "walhouse.transactional", "false");
    assert_header(&letter, "walhouse.message_lsn", "0/1A2B3F0");
    assert_header(&letter, "walhouse.commit_lsn", NULL);
    assert_header(&letter, "walhouse.xid", NULL);
    assert_header(&letter, "walhouse.commit_time", NULL);
    vectors_free(v);
}

static void dead_letters_say_what_they_were(void **state)
{
    LetterOrigin origin = {.topic = "shop.public.orders",
                           .error = "it takes 11534336 bytes, and a Kafka message at most 10485760",
                           .commit_lsn = 0x1A2B3C0,
                           .ordinal = 3,
                           .xid = 741,
                           .size = 11534336,
                           .time_us = 1767225600000000};
    Letter letter;

    (void)state;
    letter_of_too_large(&letter, &origin);
    assert_header(&letter, "walhouse.reason", "too_large");
    assert_header(&letter, "walhouse.error", origin.error);
    assert_header(&letter, "walhouse.topic", "shop.public.orders");
    assert_header(&letter, "walhouse.size", "11534336");
    assert_header(&letter, "walhouse.time", "1767225600000000");
    assert_header(&letter, "walhouse.commit_lsn", "0/1A2B3C0");
    assert_header(&letter, "walhouse.ordinal", "3");
    assert_header(&letter, "walhouse.xid", "741");
    assert_header(&letter, "walhouse.message_lsn", NULL);
    origin = (LetterOrigin){.topic = "shop.__message",
                            .error = "",
                            .message_lsn = {(const uint8_t *)"0/1A2B2F8", 9},
                            .size = 20000000};
    letter_of_too_large(&letter, &origin);
    assert_header(&letter, "walhouse.message_lsn", "0/1A2B2F8");
    assert_header(&letter, "walhouse.commit_lsn", NULL);
    assert_header(&letter, "walhouse.ordinal", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_say_where_they_stand),
        cmocka_unit_test(dead_letters_say_what_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

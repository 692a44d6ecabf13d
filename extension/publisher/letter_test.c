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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_say_where_they_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * compose_test.c - chunks in, Kafka messages out, against tests/vectors/.
 */
#include "compose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

#define EPOCH 7 /* of the vectors */

static void check_chunk(const Vectors *v, const char *name, size_t expected)
{
    WhSlice bytes = vectors_find(v, name), key, value;
    WhChunkReader chunk = wh_chunk_reader(bytes.data, bytes.size);
    ComposeBuffer buffer = {0};
    Failure failure = {""};
    WhChunkItem item;
    size_t events = 0;
    char event_name[VECTOR_NAME_BYTES_MAX];

    for (wh_chunk_next(&chunk, &item); item.kind != WH_CHUNK_END; wh_chunk_next(&chunk, &item)) {
        assert_int_not_equal(item.kind, WH_CHUNK_ERROR);
        if (item.kind != WH_CHUNK_EVENT)
            continue;
        assert_true(compose_event(&buffer, &item, EPOCH, &key, &value, &failure));
        (void)snprintf(event_name, sizeof event_name, "%s.event.%zu", name, ++events);
        vectors_assert_equal(v, event_name, value);
        assert_int_equal(key.size, item.key_size);
        assert_true(key.size == 0 ? key.data == NULL : key.data == item.event.body.data);
    }
    assert_int_equal(events, expected);
    compose_buffer_free(&buffer);
}

static void chunks_become_the_golden_messages(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");

    (void)state;
    check_chunk(v, "chunk.whole", 4);
    check_chunk(v, "chunk.first_half", 2);
    check_chunk(v, "chunk.second_half", 2);
    check_chunk(v, "chunk.two_transactions", 2);
    check_chunk(v, "chunk.large", 1);
    check_chunk(v, "chunk.snapshot", 2);
    check_chunk(v, "chunk.scan", 2);
    check_chunk(v, "chunk.empty", 0);
    vectors_free(v);
}

static void the_buffer_grows_to_its_bound(void **state)
{
    static const uint8_t body[COMPOSE_BYTES_MAX];
    WhChunkItem item = {.kind = WH_CHUNK_EVENT, .event = {.operation = WH_OP_INSERT, .ordinal = 1}};
    ComposeBuffer buffer = {0};
    Failure failure = {""};
    WhSlice key, value;

    (void)state;
    for (size_t size = 1; size <= 8 * 1024 * 1024; size *= 4) {
        item.event.body = (WhSlice){body, size};
        assert_true(compose_event(&buffer, &item, EPOCH, &key, &value, &failure));
        assert_true(value.size > size && value.size <= size + WH_EVENT_HEAD_BYTES_MAX + WH_VARINT_BYTES_MAX);
    }
    item.event.body.size = COMPOSE_BYTES_MAX;
    assert_false(compose_event(&buffer, &item, EPOCH, &key, &value, &failure));
    assert_non_null(strstr(failure.text, "a message at most 10485760"));
    compose_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_become_the_golden_messages),
        cmocka_unit_test(the_buffer_grows_to_its_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

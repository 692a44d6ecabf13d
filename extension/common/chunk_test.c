/*
 * chunk_test.c - the plugin's chunks, against tests/vectors/.
 */
#include "chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schema.h"
#include "tests/unit/vectors.h"

static WhChunkItem expect(WhChunkReader *chunk, WhChunkItemKind kind)
{
    WhChunkItem item;

    wh_chunk_next(chunk, &item);
    if (item.kind != kind)
        fail_msg("item of kind %d, not %d: %s", (int)item.kind, (int)kind,
                 chunk->reader.error ? chunk->reader.error : "no error");
    return item;
}

static WhChunkReader open_chunk(const Vectors *v, const char *name)
{
    WhSlice bytes = vectors_find(v, name);

    return wh_chunk_reader(bytes.data, bytes.size);
}

static void a_chunk_gives_its_items_in_order(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhChunkReader chunk = open_chunk(v, "chunk.whole");
    WhChunkItem item = expect(&chunk, WH_CHUNK_SCHEMA);
    uint64_t fingerprint = item.fingerprint;

    (void)state;
    vectors_assert_equal(v, "schema.orders", item.schema);
    for (uint64_t ordinal = 1; ordinal <= 4; ordinal++) {
        item = expect(&chunk, WH_CHUNK_EVENT);
        assert_true(item.event.ordinal == ordinal);
        assert_true(item.event.fingerprint == fingerprint);
        assert_int_equal(item.event.epoch, 0);
        assert_int_equal(item.key_size, 8);
        assert_true(chunk.in_transaction);
    }
    item = expect(&chunk, WH_CHUNK_COMMIT);
    assert_true(item.end_lsn == item.event.commit_lsn + 48);
    assert_false(chunk.in_transaction);
    (void)expect(&chunk, WH_CHUNK_END);
    (void)expect(&chunk, WH_CHUNK_END);
    vectors_free(v);
}

static void a_transaction_may_end_in_another_chunk(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhChunkReader chunk = open_chunk(v, "chunk.first_half");
    WhChunkItem item;

    (void)state;
    (void)expect(&chunk, WH_CHUNK_SCHEMA);
    (void)expect(&chunk, WH_CHUNK_EVENT);
    (void)expect(&chunk, WH_CHUNK_SCHEMA);
    (void)expect(&chunk, WH_CHUNK_EVENT);
    (void)expect(&chunk, WH_CHUNK_END);
    assert_true(chunk.in_transaction);
    chunk = open_chunk(v, "chunk.second_half");
    item = expect(&chunk, WH_CHUNK_EVENT);
    assert_true(item.event.ordinal == 3);
    assert_int_equal(item.key_size, 14);
    item = expect(&chunk, WH_CHUNK_EVENT);
    assert_int_equal(item.event.operation, WH_OP_TRUNCATE);
    (void)expect(&chunk, WH_CHUNK_COMMIT);
    (void)expect(&chunk, WH_CHUNK_END);
    chunk = open_chunk(v, "chunk.empty");
    (void)expect(&chunk, WH_CHUNK_END);
    vectors_free(v);
}

static bool slice_is(WhSlice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

static void logical_messages_stand_in_their_place(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhChunkReader chunk = open_chunk(v, "chunk.messages");
    WhChunkItem item = expect(&chunk, WH_CHUNK_MESSAGE);
    uint64_t end_lsn;

    (void)state;
    assert_true(item.message.transactional && !item.message.too_large);
    assert_true(slice_is(item.message.prefix, "outbox"));
    assert_true(slice_is(item.message.content, "{\"order\": 1}"));
    assert_true(item.message.size == item.message.content.size);
    assert_true(item.message.lsn == item.event.commit_lsn - 200);
    assert_int_equal(item.event.xid, 741);
    assert_true(item.event.commit_time_us == 1767225600000000);
    item = expect(&chunk, WH_CHUNK_MESSAGE);
    assert_true(item.message.transactional && item.message.too_large);
    assert_true(slice_is(item.message.prefix, "größe"));
    assert_int_equal(item.message.content.size, 0);
    assert_int_equal(item.message.size, 11534336);
    end_lsn = expect(&chunk, WH_CHUNK_COMMIT).end_lsn;
    item = expect(&chunk, WH_CHUNK_MESSAGE);
    assert_false(item.message.transactional);
    assert_true(item.message.lsn == end_lsn && item.message.end_lsn == end_lsn + 72);
    assert_int_equal(item.event.xid, 0);
    assert_int_equal(item.message.prefix.size, 0);
    assert_int_equal(item.message.content.size, 2);
    item = expect(&chunk, WH_CHUNK_MESSAGE);
    assert_int_equal(item.event.xid, 742);
    assert_true(slice_is(item.message.prefix, "walhouse.snapshot"));
    (void)expect(&chunk, WH_CHUNK_END);
    vectors_free(v);
}

static void rows_too_large_leave_their_key(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhChunkReader chunk = open_chunk(v, "chunk.large");
    WhChunkItem item;

    (void)state;
    (void)expect(&chunk, WH_CHUNK_SCHEMA);
    item = expect(&chunk, WH_CHUNK_LARGE);
    assert_int_equal(item.event.operation, WH_OP_INSERT);
    assert_int_equal(item.size, 11534336);
    assert_int_equal(item.key_size, 8);
    assert_true(item.event.ordinal == 1);
    assert_int_equal(item.event.xid, 741);
    assert_true(expect(&chunk, WH_CHUNK_EVENT).event.ordinal == 2);
    item = expect(&chunk, WH_CHUNK_LARGE);
    assert_int_equal(item.event.operation, WH_OP_UPDATE);
    assert_true(item.size == 5000000000);
    assert_int_equal(item.key_size, 0);
    assert_true(item.event.ordinal == 3);
    (void)expect(&chunk, WH_CHUNK_COMMIT);
    (void)expect(&chunk, WH_CHUNK_END);
    vectors_free(v);
}

static void rows_under_a_floor_share_an_ordinal(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhChunkReader chunk = open_chunk(v, "chunk.snapshot");
    WhChunkItem item;

    (void)state;
    (void)expect(&chunk, WH_CHUNK_SCHEMA);
    for (int i = 0; i < 2; i++) {
        item = expect(&chunk, WH_CHUNK_EVENT);
        assert_int_equal(item.event.operation, WH_OP_SNAPSHOT);
        assert_true(item.event.ordinal == 0);
        assert_int_equal(item.key_size, 8);
        assert_int_equal(item.event.xid, 0);
    }
    (void)expect(&chunk, WH_CHUNK_END);
    chunk = open_chunk(v, "chunk.scan");
    (void)expect(&chunk, WH_CHUNK_SCHEMA);
    for (uint64_t ordinal = 41; ordinal <= 42; ordinal++) {
        item = expect(&chunk, WH_CHUNK_EVENT);
        assert_int_equal(item.event.operation, WH_OP_SNAPSHOT);
        assert_true(item.event.ordinal == ordinal);
        assert_int_equal(item.key_size, 0);
    }
    (void)expect(&chunk, WH_CHUNK_END);
    vectors_free(v);
}

static void malformed_chunks_are_refused_with_a_reason(void **state)
{
    Vectors *v = vectors_read("malformed-1.txt");
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        const Vector *one = &v->all[i];
        WhChunkReader chunk;
        WhChunkItem item;

        if (strncmp(one->name, "chunk.", 6) != 0)
            continue;
        chunk = wh_chunk_reader(one->bytes.data, one->bytes.size);
        do
            wh_chunk_next(&chunk, &item);
        while (item.kind != WH_CHUNK_ERROR && item.kind != WH_CHUNK_END);
        assert_int_equal(item.kind, WH_CHUNK_ERROR);
        if (strcmp(chunk.reader.error, one->note) != 0)
            fail_msg("%s: \"%s\" at byte %zu", one->name, chunk.reader.error, chunk.reader.error_offset);
        assert_true(chunk.reader.error_offset <= one->bytes.size);
        wh_chunk_next(&chunk, &item);
        assert_int_equal(item.kind, WH_CHUNK_ERROR);
        seen++;
    }
    assert_true(seen >= 12);
    vectors_free(v);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Golden chunks cut and changed at random, in memory of exactly their size: an end or an error, never a
 * crash. */
static void damaged_chunks_are_survived(void **state)
{
    static const char *const names[] = {"chunk.whole",    "chunk.first_half", "chunk.two_transactions",
                                        "chunk.messages", "chunk.large",      "chunk.snapshot"};
    Vectors *v = vectors_read("wire-1.txt");
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        WhSlice whole = vectors_find(v, names[round % 6]);
        size_t size =
            next_random(&random) % 2 ? whole.size : (size_t)(next_random(&random) % (whole.size + 1));
        uint8_t *bytes = malloc(size ? size : 1);
        WhChunkReader chunk;
        WhChunkItem item;
        size_t items = 0;

        assert_non_null(bytes);
        memcpy(bytes, whole.data, size);
        for (uint64_t i = next_random(&random) % 4; size > 2 && i > 0; i--)
            bytes[2 + next_random(&random) % (size - 2)] = (uint8_t)next_random(&random);
        chunk = wh_chunk_reader(bytes, size);
        do {
            wh_chunk_next(&chunk, &item);
            assert_true(++items <= size + 1);
            if (item.kind == WH_CHUNK_EVENT)
                assert_true(item.key_size <= item.event.body.size && item.event.body.size <= size);
        } while (item.kind != WH_CHUNK_ERROR && item.kind != WH_CHUNK_END);
        free(bytes);
    }
    vectors_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_gives_its_items_in_order),
        cmocka_unit_test(a_transaction_may_end_in_another_chunk),
        cmocka_unit_test(logical_messages_stand_in_their_place),
        cmocka_unit_test(rows_too_large_leave_their_key),
        cmocka_unit_test(rows_under_a_floor_share_an_ordinal),
        cmocka_unit_test(malformed_chunks_are_refused_with_a_reason),
        cmocka_unit_test(damaged_chunks_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

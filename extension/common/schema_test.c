/*
 * schema_test.c - schemas, their messages and topic names, against tests/vectors/.
 */
#include "schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

static WhSlice text(const char *s)
{
    return (WhSlice){(const uint8_t *)s, strlen(s)};
}

static uint64_t fingerprint_of(const Vectors *v, const char *name)
{
    WhSlice bytes = vectors_find(v, name);
    WhReader r = wh_reader(bytes.data, bytes.size);

    return wh_get_u64(&r);
}

static void golden_schemas_are_read_and_written(void **state)
{
    static const char *const names[] = {"schema.orders", "schema.order_items", "schema.log"};
    static const char *const fingerprints[] = {"schema.orders.fingerprint", "schema.order_items.fingerprint",
                                               "schema.log.fingerprint"};
    Vectors *v = vectors_read("wire-1.txt");
    WhColumn columns[8];
    WhSchema schema;
    const char *error;
    size_t offset;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        WhSlice bytes = vectors_find(v, names[i]);
        uint8_t out[4096];
        WhWriter w = wh_writer(out, sizeof out);

        assert_true(wh_schema_get(bytes, &schema, columns, 8, &error, &offset));
        wh_schema_put(&w, &schema);
        assert_false(w.full);
        vectors_assert_equal(v, names[i], (WhSlice){out, w.length});
        assert_true(wh_schema_fingerprint(bytes) == fingerprint_of(v, fingerprints[i]));
    }
    vectors_free(v);
}

static void a_schema_says_what_it_holds(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhColumn columns[8];
    WhSchema schema;
    const char *error;
    size_t offset;

    (void)state;
    assert_true(wh_schema_get(vectors_find(v, "schema.orders"), &schema, columns, 8, &error, &offset));
    assert_int_equal(schema.relation_oid, 16385);
    assert_int_equal(schema.replica_identity, 'd');
    assert_true(wh_slice_equals(schema.table_name, "orders"));
    assert_int_equal(schema.column_count, 5);
    assert_int_equal(schema.key_column_count, 1);
    assert_true(columns[2].nullable);
    assert_int_equal(columns[3].attribute_number, 5);
    assert_int_equal(columns[3].typmod, (12 << 16 | 2) + 4);
    assert_int_equal(columns[0].typmod, -1);
    assert_true(wh_slice_equals(columns[3].type_name, "numeric(12,2)"));
    assert_true(wh_slice_equals(columns[4].clickhouse_type, "DateTime64(6, 'UTC')"));
    assert_true(wh_schema_get(vectors_find(v, "schema.order_items"), &schema, columns, 8, &error, &offset));
    assert_int_equal(schema.key_column_count, 2);
    assert_true(wh_slice_equals(columns[1].name, "sku"));
    assert_false(wh_schema_get(vectors_find(v, "schema.orders"), &schema, columns, 4, &error, &offset));
    assert_string_equal(error, "too many columns");
    vectors_free(v);
}

static void golden_messages_are_read_and_written(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhSchemaMessage message;
    uint8_t out[4096];
    WhWriter w = wh_writer(out, sizeof out);
    char topic[WH_TOPIC_BYTES_MAX + 1];
    const char *error;
    size_t offset;

    (void)state;
    assert_true(wh_schema_message_get(vectors_find(v, "schema_message.orders"), &message, &error, &offset));
    assert_true(wh_slice_equals(message.topic, "shop.public.orders"));
    assert_int_equal(message.schema.size, vectors_find(v, "schema.orders").size);
    wh_schema_message_put(&w, message.fingerprint, message.topic, message.schema);
    vectors_assert_equal(v, "schema_message.orders", (WhSlice){out, w.length});

    assert_true(wh_schema_message_get(vectors_find(v, "schema_message.log"), &message, &error, &offset));
    assert_true(wh_topic_name(topic, "shop", text("audit"), text("\xc3\x9cn\xc3\xaf \"log\".x")));
    assert_true(wh_slice_equals(message.topic, topic));
    vectors_free(v);
}

static void malformed_bytes_are_refused_with_a_reason(void **state)
{
    Vectors *v = vectors_read("malformed-1.txt");
    static WhColumn columns[WH_COLUMNS_MAX];
    WhSchemaMessage message;
    WhSchema schema;
    const char *error;
    size_t offset, seen = 0;

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        const Vector *one = &v->all[i];

        if (strncmp(one->name, "schema.", 7) == 0)
            assert_false(wh_schema_get(one->bytes, &schema, columns, WH_COLUMNS_MAX, &error, &offset));
        else if (strncmp(one->name, "schema_message.", 15) == 0)
            assert_false(wh_schema_message_get(one->bytes, &message, &error, &offset));
        else
            continue;
        if (strcmp(error, one->note) != 0)
            fail_msg("%s: \"%s\" at byte %zu", one->name, error, offset);
        assert_true(offset <= one->bytes.size);
        seen++;
    }
    assert_true(seen >= 10);
    vectors_free(v);
}

/* A schema cut anywhere is an error, and one with any byte changed never crashes. */
static void every_cut_and_every_flip_is_survived(void **state)
{
    Vectors *v = vectors_read("wire-1.txt");
    WhSlice whole = vectors_find(v, "schema.orders");
    WhColumn columns[8];
    WhSchema schema;
    const char *error;
    size_t offset;

    (void)state;
    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *cut = malloc(size ? size : 1);

        assert_non_null(cut);
        memcpy(cut, whole.data, size);
        assert_false(wh_schema_get((WhSlice){cut, size}, &schema, columns, 8, &error, &offset));
        assert_true(offset <= size);
        free(cut);
    }
    for (size_t at = 0; at < whole.size; at++) {
        uint8_t *flipped = malloc(whole.size);

        assert_non_null(flipped);
        for (int bit = 0; bit < 8; bit++) {
            memcpy(flipped, whole.data, whole.size);
            flipped[at] ^= (uint8_t)(1 << bit);
            (void)wh_schema_get((WhSlice){flipped, whole.size}, &schema, columns, 8, &error, &offset);
        }
        free(flipped);
    }
    vectors_free(v);
}

static void topics_are_escaped_and_cut(void **state)
{
    char topic[WH_TOPIC_BYTES_MAX + 1], other[WH_TOPIC_BYTES_MAX + 1], name[65];
    char prefix[WH_TOPIC_BYTES_MAX + 1];

    (void)state;
    assert_true(wh_topic_name(topic, "shop", text("public"), text("a_x-Z9")));
    assert_string_equal(topic, "shop.public.a_x5F_x-Z9");
    assert_true(wh_topic_name(topic, "shop", text("a.b"), text("c")));
    assert_true(wh_topic_name(other, "shop", text("a"), text("b.c")));
    assert_string_not_equal(topic, other);
    memset(name, '.', 64);
    name[64] = '\0';
    assert_true(wh_topic_name(topic, "shop", text(name), text("x")));
    assert_int_equal(strlen(topic), WH_TOPIC_BYTES_MAX);
    assert_true(wh_topic_name(other, "shop", text(name), text("y")));
    assert_string_not_equal(topic, other);
    memset(prefix, 'p', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    assert_false(wh_topic_name(topic, prefix, text("public"), text("x")));
    assert_true(wh_topic_name(topic, "shop", text("a_b"), text("c")));
    assert_true(wh_topic_name(other, "shop", text("a"), text("b_c")));
    wh_topic_name_apart(topic);
    wh_topic_name_apart(other);
    assert_int_equal(strlen(topic), strlen("shop.a_b.c") + 17);
    assert_memory_equal(topic, "shop.a_b.c_", strlen("shop.a_b.c_"));
    assert_string_not_equal(topic + strlen("shop.a_b.c_"), other + strlen("shop.a.b_c_"));
    assert_true(wh_topic_name(topic, "shop", text(name), text("x")));
    assert_true(wh_topic_name(other, "shop", text(name), text("x")));
    wh_topic_name_apart(topic);
    assert_int_equal(strlen(topic), WH_TOPIC_BYTES_MAX);
    assert_string_not_equal(topic, other);
}

static void a_fingerprint_prints_as_sixteen_digits(void **state)
{
    char hex[WH_FINGERPRINT_HEX_SIZE];

    (void)state;
    wh_fingerprint_hex(UINT64_C(0x00ff01ab23cd45ef), hex);
    assert_string_equal(hex, "00ff01ab23cd45ef");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_schemas_are_read_and_written),
        cmocka_unit_test(a_schema_says_what_it_holds),
        cmocka_unit_test(golden_messages_are_read_and_written),
        cmocka_unit_test(malformed_bytes_are_refused_with_a_reason),
        cmocka_unit_test(every_cut_and_every_flip_is_survived),
        cmocka_unit_test(topics_are_escaped_and_cut),
        cmocka_unit_test(a_fingerprint_prints_as_sixteen_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

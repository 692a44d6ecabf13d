/*
 * rowtext_test.c - keys as conditions.
 */
#include "agent/rowtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COLUMNS_MAX 4

/* A table of key columns alone. */
typedef struct Fixture {
    WhColumn columns[COLUMNS_MAX];
    WhType types[COLUMNS_MAX];
    TableSchema table;
    uint8_t key[256];
    WhWriter w;
} Fixture;

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

static void begin(Fixture *f)
{
    *f = (Fixture){0};
    f->table.schema.columns = f->columns;
    f->table.types = f->types;
    f->w = wh_writer(f->key, sizeof f->key);
}

static void add(Fixture *f, const char *name, const char *type)
{
    uint32_t i = f->table.schema.key_column_count++;

    f->columns[i] = (WhColumn){.name = slice(name), .clickhouse_type = slice(type), .key_position = i + 1};
    assert_true(wh_type_parse(slice(type), false, &f->types[i]));
    f->table.schema.column_count = i + 1;
}

static void check(Fixture *f, const char *expected)
{
    Text text = {0};

    text_appendf(&text, "<");
    assert_true(rowtext_key(&text, &f->table, (WhSlice){f->key, f->w.length}));
    assert_string_equal(text.data + 1, expected);
    text_free(&text);
}

static void check_none(Fixture *f, size_t size)
{
    Text text = {0};

    text_appendf(&text, "<");
    assert_false(rowtext_key(&text, &f->table, (WhSlice){f->key, size}));
    assert_string_equal(text.data, "<");
    text_free(&text);
}

static void test_numbers(void **state)
{
    Fixture f;

    (void)state;
    begin(&f);
    add(&f, "id", "Int64");
    add(&f, "big", "UInt64");
    add(&f, "price", "Decimal(12, 2)");
    add(&f, "on", "Bool");
    wh_put_u64(&f.w, (uint64_t)INT64_MIN);
    wh_put_u64(&f.w, UINT64_MAX);
    wh_put_u64(&f.w, (uint64_t)-5);
    wh_put_u8(&f.w, 1);
    check(&f, "\"id\" = -9223372036854775808 AND \"big\" = 18446744073709551615 AND \"price\" = -0.05 AND "
              "\"on\" = true");
    for (size_t size = 0; size < f.w.length; size++)
        check_none(&f, size);
}

static void test_texts(void **state)
{
    static const uint8_t uuid[] = {0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00,
                                   0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88};
    Fixture f;

    (void)state;
    begin(&f);
    add(&f, "a \"b\"", "String");
    add(&f, "u", "UUID");
    add(&f, "at", "DateTime64(6, 'UTC')");
    add(&f, "on", "Date32");
    wh_put_str(&f.w, "it's \xc3\xa9", 7);
    wh_put_bytes(&f.w, uuid, sizeof uuid);
    wh_put_u64(&f.w, (uint64_t)-1);
    wh_put_u32(&f.w, (uint32_t)-25567);
    check(&f, "\"a \"\"b\"\"\" = 'it''s \xc3\xa9' AND \"u\" = '00112233-4455-6677-8899-aabbccddeeff' AND "
              "\"at\" = '1969-12-31 23:59:59.999999+00' AND \"on\" = '1900-01-01'");
}

static void test_bytes(void **state)
{
    Fixture f;

    (void)state;
    begin(&f);
    add(&f, "b", "String");
    wh_put_str(&f.w, "\x01\xff", 2);
    check_none(&f, f.w.length);
    f.columns[0].type_oid = 17; /* bytea */
    check(&f, "\"b\" = '\\x01ff'");
    /* What follows the key is no key. */
    wh_put_u8(&f.w, 0);
    check_none(&f, f.w.length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_texts),
                                       cmocka_unit_test(test_bytes)};

    return cmocka_run_group_tests_name("rowtext", tests, NULL, NULL);
}

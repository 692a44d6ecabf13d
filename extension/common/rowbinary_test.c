/*
 * rowbinary_test.c - how long values are and what their defaults look like, against tests/vectors/.
 */
#include "rowbinary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

static WhType parse(const char *note)
{
    WhSlice name = {(const uint8_t *)note, strlen(note)};
    bool nullable = strncmp(note, "Nullable(", 9) == 0;
    WhType type;

    if (nullable)
        name = (WhSlice){name.data + 9, name.size - 10};
    if (!wh_type_parse(name, nullable, &type))
        fail_msg("unknown type %s", note);
    return type;
}

static void golden_values_have_their_length(void **state)
{
    Vectors *v = vectors_read("rowbinary-1.txt");

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        const Vector *one = &v->all[i];
        WhType type = parse(one->note);
        WhReader r = wh_reader(one->bytes.data, one->bytes.size);

        assert_int_equal(wh_type_get(&r, &type).size, one->bytes.size);
        wh_get_end(&r);
        assert_true(wh_reader_ok(&r));
        /* One byte less is not enough. */
        r = wh_reader(one->bytes.data, one->bytes.size - 1);
        (void)wh_type_get(&r, &type);
        assert_string_equal(r.error, "the bytes end too early");
    }
    assert_true(v->count >= 36);
    vectors_free(v);
}

static void defaults_are_values_of_their_type(void **state)
{
    Vectors *v = vectors_read("rowbinary-1.txt");

    (void)state;
    for (size_t i = 0; i < v->count; i++) {
        WhType type = parse(v->all[i].note);
        uint8_t bytes[64];
        WhWriter w = wh_writer(bytes, sizeof bytes);
        WhReader r;

        wh_type_put_default(&w, &type);
        assert_false(w.full);
        r = wh_reader(bytes, w.length);
        assert_int_equal(wh_type_get(&r, &type).size, w.length);
        assert_int_equal(bytes[0], type.nodes[0].nullable                  ? 1
                                   : type.nodes[0].kind == WH_TYPE_VARIANT ? WH_VARIANT_NULL
                                                                           : 0);
    }
    vectors_free(v);
}

static void unknown_types_are_refused(void **state)
{
    static const char *const unknown[] = {
        "", "Int128", "string", "Decimal(0, 0)", "Decimal(77, 1)", "Decimal(9)", "Decimal(9, 2", "Decimal",
        "Decimal()", "DateTime64(3, 'UTC')", "DateTime", "Nullable(Int64)", "Array()", "Int64 ",
        "Array(String", "Array(String))", "Array(Nullable(Array(String)))",
        "Array(Nullable(Nullable(String)))", "Array(Nullable(String)", "Array(String, String)", "Variant()",
        "Variant(String", "Variant(String))",
        /* Not in the order of their names, twice the same, inside each other, more than can be kept. */
        "Variant(String, Array(String))", "Variant(String, String)", "Variant(Nullable(Int32), String)",
        "Variant(Array(String), Variant(Int64, String))", "Variant(Array(String),String)",
        "Array(Array(Array(Array(Array(Array(Array(Array(Bool))))))))",
        "Variant(Bool, Date32, Float32, Float64, Int16, Int32, Int64, Int8)"};
    WhType type;

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        WhSlice name = {(const uint8_t *)unknown[i], strlen(unknown[i])};

        if (wh_type_parse(name, false, &type))
            fail_msg("\"%s\" was taken for a type", unknown[i]);
    }
}

static void a_null_byte_is_zero_or_one(void **state)
{
    WhType type = parse("Nullable(Int8)");
    WhReader r = wh_reader("\x02\x00", 2);

    (void)state;
    (void)wh_type_get(&r, &type);
    assert_string_equal(r.error, "a NULL byte is neither 0 nor 1");
}

static void a_nullable_type_is_a_scalar(void **state)
{
    static const char *const names[] = {"Array(String)", "Variant(Array(String), String)"};
    WhType type;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        WhSlice name = {(const uint8_t *)names[i], strlen(names[i])};

        assert_true(wh_type_parse(name, false, &type));
        assert_false(wh_type_parse(name, true, &type));
    }
}

static void parts_have_their_names(void **state)
{
    static const char name[] = "Variant(Array(Nullable(Decimal(9, 2))), String)";
    WhType type = parse(name);

    (void)state;
    assert_int_equal(type.nodes[0].end, 4);
    assert_int_equal(wh_type_alternative(&type, 0, 0), 1);
    assert_int_equal(wh_type_alternative(&type, 0, 1), 3);
    assert_int_equal(wh_type_alternative(&type, 0, 2), 0);
    assert_int_equal(wh_type_alternative(&type, 0, WH_VARIANT_NULL), 0);
    assert_memory_equal(name + type.nodes[1].name_at, "Array(Nullable(Decimal(9, 2)))",
                        type.nodes[1].name_size);
    assert_true(type.nodes[2].nullable);
    assert_int_equal(type.nodes[2].width, 4);
    assert_int_equal(type.nodes[2].name_size, strlen("Decimal(9, 2)"));
    assert_memory_equal(name + type.nodes[2].name_at, "Decimal(9, 2)", type.nodes[2].name_size);
    assert_int_equal(type.nodes[3].kind, WH_TYPE_STRING);
}

static void damage_has_its_reason(void **state)
{
    static const struct {
        const char *type;
        const char *bytes;
        size_t size;
        const char *error;
    } damaged[] = {
        {"Array(Nullable(Int32))", "\x01\x02\x00\x00\x00\x00", 6, "a NULL byte is neither 0 nor 1"},
        {"Array(Nullable(Int32))", "\x02\x01", 2, "the bytes end too early"},
        /* A count that no memory could hold must not make a loop of that length. */
        {"Array(Nullable(String))", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01", 10,
         "the bytes end too early"},
        {"Array(Nullable(String))", "\x80\x00", 2, "a varint is too long"},
        {"Variant(Array(String), String)", "\x02\x00", 2, "a Variant has no such alternative"},
        {"Variant(Array(String), String)", "\xfe\x00", 2, "a Variant has no such alternative"},
        {"Variant(Array(String), String)", "\x00", 1, "the bytes end too early"},
        {"Variant(Array(String), String)", "", 0, "the bytes end too early"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        WhType type = parse(damaged[i].type);
        WhReader r = wh_reader(damaged[i].bytes, damaged[i].size);

        assert_int_equal(wh_type_get(&r, &type).size, 0);
        assert_non_null(r.error);
        assert_string_equal(r.error, damaged[i].error);
    }
}

/* Whatever the bytes: an end, an error or a value, and never a read beyond them (the sanitizers' business).
 */
static void random_bytes_are_survived(void **state)
{
    Vectors *v = vectors_read("rowbinary-1.txt");
    unsigned seed = 4;

    (void)state;
    for (int round = 0; round < 200; round++)
        for (size_t i = 0; i < v->count; i++) {
            WhType type = parse(v->all[i].note);
            size_t size = (size_t)rand_r(&seed) % 40;
            uint8_t *bytes = malloc(size + 1);
            WhReader r;

            assert_non_null(bytes);
            for (size_t b = 0; b < size; b++)
                bytes[b] = (uint8_t)(rand_r(&seed) % 3 ? rand_r(&seed) % 4 : rand_r(&seed));
            r = wh_reader(bytes, size);
            assert_true(wh_type_get(&r, &type).size <= size);
            assert_true(r.offset <= size);
            free(bytes);
        }
    vectors_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values_have_their_length),
        cmocka_unit_test(defaults_are_values_of_their_type),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(a_null_byte_is_zero_or_one),
        cmocka_unit_test(a_nullable_type_is_a_scalar),
        cmocka_unit_test(parts_have_their_names),
        cmocka_unit_test(damage_has_its_reason),
        cmocka_unit_test(random_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    assert_true(v->count >= 20);
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
        assert_int_equal(bytes[0], type.nullable ? 1 : 0);
    }
    vectors_free(v);
}

static void unknown_types_are_refused(void **state)
{
    static const char *const unknown[] = {
        "",           "Int128",          "string",        "Decimal(0, 0)", "Decimal(77, 1)",
        "Decimal(9)", "Decimal(9, 2",    "Decimal",       "Decimal()",     "DateTime64(3, 'UTC')",
        "DateTime",   "Nullable(Int64)", "Array(String)", "Int64 "};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values_have_their_length),
        cmocka_unit_test(defaults_are_values_of_their_type),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(a_null_byte_is_zero_or_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

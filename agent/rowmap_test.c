/* rowmap_test.c - what the bytes of a row become; masks; expressions of the configuration. */
#include "agent/rowmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/expression.h"
#include "agent/mask.h"

#define COLUMN_COUNT 5

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

/* ---- masks ---- */

static void assert_hash(const char *type, const char *value, size_t size, const char *salt,
                        const char *expected)
{
    char digits[MASK_HASH_DIGITS];

    assert_true(mask_hash(slice(type), (WhSlice){(const uint8_t *)value, size}, slice(salt), digits));
    assert_memory_equal(digits, expected, MASK_HASH_DIGITS);
}

static void test_hash(void **state)
{
    char small[MASK_HASH_DIGITS], large[MASK_HASH_DIGITS], text[MASK_HASH_DIGITS];

    (void)state;
    /* RFC 4231, test case 2. */
    assert_hash("String", "\x1cwhat do ya want for nothing?", 29, "Jefe",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    /* A wider type keeps the hash, and it is that of the text. */
    assert_true(mask_hash(slice("Int16"), (WhSlice){(const uint8_t *)"\xf9\xff", 2}, slice("salt"), small));
    assert_true(mask_hash(slice("Int64"), (WhSlice){(const uint8_t *)"\xf9\xff\xff\xff\xff\xff\xff\xff", 8},
                          slice("salt"), large));
    assert_true(mask_hash(slice("String"), slice("\x02-7"), slice("salt"), text));
    assert_memory_equal(small, large, MASK_HASH_DIGITS);
    assert_memory_equal(small, text, MASK_HASH_DIGITS);
    assert_true(mask_hash(
        slice("UUID"),
        (WhSlice){(const uint8_t *)"\x07\x06\x05\x04\x03\x02\x01\xf0\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08", 16},
        slice("salt"), small));
    assert_true(mask_hash(slice("String"),
                          slice("\x24"
                                "f0010203-0405-0607-0809-0a0b0c0d0e0f"),
                          slice("salt"), text));
    assert_memory_equal(small, text, MASK_HASH_DIGITS);
}

static void test_shown(void **state)
{
    static const struct {
        const char *text;
        unsigned characters;
        const char *shown;
    } cases[] = {{"4111111111111234", 4, "1234"},
                 {"1234567", 4, ""},
                 {"12345678", 4, "5678"},
                 {"", 4, ""},
                 {"abc", 0, ""},
                 {"äöüßéèêë", 2, "êë"},
                 {"äöü", 2, ""},
                 {"\x80\x80\x80", 1, ""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        WhSlice shown = mask_shown(slice(cases[i].text), cases[i].characters);

        assert_int_equal(shown.size, strlen(cases[i].shown));
        assert_memory_equal(shown.data, cases[i].shown, shown.size);
    }
}

/* ---- rows ---- */

typedef struct Fixture {
    WhColumn columns[COLUMN_COUNT];
    WhType types[COLUMN_COUNT];
    WhSchema schema;
    RowMap *map;
} Fixture;

static int set_up(void **state)
{
    static const char *const names[] = {"id", "email", "card", "note", "total"};
    static const char *const types[] = {"Int32", "String", "String", "String", "Int16"};
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->schema = (WhSchema){.columns = f->columns, .column_count = COLUMN_COUNT, .key_column_count = 1};
    for (int i = 0; i < COLUMN_COUNT; i++) {
        f->columns[i] = (WhColumn){
            .name = slice(names[i]), .clickhouse_type = slice(types[i]), .nullable = i == 1 || i == 3};
        assert_true(wh_type_parse(f->columns[i].clickhouse_type, f->columns[i].nullable, &f->types[i]));
    }
    f->map = rowmap_new(&f->schema, f->types);
    assert_non_null(f->map);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    rowmap_free(f->map);
    free(f);
    return 0;
}

static void assert_row(Fixture *f, const char *body, size_t body_size, bool key_only, const char *expected,
                       size_t expected_size)
{
    WhReader r = wh_reader(body, body_size);
    uint8_t out[512];
    uint8_t *end;

    rowmap_split(f->map, &r, key_only && body_size == 4 ? 1 : COLUMN_COUNT);
    assert_true(wh_reader_ok(&r));
    end = rowmap_put(f->map, out, key_only, 'U');
    assert_non_null(end);
    assert_int_equal(end - out, expected_size);
    assert_memory_equal(out, expected, expected_size);
    assert_true(expected_size <= body_size + f->map->extra_bytes);
}

#define ROW(...)                                                                                             \
    (const char *)(const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[])                                    \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void use_steps(Fixture *f)
{
    uint8_t *fixed = malloc(3);
    uint8_t *constants = malloc(2);

    assert_true(fixed && constants);
    memcpy(fixed, "\0\1x", 3);
    memcpy(constants, "\1c", 2);
    f->map->steps[1] = (RowStep){.kind = ROW_PARTIAL, .nullable = true, .shown = 1};
    f->map->steps[2].kind = ROW_SKIP;
    f->map->steps[3] = (RowStep){.kind = ROW_FIXED, .nullable = true, .fixed = {fixed, 3}};
    f->map->constants = constants;
    f->map->constants_size = 2;
    f->map->has_operation = true;
    assert_true(rowmap_finish(f->map));
}

static void test_rows(void **state)
{
    Fixture *f = *state;

    use_steps(f);
    assert_row(f, ROW(7, 0, 0, 0, 0, 3, 'a', 'b', 'c', 1, 's', 1, 5, 0), false,
               ROW(7, 0, 0, 0, 0, 5, '*', '*', '*', '*', 'c', 0, 1, 'x', 5, 0, 1, 'c', 'U'));
    /* NULL stays NULL under a partial mask, and is hidden by a fixed one. */
    assert_row(f, ROW(7, 0, 0, 0, 1, 1, 's', 1, 5, 0), false,
               ROW(7, 0, 0, 0, 1, 0, 1, 'x', 5, 0, 1, 'c', 'U'));
    /* A delete, and a row that is not to be seen: key, defaults, constants. */
    assert_row(f, ROW(7, 0, 0, 0), true, ROW(7, 0, 0, 0, 1, 0, 1, 'x', 0, 0, 1, 'c', 'U'));
    assert_row(f, ROW(7, 0, 0, 0, 1, 1, 's', 1, 5, 0), true,
               ROW(7, 0, 0, 0, 1, 0, 1, 'x', 0, 0, 1, 'c', 'U'));
}

static void test_hashed_row(void **state)
{
    Fixture *f = *state;
    char expected[512] = {0};
    size_t size = 0;

    f->map->steps[0].kind = ROW_HASH;
    f->map->steps[1].kind = ROW_HASH;
    for (int i = 2; i < COLUMN_COUNT; i++)
        f->map->steps[i].kind = ROW_SKIP;
    f->map->salt = (uint8_t *)strdup("0123456789abcdef");
    f->map->salt_size = 16;
    assert_true(rowmap_finish(f->map));
    expected[size++] = MASK_HASH_DIGITS;
    assert_true(mask_hash(slice("String"),
                          slice("\x01"
                                "7"),
                          slice("0123456789abcdef"), expected + size));
    size += MASK_HASH_DIGITS;
    expected[size++] = 0;
    expected[size++] = MASK_HASH_DIGITS;
    assert_true(mask_hash(slice("String"),
                          slice("\x03"
                                "abc"),
                          slice("0123456789abcdef"), expected + size));
    size += MASK_HASH_DIGITS;
    assert_row(f, ROW(7, 0, 0, 0, 0, 3, 'a', 'b', 'c', 1, 's', 1, 5, 0), false, expected, size);
    /* The key of a delete is hashed as the row's was. */
    expected[1 + MASK_HASH_DIGITS] = 1;
    assert_row(f, ROW(7, 0, 0, 0), true, expected, 1 + MASK_HASH_DIGITS + 1);
}

static void test_reads(void **state)
{
    Fixture *f = *state;

    use_steps(f);
    assert_true(rowmap_reads(f->map, 0));
    assert_true(rowmap_reads(f->map, 1));
    assert_false(rowmap_reads(f->map, 2));
    assert_false(rowmap_reads(f->map, 3));
    assert_true(rowmap_may_show(f->map, 0));
    assert_false(rowmap_may_show(f->map, 1));
    assert_false(rowmap_may_show(f->map, 2));
}

/* ---- expressions ---- */

/* Writes columns in capitals where they are alone. */
static bool visit(void *context, WhSlice name, bool alone, Text *sql, Error *error)
{
    (void)context;
    if (wh_slice_equals(name, "bad")) {
        (void)status_fail(error, STATUS_FATAL, "bad column");
        return false;
    }
    text_appendf(sql, alone ? "<%.*s>" : "{%.*s}", (int)name.size, (const char *)name.data);
    return true;
}

static void test_expressions(void **state)
{
    static const char *const cases[][2] = {
        {"id, toDate(at)", "<id>, toDate({at})"},
        {"intDiv(id,1000) , `a b`", "intDiv({id},1000) , <a b>"},
        {"at + INTERVAL 30 DAY", "{at} + INTERVAL 30 DAY"},
        {"id != 'x''y' and", "{id} != 'x''y' {and}"},
        {"(id)", "({id})"},
        {"\"id\"", "<id>"},
        {"id + 1, 2 + id", "{id} + 1, 2 + {id}"},
    };
    static const char *const refused[][2] = {
        {"(id", "not closed"},    {"id)", "do not match"},  {"f(id]", "do not match"},
        {"'id", "not closed"},    {"id; drop", "no place"}, {"id -- x", "no place"},
        {"/* */ id", "no place"}, {"f(bad)", "bad column"}, {"`id", "a ` is not"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Text sql = {0};
        Error error = {""};

        assert_int_equal(expression_append(cases[i][0], visit, NULL, &sql, &error), STATUS_OK);
        assert_string_equal(sql.data, cases[i][1]);
        text_free(&sql);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        Text sql = {0};
        Error error = {""};

        assert_int_equal(expression_append(refused[i][0], visit, NULL, &sql, &error), STATUS_FATAL);
        if (strstr(error.text, refused[i][1]) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", refused[i][0], refused[i][1], error.text);
        text_free(&sql);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_shown),
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hashed_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reads, set_up, tear_down),
        cmocka_unit_test(test_expressions),
    };

    return cmocka_run_group_tests_name("agent_rowmap", tests, NULL, NULL);
}

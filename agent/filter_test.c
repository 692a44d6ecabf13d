/* filter_test.c - conditions: what they mean for a row, and what is said about wrong ones. */
#include "agent/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/scalar.h"

#define COLUMN_COUNT 8

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

static const struct {
    const char *name, *type;
    bool nullable;
    const char *value; /* of the row; NULL: NULL */
} row[COLUMN_COUNT] = {{"id", "Int64", false, "-7"},
                       {"name", "String", true, "O'Neil"},
                       {"note", "String", true, NULL},
                       {"price", "Decimal(12, 2)", false, "10.50"},
                       {"at", "DateTime64(6, 'UTC')", false, "2026-02-28 12:00:00.5"},
                       {"active", "Bool", false, "true"},
                       {"uid", "UUID", false, "f0000000-0000-0000-0000-000000000001"},
                       {"ratio", "Float32", false, "1.1"}};

typedef struct Row {
    WhColumn columns[COLUMN_COUNT];
    WhSchema schema;
    uint8_t bytes[256];
    WhSlice values[COLUMN_COUNT];
} Row;

static void make_row(Row *r)
{
    WhWriter w = wh_writer(r->bytes, sizeof r->bytes);

    *r = (Row){.schema = {.columns = r->columns, .column_count = COLUMN_COUNT}};
    for (int i = 0; i < COLUMN_COUNT; i++) {
        size_t start = w.length;
        ScalarType type;
        ScalarValue value;

        r->columns[i] = (WhColumn){
            .name = slice(row[i].name), .clickhouse_type = slice(row[i].type), .nullable = row[i].nullable};
        if (row[i].nullable)
            wh_put_u8(&w, row[i].value == NULL);
        assert_true(scalar_type(r->columns[i].clickhouse_type, &type));
        if (row[i].value) {
            assert_null(scalar_parse(&type, slice(row[i].value), &value));
            scalar_put(&w, &type, &value);
        }
        r->values[i] = (WhSlice){r->bytes + start, w.length - start};
    }
    assert_false(w.full);
}

/* A column "later" is known, but not in this version of the table. */
static bool resolve(void *context, WhSlice name, uint32_t *column, Error *error)
{
    const WhSchema *schema = context;

    *column = FILTER_NO_COLUMN;
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (name.size == schema->columns[i].name.size &&
            memcmp(name.data, schema->columns[i].name.data, name.size) == 0)
            *column = i;
    if (*column != FILTER_NO_COLUMN || wh_slice_equals(name, "later"))
        return true;
    (void)status_fail(error, STATUS_FATAL, "no column %.*s", (int)name.size, (const char *)name.data);
    return false;
}

static void test_truth(void **state)
{
    static const struct {
        const char *text;
        bool matches;
    } cases[] = {
        {"id = -7", true},
        {"id < -7 or id > -7", false},
        {"id <= -7 and id >= -7", true},
        {"id != -7", false},
        {"name = 'O''Neil'", true},
        {"name > 'O' and name < 'P'", true},
        {"\"name\" <> 'x'", true},
        {"note = 'x'", false},
        {"note <> 'x'", false},
        {"not note = 'x'", false},
        {"note is null", true},
        {"note is not null", false},
        {"name IS NOT NULL", true},
        {"note = 'x' or id = -7", true},
        {"note = 'x' and id = -7", false},
        {"not (note = 'x' and id = 8)", true},
        {"id = 1 or id = 2 and id = 3 or id = -7", true},
        {"(id = -7 or id = 2) and id = 3", false},
        {"price = 10.5", true},
        {"price >= 10.51", false},
        {"price > -1", true},
        {"at > '2026-02-28 12:00:00.499999'", true},
        {"at >= '2026-03-01'", false},
        {"at = '2026-02-28T12:00:00.500000'", true},
        {"active = true", true},
        {"active = false", false},
        {"uid > '0fffffff-0000-0000-0000-000000000001'", true},
        {"uid = 'F0000000-0000-0000-0000-000000000001'", true},
        {"ratio = 1.1", true},
        {"ratio < 1e3", true},
        {"id in (1, 2, -7)", true},
        {"id not in (1, 2, -7)", false},
        {"name in ('a', 'b')", false},
        {"note in ('a')", false},
        {"note not in ('a')", false},
        {"later is null", true},
        {"later = 5", false},
    };
    Row r;

    (void)state;
    make_row(&r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Error error = {""};
        Filter *filter = filter_compile(cases[i].text, &r.schema, resolve, &r.schema, &error);

        if (filter == NULL)
            fail_msg("%s: %s", cases[i].text, error.text);
        if (filter_matches(filter, r.values) != cases[i].matches)
            fail_msg("%s is not %s", cases[i].text, cases[i].matches ? "true" : "false");
        filter_free(filter);
    }
}

static void test_refusals(void **state)
{
    static const char *const cases[][2] = {
        {"", "ends where a column"},
        {"id", "ends where a comparison"},
        {"id =", "ends where a number"},
        {"id = 1 id", "and, or or the end should stand where \"id\""},
        {"id = 'abc'", "column id takes a whole number"},
        {"id = 99999999999999999999", "column id takes a whole number"},
        {"price = 1.234", "no more decimals"},
        {"at > 'yesterday'", "a time in UTC"},
        {"at > '2026-02-30'", "a time in UTC"},
        {"uid = '1'", "takes a UUID"},
        {"active = 1", "true or false"},
        {"(id = 1", "ends where and, or or )"},
        {"id = 1)", "should stand where \")\""},
        {"name = 'x", "a ' is not closed"},
        {"name = 'x''", "a ' is not closed"},
        {"nmae = 'x'", "no column nmae"},
        {"id between 1 and 2", "a comparison, is or in should stand where \"between\""},
        {"id in ()", "should stand where \")\""},
        {"id => 1", "should stand where \">\""},
    };
    Row r;

    (void)state;
    make_row(&r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Error error = {""};

        assert_null(filter_compile(cases[i][0], &r.schema, resolve, &r.schema, &error));
        if (strstr(error.text, cases[i][1]) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", cases[i][0], cases[i][1], error.text);
    }
}

static void test_bounds(void **state)
{
    char text[20 * FILTER_NODES_MAX] = "id = 1";
    char deep[4 * FILTER_DEPTH_MAX + 20] = "";
    Error error = {""};
    Row r;

    (void)state;
    make_row(&r);
    for (int i = 0; i < FILTER_NODES_MAX; i++)
        strcat(text, " or id = 1");
    assert_null(filter_compile(text, &r.schema, resolve, &r.schema, &error));
    assert_non_null(strstr(error.text, "more than 1000 parts"));
    memset(deep, '(', FILTER_DEPTH_MAX + 1);
    strcat(deep, "id = 1");
    assert_null(filter_compile(deep, &r.schema, resolve, &r.schema, &error));
    assert_non_null(strstr(error.text, "more than 50 parentheses"));
}

static void test_reads(void **state)
{
    Error error = {""};
    Row r;
    Filter *filter;

    (void)state;
    make_row(&r);
    filter = filter_compile("id = 1 and (note is null or later = 5)", &r.schema, resolve, &r.schema, &error);
    assert_non_null(filter);
    assert_true(filter_reads(filter, 0));
    assert_false(filter_reads(filter, 1));
    assert_true(filter_reads(filter, 2));
    filter_free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_bounds), cmocka_unit_test(test_reads)};

    return cmocka_run_group_tests_name("agent_filter", tests, NULL, NULL);
}

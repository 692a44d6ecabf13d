/* shape_test.c - rules meet schemas: columns and layout, and what is said about rules that do not fit. */
#include "agent/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLUMN_COUNT 6
#define VERSIONS     2
#define SECTION      "table public.orders"

typedef struct Line {
    const char *name, *value;
} Line;

/* Two versions of one table: the first lacks the last column, and calls attribute 3 "mail". */
typedef struct Fixture {
    WhColumn columns[VERSIONS][COLUMN_COUNT];
    WhSchema schemas[VERSIONS];
    const WhSchema *versions[VERSIONS];
    WhType types[COLUMN_COUNT];
    Rules *rules;
    Shape shape;
} Fixture;

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

static int set_up(void **state)
{
    static const char *const names[] = {"id", "shop", "email", "total", "tags", "placed_at"};
    static const char *const types[] = {"Int64",
                                        "Int32",
                                        "String",
                                        "Decimal(12, 2)",
                                        "Variant(Array(Nullable(String)), String)",
                                        "DateTime64(6, 'UTC')"};
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    for (int v = 0; v < VERSIONS; v++) {
        f->schemas[v] = (WhSchema){.relation_oid = 16384,
                                   .schema_name = slice("public"),
                                   .table_name = slice("orders"),
                                   .columns = f->columns[v],
                                   .column_count = v == 0 ? COLUMN_COUNT - 1 : COLUMN_COUNT,
                                   .key_column_count = 2};
        for (uint32_t i = 0; i < f->schemas[v].column_count; i++)
            f->columns[v][i] = (WhColumn){.attribute_number = i + 1,
                                          .key_position = i < 2 ? i + 1 : 0,
                                          .nullable = i == 2,
                                          .name = slice(v == 0 && i == 2 ? "mail" : names[i]),
                                          .clickhouse_type = slice(types[i])};
        f->versions[v] = &f->schemas[v];
    }
    for (int i = 0; i < COLUMN_COUNT; i++)
        assert_true(wh_type_parse(slice(types[i]), i == 2, &f->types[i]));
    *state = f;
    return 0;
}

static void forget(Fixture *f)
{
    shape_free(&f->shape);
    rules_free(f->rules);
    f->rules = NULL;
}

static int tear_down(void **state)
{
    forget(*state);
    free(*state);
    return 0;
}

/* Shapes a version by lines up to one without a name. */
static Status build(Fixture *f, int version, const Line *lines, Error *error)
{
    const Relation relation = {f->versions, VERSIONS};
    const TableRules *table;

    forget(f);
    f->rules = rules_new();
    assert_non_null(f->rules);
    for (; lines->name; lines++)
        assert_int_equal(rules_take(f->rules, SECTION, lines->name, lines->value, error), STATUS_OK);
    assert_int_equal(rules_finish(f->rules, "", error), STATUS_OK);
    table = shape_rules(f->rules, &f->schemas[version], relation);
    assert_non_null(table);
    return shape_build(&f->shape, f->rules, table, &f->schemas[version], f->types, relation, error);
}

static void assert_built(Fixture *f, int version, const Line *lines)
{
    Error error = {""};

    if (build(f, version, lines, &error) != STATUS_OK)
        fail_msg("%s", error.text);
}

/* The columns as "name type" or "name>shown type", separated by semicolons. */
static void assert_columns(Fixture *f, const char *expected)
{
    Text text = {0};

    for (size_t i = 0; i < f->shape.column_count; i++) {
        const ShapeColumn *column = &f->shape.columns[i];

        text_appendf(&text, "%s%.*s%s%s %s", i ? "; " : "", (int)column->name.size,
                     (const char *)column->name.data, column->view_name ? ">" : "",
                     column->view_name ? column->view_name : "", column->type);
    }
    assert_string_equal(text.data, expected);
    text_free(&text);
}

static void test_columns(void **state)
{
    Fixture *f = *state;

    assert_built(f, 1,
                 (Line[]){{"drop", "tags, placed_at"},
                          {"rename.total", "amount"},
                          {"mask.email", "partial:4"},
                          {"constant.region", "String eu"},
                          {NULL, NULL}});
    assert_columns(
        f, "id Int64; shop Int32; email Nullable(String); total>amount Decimal(12, 2); region String");
    assert_int_equal(f->shape.columns[4].source, SHAPE_CONSTANT);
    assert_built(f, 1, (Line[]){{"columns", "id, shop, total"}, {"mask.total", "fixed:0.00"}, {NULL, NULL}});
    assert_columns(f, "id Int64; shop Int32; total Decimal(12, 2)");
    assert_int_equal(f->shape.map->steps[2].kind, ROW_SKIP);
    assert_int_equal(f->shape.map->steps[3].kind, ROW_FIXED);
}

/* A column keeps its rules under the names that it had and has. */
static void test_renamed_column(void **state)
{
    Fixture *f = *state;

    assert_built(f, 1, (Line[]){{"mask.mail", "partial:2"}, {NULL, NULL}});
    assert_int_equal(f->shape.map->steps[2].kind, ROW_PARTIAL);
    assert_built(f, 0, (Line[]){{"mask.email", "partial:2"}, {NULL, NULL}});
    assert_int_equal(f->shape.map->steps[2].kind, ROW_PARTIAL);
    assert_built(f, 0, (Line[]){{"drop", "placed_at"}, {"filter", "placed_at is null"}, {NULL, NULL}});
    assert_true(rowmap_matches(f->shape.map));
    assert_built(f, 0, (Line[]){{"columns", "id, shop, email"}, {NULL, NULL}});
    assert_columns(f, "id Int64; shop Int32; mail Nullable(String)");
}

/* And a table keeps its section, until its new name has one. */
static void test_renamed_table(void **state)
{
    Fixture *f = *state;

    f->schemas[1].table_name = slice("orders_2026");
    assert_built(f, 1, (Line[]){{"drop", "email"}, {NULL, NULL}});
    assert_int_equal(f->shape.map->steps[2].kind, ROW_SKIP);
}

static void test_layout(void **state)
{
    Fixture *f = *state;

    assert_built(f, 1,
                 (Line[]){{"order_by", "intDiv(id, 10), shop,id"},
                          {"partition_by", "shop % 8"},
                          {"ttl", "toDateTime(placed_at) + INTERVAL 1 YEAR"},
                          {NULL, NULL}});
    assert_string_equal(f->shape.order_by, "intDiv(`id`, 10), `shop`,`id`");
    assert_string_equal(f->shape.partition_by, "`shop` % 8");
    assert_string_equal(f->shape.ttl, "toDateTime(`placed_at`) + INTERVAL 1 YEAR");
    /* A log's rows never change, so any column will do. */
    f->schemas[1].key_column_count = 0;
    for (int i = 0; i < 2; i++)
        f->columns[1][i].key_position = 0;
    assert_built(f, 1,
                 (Line[]){{"order_by", "email"}, {"partition_by", "toYYYYMM(placed_at)"}, {NULL, NULL}});
    assert_string_equal(f->shape.order_by, "`email`, `_version`");
}

static void test_refusals(void **state)
{
    static const struct {
        Line line;
        const char *expected;
    } cases[] = {
        {{"drop", "emial"},
         "[table public.orders] a rule: the table has no column emial; did you mean email?"},
        {{"drop", "id"}, "key column id must be loaded"},
        {{"columns", "id, email"}, "key column shop must be loaded"},
        {{"mask.id", "fixed:1"}, "this key column, so it takes hash only"},
        {{"mask.total", "partial:2"}, "the column is Decimal(12, 2) in ClickHouse, and partial is for texts"},
        {{"mask.total", "fixed:abc"}, "the column takes a number"},
        {{"mask.tags", "fixed:abc"}, "takes hash only"},
        {{"rename.total", "email"}, "two columns would be called email"},
        {{"rename.total", "_version"}, "the agent's own"},
        {{"constant.email", "String x"}, "two columns would be called email"},
        {{"constant.n", "Int8 300"}, "Int8 takes a whole number that it can hold"},
        {{"constant.n", "Array(String) x"}, "not a type that a constant can have"},
        {{"constant.n", "Decimal(4,2) 1"}, "written as in Decimal(4, 2)"},
        {{"order_by", "id"}, "each key column stands in it once"},
        {{"order_by", "id, shop, email"}, "order_by: email is not of the key"},
        {{"order_by", "id, shop, nothing"}, "order_by: the table has no column nothing"},
        {{"partition_by", "toYYYYMM(placed_at)"},
         "partition_by: placed_at is not of the key: a row whose value"},
        {{"partition_by", "shop)"}, "partition_by: the parentheses do not match"},
        {{"ttl", "placedat + 1"}, "did you mean placed_at?"},
        {{"filter", "totl > 5"}, "filter: the table has no column totl; did you mean total?"},
        {{"filter", "tags = 'x'"}, "which a filter cannot compare"},
        {{"codec.total", "ZSTD(3"}, "codec.total: a parenthesis is not closed"},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Error error = {""};

        assert_int_equal(build(f, 1, (Line[]){cases[i].line, {NULL, NULL}}, &error), STATUS_STOP);
        if (strstr(error.text, cases[i].expected) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", cases[i].expected, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renamed_column, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renamed_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("agent_shape", tests, NULL, NULL);
}

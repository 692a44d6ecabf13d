/*
 * plan_test.c - types that hold each other, and what a storage table needs before it takes a schema's rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/plan.h"
#include "agent/typejoin.h"

static void assert_join(const char *a, const char *b, const char *expected)
{
    Text one = {0}, other = {0};

    assert_int_equal(type_join(&one, a, b), expected != NULL);
    assert_int_equal(type_join(&other, b, a), expected != NULL);
    if (expected) {
        assert_string_equal(one.data, expected);
        assert_string_equal(other.data, expected);
    }
    text_free(&one);
    text_free(&other);
}

static void test_type_join(void **state)
{
    (void)state;
    assert_join("Int16", "Int64", "Int64");
    assert_join("Nullable(Int32)", "Int64", "Nullable(Int64)");
    assert_join("UInt32", "UInt64", "UInt64");
    assert_join("UInt32", "Int64", NULL);
    assert_join("Float32", "Nullable(Float64)", "Nullable(Float64)");
    assert_join("Float32", "Int16", NULL);
    assert_join("Decimal(10, 2)", "Decimal(12, 4)", "Decimal(12, 4)");
    assert_join("Decimal(10, 4)", "Decimal(10, 2)", "Decimal(12, 4)");
    assert_join("Int32", "Decimal(6, 2)", "Decimal(12, 2)");
    assert_join("Decimal(76, 0)", "Decimal(76, 10)", NULL);
    assert_join("UUID", "Nullable(String)", "Nullable(String)");
    assert_join("Date32", "String", "String");
    /* Postgres's text of these is another one than ClickHouse's. */
    assert_join("Decimal(12, 2)", "String", NULL);
    assert_join("Float64", "String", NULL);
    assert_join("DateTime64(6, 'UTC')", "String", NULL);
    assert_join("Date32", "DateTime64(6, 'UTC')", NULL);
    assert_join("Array(Nullable(Int32))", "Variant(Array(Nullable(Int32)), String)",
                "Variant(Array(Nullable(Int32)), String)");
    assert_join("Array(Nullable(Int32))", "Variant(Array(Nullable(Int64)), String)", NULL);
    assert_join("Nullable(X)", "Nullable(X)", "Nullable(X)");
}

/* A target of two columns: id, which is the key, and another. */
static TargetColumn target_columns[] = {
    {.name = (char[]){"id"}, .stored = (char[]){"id"}, .type = (char[]){"Int64"}, .attribute_number = 1},
    {.name = (char[]){"n"}, .stored = (char[]){"n"}, .type = (char[]){"Int32"}, .attribute_number = 3}};
static const Target target = {
    .view_name = (char[]){"orders"}, .columns = target_columns, .column_count = 2, .key_column_count = 1};

static Plan plan_for(StorageColumn *columns, size_t count)
{
    Storage storage = {.columns = columns, .column_count = count};
    Plan plan;
    Error error;

    assert_int_equal(plan_fit(&plan, &target, &storage, &error), STATUS_OK);
    return plan;
}

#define ID                                                                                                   \
    {                                                                                                        \
        .name = (char[]){"id"}, .type = (char[]){"Int64"}, .attribute_number = 1, .in_order = true           \
    }

static void test_names(void **state)
{
    StorageColumn renamed[] = {ID,
                               {.name = (char[]){"was_n"}, .type = (char[]){"Int32"}, .attribute_number = 3},
                               {.name = (char[]){"late"}, .type = (char[]){"Int32"}, .attribute_number = 3}};
    StorageColumn taken[] = {ID, {.name = (char[]){"n"}, .type = (char[]){"String"}, .attribute_number = 2}};
    StorageColumn taken_twice[] = {ID,
                                   {.name = (char[]){"n"}, .type = (char[]){"String"}, .attribute_number = 2},
                                   {.name = (char[]){"n_3"}, .type = (char[]){"Int8"}}};
    Plan plan = plan_for(renamed, 3);

    (void)state;
    /* The attribute counts, and of two columns of it the first. */
    assert_false(plan.changes);
    assert_string_equal(plan.columns[1].stored, "was_n");
    plan_free(&plan);
    plan = plan_for(taken, 2);
    assert_int_equal(plan.columns[1].action, PLAN_ADD);
    assert_string_equal(plan.columns[1].stored, "n_3");
    plan_free(&plan);
    plan = plan_for(taken_twice, 3);
    assert_string_equal(plan.columns[1].stored, "n_3_3");
    plan_free(&plan);
}

static void test_types(void **state)
{
    StorageColumn narrow[] = {ID, {.name = (char[]){"n"}, .type = (char[]){"Int16"}, .attribute_number = 3}};
    StorageColumn wide[] = {
        ID, {.name = (char[]){"n"}, .type = (char[]){"Nullable(Int64)"}, .attribute_number = 3}};
    StorageColumn text[] = {ID, {.name = (char[]){"n"}, .type = (char[]){"String"}, .attribute_number = 3}};
    Plan plan = plan_for(narrow, 2);

    (void)state;
    assert_true(plan.changes && !plan.converts);
    assert_int_equal(plan.columns[1].action, PLAN_WIDEN);
    assert_string_equal(plan.columns[1].type, "Int32");
    plan_free(&plan);
    plan = plan_for(wide, 2);
    assert_true(!plan.changes && plan.converts);
    assert_string_equal(plan.columns[1].type, "Nullable(Int64)");
    plan_free(&plan);
    /* A text that has become a number needs another table; rows from before a number became a text do not. */
    plan = plan_for(text, 2);
    assert_string_equal(plan.conflicts.data, "3:Int32");
    assert_non_null(strstr(plan.reason.data, "column n of orders is Int32"));
    plan_free(&plan);
    text[1].was = (char[]){"Nullable(Int64)"};
    plan = plan_for(text, 2);
    assert_true(plan.conflicts.size == 0 && plan.converts && !plan.changes);
    plan_free(&plan);
    text[1].was = (char[]){"Nullable(Int16)"};
    plan = plan_for(text, 2);
    assert_int_not_equal(plan.conflicts.size, 0);
    plan_free(&plan);
}

static void test_key(void **state)
{
    StorageColumn other_type[] = {
        {.name = (char[]){"id"}, .type = (char[]){"Int32"}, .attribute_number = 1, .in_order = true}};
    StorageColumn none[] = {{.name = (char[]){"n"}, .type = (char[]){"Int32"}, .attribute_number = 3}};
    Plan plan = plan_for(other_type, 1);

    (void)state;
    assert_int_not_equal(plan.conflicts.size, 0);
    plan_free(&plan);
    plan = plan_for(none, 1);
    assert_int_not_equal(plan.conflicts.size, 0);
    plan_free(&plan);
}

static void test_adoption(void **state)
{
    StorageColumn columns[] = {ID, {.name = (char[]){"n"}, .type = (char[]){"Int32"}, .attribute_number = 3}};
    Storage storage = {.columns = columns, .column_count = 2, .engine = (char[]){"ReplacingMergeTree"}};
    Text reason = {0};

    (void)state;
    assert_true(plan_may_adopt(&target, &storage, &reason));
    columns[1].in_order = true;
    assert_false(plan_may_adopt(&target, &storage, &reason));
    columns[1].in_order = columns[0].in_order = false;
    assert_false(plan_may_adopt(&target, &storage, &reason));
    columns[0].in_order = true;
    storage.engine = (char[]){"MergeTree"};
    assert_false(plan_may_adopt(&target, &storage, &reason));
    text_free(&reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_join), cmocka_unit_test(test_names),    cmocka_unit_test(test_types),
        cmocka_unit_test(test_key),       cmocka_unit_test(test_adoption),
    };

    return cmocka_run_group_tests_name("agent_plan", tests, NULL, NULL);
}

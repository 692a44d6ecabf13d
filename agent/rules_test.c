/* rules_test.c - sections of the configuration: what they mean, and what is said about wrong ones. */
#include "agent/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTION "table public.orders"

typedef struct Line {
    const char *name, *value;
} Line;

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

/* Takes lines up to one without a name, and reads them. */
static Status read_lines(Rules *rules, const Line *lines, const char *salt_file, Error *error)
{
    Status status = STATUS_OK;

    for (; lines->name && status == STATUS_OK; lines++)
        status = rules_take(rules, SECTION, lines->name, lines->value, error);
    return status == STATUS_OK ? rules_finish(rules, salt_file, error) : status;
}

static void test_all_settings(void **state)
{
    static const Line lines[] = {{"columns", "id, email , total"},
                                 {"rename.total", "amount"},
                                 {"mask.email", "partial:4"},
                                 {"mask.total", "fixed:0"},
                                 {"codec.total", "ZSTD(3)"},
                                 {"constant.region", "String eu west"},
                                 {"constant.rate", "Decimal(4, 2) 1.50"},
                                 {"filter", "total > 5"},
                                 {"database", "shop"},
                                 {"table", "sales"},
                                 {"order_by", "id"},
                                 {"partition_by", "intDiv(id, 1000)"},
                                 {"ttl", "x"},
                                 {"history", "true"},
                                 {NULL, NULL}};
    Rules *rules = rules_new();
    const TableRules *table;
    Error error = {""};

    (void)state;
    assert_int_equal(read_lines(rules, lines, "", &error), STATUS_OK);
    assert_null(rules_find(rules, slice("public"), slice("order")));
    assert_null(rules_find(rules, slice("public.orders"), slice("")));
    table = rules_find(rules, slice("public"), slice("orders"));
    assert_non_null(table);
    assert_true(table->chooses && table->history);
    assert_int_equal(table->column_count, 3);
    assert_string_equal(table->columns[1].name, "email");
    assert_true(table->columns[1].chosen);
    assert_int_equal(table->columns[1].mask, MASK_PARTIAL);
    assert_int_equal(table->columns[1].shown, 4);
    assert_string_equal(table->columns[2].rename, "amount");
    assert_string_equal(table->columns[2].fixed, "0");
    assert_string_equal(table->columns[2].codec, "ZSTD(3)");
    assert_int_equal(table->constant_count, 2);
    assert_true(wh_slice_equals(table->constants[0].type, "String"));
    assert_true(wh_slice_equals(table->constants[0].value, "eu west"));
    assert_true(wh_slice_equals(table->constants[1].type, "Decimal(4, 2)"));
    assert_true(wh_slice_equals(table->constants[1].value, "1.50"));
    assert_string_equal(table->view, "sales");
    rules_free(rules);
}

static void assert_refused(const Line *line, const char *expected)
{
    const Line lines[] = {*line, {NULL, NULL}};
    Rules *rules = rules_new();
    Error error = {""};

    assert_non_null(rules);
    assert_int_equal(read_lines(rules, lines, "", &error), STATUS_FATAL);
    if (strstr(error.text, expected) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", expected, error.text);
    rules_free(rules);
}

static void test_refusals(void **state)
{
    static const char *const cases[][3] = {
        {"colums", "a", "unknown setting [table public.orders] colums; did you mean columns?"},
        {"mask", "hash", "did you mean mask.COLUMN?"},
        {"msk.email", "hash", "did you mean mask.email?"},
        {"columns", "a,,b", "columns, separated by commas"},
        {"columns", "", "columns, separated by commas"},
        {"mask.email", "md5", "mask.email = md5: it takes hash, fixed:TEXT or partial:N"},
        {"mask.email", "partial:-1", "it takes hash"},
        {"mask.email", "partial:99999999999999999999", "it takes hash"},
        {"mask.email", "hash", "[rules] salt_file is missing"},
        {"constant.x", "", "a type and a value"},
        {"constant.x", "Decimal(4 1", "a type and a value"},
        {"history", "yes", "it takes true or false"},
        {"filter", "", "it is empty"},
        {"rename.a", "", "it is empty"},
        {"table", "_x", "the agent's own"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&(Line){cases[i][0], cases[i][1]}, cases[i][2]);
}

static void test_sections(void **state)
{
    Rules *rules = rules_new();
    Error error = {""};

    (void)state;
    assert_int_equal(rules_take(rules, "table orders", "drop", "a", &error), STATUS_FATAL);
    assert_non_null(strstr(error.text, "[table public.orders]?"));
    assert_int_equal(rules_take(rules, SECTION, "drop", "a", &error), STATUS_OK);
    assert_int_equal(rules_take(rules, SECTION, "drop", "b", &error), STATUS_FATAL);
    assert_non_null(strstr(error.text, "drop is given twice"));
    assert_int_equal(rules_take(rules, SECTION, "table", "sales", &error), STATUS_OK);
    assert_int_equal(rules_take(rules, "table old.orders", "table", "sales", &error), STATUS_OK);
    assert_int_equal(rules_finish(rules, "", &error), STATUS_FATAL);
    assert_string_equal(error.text,
                        "[table public.orders] and [table old.orders] have the same table = sales");
    rules_free(rules);
}

static void test_salt(void **state)
{
    static const Line lines[] = {{"mask.email", "hash"}, {NULL, NULL}};
    char path[] = "/tmp/walhouse-rules-test-XXXXXX";
    int fd = mkstemp(path);
    Rules *rules = rules_new();
    Error error = {""};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(read_lines(rules, lines, path, &error), STATUS_FATAL);
    assert_non_null(strstr(error.text, "has 0 bytes"));
    rules_free(rules);
    assert_int_equal(write(fd, "0123456789abcdef\nmore\n", 22), 22);
    rules = rules_new();
    assert_int_equal(read_lines(rules, lines, path, &error), STATUS_OK);
    assert_int_equal(rules->salt_size, 16);
    assert_memory_equal(rules->salt, "0123456789abcdef", 16);
    rules_free(rules);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_settings), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_sections), cmocka_unit_test(test_salt)};

    return cmocka_run_group_tests_name("agent_rules", tests, NULL, NULL);
}

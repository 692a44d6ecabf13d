/* sql_test.c - where an INSERT's data begins, whatever the bytes' cutting; and what else is read off a
 * statement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "warehouse/sql.h"

/* Scans a copy of exactly these bytes, so that a sanitizer sees any step beyond them. */
static enum sql_insert scan(const char *text, size_t bytes, bool complete, struct sql_insert_head *head)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    enum sql_insert found;

    assert_non_null(copy);
    memcpy(copy, text, bytes);
    found = sql_scan_insert(copy, bytes, complete, head);
    free(copy);
    return found;
}

struct data_case {
    const char *statement; /* without the FORMAT or VALUES clause */
    const char *clause;    /* up to the first byte of data */
    const char *format;
};

static const struct data_case data_cases[] = {
    {"INSERT INTO t ", "FORMAT RowBinary\n", "RowBinary"},
    {"insert into t (a, b) ", "format CSV\r\n", "CSV"},
    {"INSERT INTO t ", "FORMAT CSV \t ", "CSV"},
    {"INSERT t ", "VALUES", "Values"},
    {"INSERT INTO TABLE db.t (a) ", "VALUES", "Values"},
    {"INSERT INTO `format`.`values select` (`a``b`, \"c\\\"d\", e) ", "FORMAT TSV\n", "TSV"},
    {"INSERT INTO format ", "FORMAT TSV\n", "TSV"},
    {"INSERT INTO FUNCTION file('x (', CSV, 'a Int8, format String') ", "FORMAT CSV\n", "CSV"},
    {"/* SELECT ( */ INSERT -- FORMAT x\nINTO t # ! (\n (a /* ) */) ", "FORMAT CSV\n", "CSV"},
    {"INSERT INTO {db:Identifier}.{t:Identifier} (a) ", "FORMAT CSV\n", "CSV"},
    {"INSERT INTO t SETTINGS a = 'FORMAT x', b = 1 ", "FORMAT CSV\n", "CSV"},
    {"INSERT INTO t SETTINGS a = $q$ VALUES ( $q$ ", "VALUES", "Values"},
    {"INSERT INTO t PARTITION BY (a, b) ", "FORMAT Native\n", "Native"},
};

static void test_data_begins(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof data_cases / sizeof data_cases[0]; i++) {
        const struct data_case *c = &data_cases[i];
        char text[512];
        struct sql_insert_head head;
        size_t statement_bytes = strlen(c->statement), head_bytes = statement_bytes + strlen(c->clause);

        assert_true((size_t)snprintf(text, sizeof text, "%s%s(\n'data", c->statement, c->clause) <
                    sizeof text);
        assert_int_equal(scan(text, strlen(text), true, &head), SQL_INSERT_DATA);
        assert_int_equal(head.statement_bytes, statement_bytes);
        assert_int_equal(head.data_at, head_bytes);
        assert_string_equal(head.format, c->format);

        /* However few bytes there are: never a wrong answer, and the right one at the latest with the first
         * of data. */
        for (size_t n = 0; n <= head_bytes + 1; n++) {
            struct sql_insert_head early;
            enum sql_insert found = scan(text, n, false, &early);

            assert_true(found == SQL_INSERT_MORE || found == SQL_INSERT_DATA);
            assert_true(found == SQL_INSERT_DATA || n <= head_bytes);
            if (found == SQL_INSERT_DATA) {
                assert_int_equal(early.statement_bytes, statement_bytes);
                assert_int_equal(early.data_at, head_bytes);
                assert_string_equal(early.format, c->format);
            }
        }
    }
}

static void test_only_one_line_end_is_skipped(void **state)
{
    static const char text[] = "INSERT INTO t FORMAT RowBinary\n\n\x01";
    struct sql_insert_head head;

    (void)state;
    assert_int_equal(scan(text, sizeof text - 1, true, &head), SQL_INSERT_DATA);
    assert_int_equal(head.data_at, sizeof text - 3);
}

static void test_no_data(void **state)
{
    static const char *const texts[] = {
        "",
        "SELECT 1",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t (a) WITH 1 AS x SELECT x",
        "INSERTED",
        "INSERT INTO t",
        "INSERT INTO t (SELECT 1 FORMAT CSV",
        "INSERT INTO t FORMAT CSV; 1",
        "INSERT INTO t FROM s SELECT a",
        "INSERT INTO t 'FORMAT CSV\n1",
        "WITH x AS (SELECT 1) INSERT INTO t FORMAT CSV\n",
        "INSERT INTO t ; VALUES (1)",
        "INSERT INTO t FORMAT 'CSV'\n1",
        "-- INSERT INTO t VALUES (1)",
        "INSERT INTO t FORMAT aNameThatIsLongerThanAnyFormatOfTheEngineCanBeAndThenSomeMoreToBeSureAboutIt\n",
    };
    struct sql_insert_head head;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(scan(texts[i], strlen(texts[i]), true, &head), SQL_INSERT_NO);
    assert_int_equal(scan("INSERT INTO t FROM INFILE 'x' FORMAT CSV", 40, true, &head), SQL_INSERT_INFILE);
}

static void test_empty_data(void **state)
{
    struct sql_insert_head head;

    (void)state;
    assert_int_equal(scan("INSERT INTO t FORMAT CSV", 24, true, &head), SQL_INSERT_DATA);
    assert_int_equal(head.data_at, 24);
    assert_int_equal(scan("INSERT INTO t FORMAT CSV", 24, false, &head), SQL_INSERT_MORE);
    assert_int_equal(scan("INSERT INTO t VALUES", 20, true, &head), SQL_INSERT_DATA);
    assert_int_equal(head.data_at, 20);
}

static void test_describe(void **state)
{
    struct sql_shape s;

    (void)state;
    sql_describe(" -- only\n /* blanks */ ; ", 25, &s);
    assert_true(s.empty);
    sql_describe("SELECT 1", 8, &s);
    assert_false(s.empty || s.lone_word || s.into_outfile || s.set_or_use);
    assert_string_equal(s.format, "");
    sql_describe("SELECT a FORMAT JSON;", 21, &s);
    assert_string_equal(s.format, "JSON");
    sql_describe("SELECT (SELECT 1 FORMAT CSV)", 28, &s);
    assert_string_equal(s.format, "");
    sql_describe("SELECT 'a' INTO OUTFILE 'x'", 27, &s);
    assert_true(s.into_outfile);
    sql_describe("SELECT 'INTO OUTFILE'", 21, &s);
    assert_false(s.into_outfile);
    sql_describe(" exit ; ", 8, &s);
    assert_true(s.lone_word);
    sql_describe("set x = 1", 9, &s);
    assert_true(s.set_or_use);
    sql_describe("SELECT 'open", 12, &s);
    assert_false(s.empty);
}

/* No bytes at all may make it read out of bounds or hang: what is found does not matter here. */
static void test_any_bytes(void **state)
{
    static const char *const scraps[] = {"INSERT", " INTO ", "t",  "(",  ")",  "'",      "\"", "`",
                                         "\\",     "--",     "\n", "/*", "*/", "FORMAT", " ",  "$",
                                         "a$",     "VALUES", "{",  "}",  ";",  ".",      "#!", "\xff"};
    uint32_t seed = 1;
    struct sql_insert_head head;
    struct sql_shape shape;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[256];
        size_t n = 0;

        for (int k = 0; k < 12; k++) {
            const char *scrap;

            seed = seed * 1664525u + 1013904223u;
            scrap = scraps[(seed >> 16) % (sizeof scraps / sizeof scraps[0])];
            memcpy(text + n, scrap, strlen(scrap));
            n += strlen(scrap);
        }
        for (int complete = 0; complete < 2; complete++)
            if (scan(text, n, complete == 1, &head) == SQL_INSERT_DATA)
                assert_true(head.statement_bytes <= head.data_at && head.data_at <= n);
        sql_describe(text, n, &shape);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_begins), cmocka_unit_test(test_only_one_line_end_is_skipped),
        cmocka_unit_test(test_no_data),     cmocka_unit_test(test_empty_data),
        cmocka_unit_test(test_describe),    cmocka_unit_test(test_any_bytes),
    };

    return cmocka_run_group_tests_name("warehouse/sql", tests, NULL, NULL);
}

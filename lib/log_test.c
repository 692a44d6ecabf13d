/* log_test.c - log lines: their two forms, and what is held back. */
#include "lib/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log_limit.h"

static void test_limit(void **state)
{
    LogLimit limit = {.every_ms = 10000};
    LogLimit none = {0};
    uint64_t held = 9;

    (void)state;
    assert_true(log_limit_admit(&limit, "offset 1 of t", 0, &held));
    assert_int_equal(held, 0);
    assert_false(log_limit_admit(&limit, "offset 22 of t", 1, &held));
    assert_false(log_limit_admit(&limit, "offset 333 of t", 9999, &held));
    assert_true(log_limit_admit(&limit, "offset 1 of u", 9999, &held));
    assert_int_equal(held, 0);
    assert_true(log_limit_admit(&limit, "offset 4 of t", 10000, &held));
    assert_int_equal(held, 2);
    assert_false(log_limit_admit(&limit, "offset 4 of t", 10001, &held));
    assert_true(log_limit_admit(&none, "x", 0, &held));
    assert_true(log_limit_admit(&none, "x", 0, &held));
}

/* What one call writes to standard error. */
static void capture(char *line, size_t size, LogFormat format, const char *text)
{
    int pipes[2];
    int old = dup(STDERR_FILENO);
    ssize_t got;

    assert_int_equal(pipe(pipes), 0);
    assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
    log_set_format(format);
    log_warning("%s", text);
    assert_true(dup2(old, STDERR_FILENO) >= 0);
    assert_int_equal(close(old) + close(pipes[1]), 0);
    got = read(pipes[0], line, size - 1);
    assert_true(got > 0);
    line[got] = '\0';
    assert_int_equal(close(pipes[0]), 0);
}

static void test_forms(void **state)
{
    char line[1024];

    (void)state;
    capture(line, sizeof line, LOG_FORMAT_TEXT, "a \"b\"\n\x1b[0m");
    assert_non_null(strstr(line, "Z WARNING: a \"b\"\\x0a\\x1b[0m\n"));
    capture(line, sizeof line, LOG_FORMAT_JSON,
            "a \"b\" \\ \n \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x98 \xff \xc3");
    assert_int_equal(strncmp(line, "{\"time\":\"20", 11), 0);
    assert_non_null(strstr(line, "Z\",\"level\":\"warning\",\"message\":\"a \\\"b\\\" \\\\ \\u000a \xc3\xa9 "
                                 "\xe2\x82\xac \xf0\x9f\x90\x98 \\ufffd \\ufffd\"}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_limit), cmocka_unit_test(test_forms)};

    return cmocka_run_group_tests_name("lib_log", tests, NULL, NULL);
}

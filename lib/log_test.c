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

static bool admits(LogLimit *limit, const char *text, int64_t now_ms)
{
    LogKind replaced;
    bool admitted = log_limit_admit(limit, LOG_LEVEL_WARNING, text, now_ms, &replaced);

    assert_int_equal(replaced.held, 0);
    return admitted;
}

static void test_limit(void **state)
{
    static LogLimit limit = {.every_ms = 10000};
    static LogLimit none;
    LogKind due;

    (void)state;
    assert_true(admits(&limit, "offset 1 of t", 0));
    assert_false(admits(&limit, "offset 22 of t", 1));
    assert_false(admits(&limit, "offset 333 of t", 9999));
    assert_true(admits(&limit, "offset 1 of u", 9999));
    assert_false(log_limit_due(&limit, 9999, &due));
    assert_true(log_limit_due(&limit, 10000, &due));
    assert_int_equal(due.held, 2);
    assert_int_equal(due.level, LOG_LEVEL_WARNING);
    assert_string_equal(due.text, "offset 333 of t");
    assert_false(log_limit_due(&limit, 10000, &due));
    /* That was a line, too. */
    assert_false(admits(&limit, "offset 4 of t", 19999));
    assert_true(log_limit_due(&limit, 20000, &due));
    assert_true(admits(&limit, "offset 4 of t", 30000));
    assert_false(log_limit_due(&limit, 99999, &due));
    assert_true(admits(&none, "x", 0));
    assert_true(admits(&none, "x", 0));
}

static void test_a_kind_that_loses_its_place_is_said(void **state)
{
    static LogLimit limit = {.every_ms = 10000};
    LogKind replaced;
    char text[32] = "x";
    bool said = false;

    (void)state;
    assert_true(admits(&limit, text, 0));
    assert_false(admits(&limit, text, 1));
    for (int i = 0; i < 10000 && !said; i++) {
        for (int c = 0, n = i; c < 6; c++, n /= 26)
            text[c] = (char)('a' + n % 26);
        (void)log_limit_admit(&limit, LOG_LEVEL_ERROR, text, 2, &replaced);
        said = replaced.held == 1 && strcmp(replaced.text, "x") == 0;
    }
    assert_true(said);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_limit),
                                       cmocka_unit_test(test_a_kind_that_loses_its_place_is_said),
                                       cmocka_unit_test(test_forms)};

    return cmocka_run_group_tests_name("lib_log", tests, NULL, NULL);
}

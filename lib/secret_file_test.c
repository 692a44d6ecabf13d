/* secret_file_test.c - secrets from files. */
#include "lib/secret_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool read_text(const char *text, size_t bytes_min, char *secret, char *problem, size_t problem_size)
{
    char path[] = "/tmp/walhouse-secret-test-XXXXXX";
    int fd = mkstemp(path);
    bool ok;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    ok = secret_file_read(path, bytes_min, secret, problem, problem_size);
    assert_int_equal(unlink(path), 0);
    return ok;
}

static void the_first_line_without_its_end(void **state)
{
    static const char *const texts[] = {"pass word", "pass word\n", "pass word\r\nand more\n"};
    char secret[SECRET_BYTES_MAX + 1], problem[128];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(read_text(texts[i], 1, secret, problem, sizeof problem));
        assert_string_equal(secret, "pass word");
    }
}

static void what_is_too_short_or_too_long_is_said_and_not_shown(void **state)
{
    char secret[SECRET_BYTES_MAX + 1], problem[128], text[SECRET_BYTES_MAX + 2];

    (void)state;
    assert_false(read_text("\nsecond\n", 1, secret, problem, sizeof problem));
    assert_string_equal(problem, "has 0 bytes in its first line, and takes at least 1");
    assert_false(read_text("short\n", 16, secret, problem, sizeof problem));
    assert_string_equal(problem, "has 5 bytes in its first line, and takes at least 16");
    assert_string_equal(secret, "");

    memset(text, 'x', sizeof text);
    text[SECRET_BYTES_MAX] = '\0';
    assert_true(read_text(text, 1, secret, problem, sizeof problem));
    assert_string_equal(secret, text);
    text[SECRET_BYTES_MAX] = 'x';
    text[SECRET_BYTES_MAX + 1] = '\0';
    assert_false(read_text(text, 1, secret, problem, sizeof problem));
    assert_string_equal(problem, "has more than 1024 bytes in its first line");
}

static void what_cannot_be_read_is_said(void **state)
{
    char secret[SECRET_BYTES_MAX + 1], problem[128];

    (void)state;
    assert_false(secret_file_read("/nonexistent/secret", 1, secret, problem, sizeof problem));
    assert_string_equal(problem, "cannot be opened: No such file or directory");
    assert_false(secret_file_read("/tmp", 1, secret, problem, sizeof problem));
    assert_string_equal(problem, "cannot be read: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_first_line_without_its_end),
                                       cmocka_unit_test(what_is_too_short_or_too_long_is_said_and_not_shown),
                                       cmocka_unit_test(what_cannot_be_read_is_said)};

    return cmocka_run_group_tests_name("lib_secret_file", tests, NULL, NULL);
}

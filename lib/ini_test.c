/* ini_test.c - INI files. */
#include "lib/ini.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Taken {
    char text[8192];
    bool refuse;
} Taken;

static bool take(void *context, const char *section, const char *name, const char *value)
{
    Taken *taken = context;
    size_t size = strlen(taken->text);

    (void)snprintf(taken->text + size, sizeof taken->text - size, "[%s]%s=%s\n", section, name, value);
    return !taken->refuse;
}

static IniResult read_text(const char *text, size_t size, Taken *taken, int *line)
{
    char path[] = "/tmp/walhouse-ini-test-XXXXXX";
    int fd = mkstemp(path);
    IniResult result;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(close(fd), 0);
    taken->text[0] = '\0';
    result = ini_read(path, take, taken, line);
    assert_int_equal(unlink(path), 0);
    return result;
}

static void assert_read(const char *text, IniResult expected, int line, const char *taken_text)
{
    Taken taken = {.refuse = false};
    int at = -1;

    assert_int_equal(read_text(text, strlen(text), &taken, &at), expected);
    assert_int_equal(at, line);
    assert_string_equal(taken.text, taken_text);
}

static void test_what_it_takes(void **state)
{
    (void)state;
    assert_read("", INI_OK, 0, "");
    assert_read("\xef\xbb\xbf# c\n; c\n\n  a = 1  \r\n", INI_OK, 4, "[]a=1\n");
    assert_read("[ x y ]\na=b=c ; d # e\nempty =\n[]\nlast=1", INI_OK, 5,
                "[x y]a=b=c ; d # e\n[x y]empty=\n[]last=1\n");
}

static void test_long_sections_and_values(void **state)
{
    char name[300], value[3000], text[4000], expected[4000];

    (void)state;
    memset(name, 'n', sizeof name - 1);
    memset(value, 'v', sizeof value - 1);
    name[sizeof name - 1] = value[sizeof value - 1] = '\0';
    (void)snprintf(text, sizeof text, "[%s]\na = %s\n", name, value);
    (void)snprintf(expected, sizeof expected, "[%s]a=%s\n", name, value);
    assert_read(text, INI_OK, 2, expected);
}

static void test_what_is_wrong(void **state)
{
    Taken taken = {.refuse = true};
    int line = -1;

    (void)state;
    assert_read("a=1\nnothing\nb=2\n", INI_SYNTAX, 2, "[]a=1\n");
    assert_read("= 1\n", INI_SYNTAX, 1, "");
    assert_read("[open\n", INI_SYNTAX, 1, "");
    assert_int_equal(read_text("\na=1\nb=2\n", 9, &taken, &line), INI_REFUSED);
    assert_int_equal(line, 2);
    assert_string_equal(taken.text, "[]a=1\n");
    assert_int_equal(ini_read("/nowhere/at/all", take, &taken, &line), INI_CANNOT_OPEN);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(ini_read("/tmp", take, &taken, &line), INI_CANNOT_OPEN);
    assert_int_equal(errno, EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_takes),
        cmocka_unit_test(test_long_sections_and_values),
        cmocka_unit_test(test_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
